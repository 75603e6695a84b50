"""Figures of people as arrays: which there are, how they are counted in SQL, and whom they may be counted of.

What is computed from them is in `segments.analytics`, which knows no database.
"""
