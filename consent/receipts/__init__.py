"""Receipts of a decision, in the forms that others read. What the forms are, and where we depart, is said in ADR 28.

`facts` says what a receipt tells, `dpv` and `kantara` put it into words, `signing` seals them: all pure. Only `issuing` reads
the database.
"""
