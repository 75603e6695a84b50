"""Django's own password hash with a single round, so that making users costs tests nothing.

The rounds stand in the hash, so a real web process on the same database checks these passwords as usual.
"""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OneRoundHasher(PBKDF2PasswordHasher):
    iterations = 1
