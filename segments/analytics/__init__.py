"""Analyses as pure functions: arrays in, frozen values out; clock and chance are arguments.

Knows neither Django nor the database. What brings figures of people here is `segments.features`; what keeps the results is each
analysis' own package.
"""
