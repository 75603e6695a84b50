"""Django's own password hash with a single round, so that making users costs tests nothing.

The rounds stand in the hash, so whoever has Django's own hasher checks these passwords, too; but makes the hash anew, with
all its rounds, at the first log-in. That is why processes that tests start have this one as well (`tests.harness.settings`).
"""

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class OneRoundHasher(PBKDF2PasswordHasher):
    iterations = 1
