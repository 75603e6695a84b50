"""Consent: purposes, records of what people decided, and reading people only as far as they permit."""
