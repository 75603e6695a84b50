"""The moment at which people are judged, by the database's clock, which all processes share.

Who is judged, and what follows, is in `segments.evaluation`, `segments.refresh` and `segments.sweep`.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection

from cdp.profiles.models import Workspace

TRANSACTION_TIMEOUT_SINCE = 170_000


def moment_of_judgement(workspace: Workspace | None = None) -> datetime:
    """Now; or the moment at which the workspace stands still.

    It comes in the workspace's time zone, by whose calendar rules mean "today" and "this month".
    """
    with connection.cursor() as cursor:
        if workspace is None:
            # In one look at both: each batch and each sweep asks several times.
            cursor.execute(
                "SELECT coalesce(frozen_at, clock_timestamp()), time_zone FROM profiles_workspace WHERE id = 1"
            )
            row = cursor.fetchone()
            if row is None:
                return moment_of_judgement(Workspace.current())
            return row[0].astimezone(ZoneInfo(row[1]))
        if workspace.frozen_at is not None:
            return workspace.frozen_at.astimezone(workspace.zone)
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0].astimezone(workspace.zone)


def moment_of_writing(workspace: Workspace | None = None) -> datetime:
    """The same, for a transaction that will write verdicts; its people are locked already.

    From here on the transaction has `settings.BATCH_SECONDS` to commit, or the server ends it and nothing of it was
    done. Sweeps count on that: they look again at as much of the past as a verdict not yet to be seen may stem from.
    """
    limit = settings.BATCH_SECONDS
    with connection.cursor() as cursor:
        # The limit runs from when it is set, so it is set before the clock is read.
        if connection.pg_version >= TRANSACTION_TIMEOUT_SINCE:  # type: ignore[attr-defined]
            cursor.execute("SELECT set_config('transaction_timeout', %s, true)", [f"{limit}s"])
        else:
            # Nothing ends a whole transaction there: each of its statements and pauses gets a part of the time.
            part = f"{max(1, limit // 4)}s"
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true),"
                " set_config('idle_in_transaction_session_timeout', %s, true)",
                [part, part],
            )
    return moment_of_judgement(workspace)
