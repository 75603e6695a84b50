"""Benchmarks: each measures against a floor in the same run, and writes what it found to bench/results/."""
