"""Personas: named portraits of groups of people, drawn from figures, which rules and personalisation read as scores.

What sets a group apart, and the sentences about it, are worked out in `segments.analytics`, which knows no database.
"""
