"""Recency, frequency and monetary value: counted, scored, named, kept over time, and shown."""
