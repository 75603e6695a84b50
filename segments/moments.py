"""The moment at which people are judged, by the database's clock, which all processes share.

Who is judged, and what follows, is in `segments.evaluation`, `segments.refresh` and `segments.sweep`.
"""

from datetime import datetime

from django.conf import settings
from django.db import connection

from cdp.profiles.models import Workspace


def moment_of_judgement(workspace: Workspace | None = None) -> datetime:
    """Now; or the moment at which the workspace stands still."""
    frozen = (workspace or Workspace.current()).frozen_at
    if frozen is not None:
        return frozen
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def moment_of_writing(workspace: Workspace | None = None) -> datetime:
    """The same, for a transaction that will write verdicts; its people are locked already.

    From here on the transaction has `settings.BATCH_SECONDS` to commit, or the server ends it and nothing of it was
    done. Sweeps count on that: they look again at as much of the past as a verdict not yet to be seen may stem from.
    """
    with connection.cursor() as cursor:
        # The limit runs from when it is set, so it is set before the clock is read.
        cursor.execute("SELECT set_config('transaction_timeout', %s, true)", [f"{settings.BATCH_SECONDS}s"])
    return moment_of_judgement(workspace)
