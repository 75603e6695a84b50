"""How many people went from which group to which between two runs, however many runs lie between them.

Who they are is in `segments.rfm.history`; what each run says of the one before it stands in its `flows`.
"""

from collections import Counter
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet

from cdp.database import bound_cursor, time_limit
from segments.rfm.models import RfmRun
from segments.rfm.pictures import Move

SECONDS: Final = 15
FIRST_AND_LAST: Final = """
    SELECT before, after, count(*)
      FROM (SELECT (array_agg(m.before ORDER BY r.published_at, r.id))[1] AS before,
                   (array_agg(m.after ORDER BY r.published_at DESC, r.id DESC))[1] AS after
              FROM segments_rfmmove m
              JOIN segments_rfmrun r ON r.id = m.run_id
             WHERE m.run_id = ANY(%s::bigint[])
             GROUP BY m.profile_id) AS whoever
     GROUP BY before, after
"""


def earlier_runs(run: RfmRun) -> QuerySet[RfmRun]:
    """Those that were complete before this one, the newest first."""
    return RfmRun.objects.published().filter(
        Q(published_at__lt=run.published_at) | Q(published_at=run.published_at, pk__lt=run.pk)
    )


def moves_since(run: RfmRun, since: RfmRun) -> list[Move]:
    """Of everybody who is scored by either: the group they had and the group they have; "" is none.

    Between neighbours it is what the later run noted. Else each person's first and last of the moves between are put together;
    who never moved stayed.

    Raises:
        OperationalError: it took too long.
    """
    if run.previous_id == since.pk:
        return [Move(before=one["before"], after=one["after"], people=one["people"]) for one in run.flows]
    between = [one.pk for one in earlier_runs(run).filter(published_at__gt=since.published_at).only("pk")]
    with transaction.atomic(), time_limit(seconds=SECONDS), bound_cursor() as cursor:
        cursor.execute(FIRST_AND_LAST, [[*between, run.pk]])
        moves = [Move(before=before, after=after, people=people) for before, after, people in cursor.fetchall()]
    came = Counter[str]()
    for one in moves:
        came[one.after] += one.people
    stayed = {one["name"]: one["people"] - came[one["name"]] for one in run.groups}
    moves += [Move(before=name, after=name, people=people) for name, people in stayed.items() if people > 0]
    return _together(moves)


def _together(moves: list[Move]) -> list[Move]:
    """One of each pair: who went away and came back stayed, too. Nobody who was outside and is, again."""
    sums = Counter[tuple[str, str]]()
    for one in moves:
        sums[one.before, one.after] += one.people
    return [
        Move(before=before, after=after, people=people) for (before, after), people in sums.items() if before or after
    ]
