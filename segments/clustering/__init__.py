"""Clusterings: which people are alike, by which figures, made in runs that keep their identity.

The maths is in `segments.analytics`; the figures of people come from `segments.features`.
"""
