"""The platform's settings as tests and the processes they start have them: all but what would only cost time.

A test that needs another setting says so itself. Nothing that changes what the platform does belongs here.
"""

from cdp.settings import *  # noqa: F403

PASSWORD_HASHERS = ["tests.harness.hashers.OneRoundHasher"]
