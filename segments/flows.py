"""How segments lie to each other: who is in several of them now, and who went from one to another.

The size of one segment over time is in `segments.history`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cdp.database import bound_cursor, snapshot
from cdp.errors import Conflict, DomainError
from segments.models import Segment, SegmentStatus

FEWEST, MOST = 2, 8
LONGEST = timedelta(days=366)
SECONDS = 30

OVERLAP = """
    SELECT which, count(*) FROM (
        SELECT bit_or(compared.bit) AS which
          FROM segments_membership m
          JOIN (SELECT id, 1 << (number - 1)::int AS bit
                  FROM unnest(%(segments)s::bigint[]) WITH ORDINALITY AS given(id, number)) AS compared
            ON compared.id = m.segment_id
         GROUP BY m.profile_id
    ) AS each GROUP BY which
"""

# Of the people with a change of one kind in one of the segments, how many had the other kind in another one, as it took
# effect: afterwards, or beforehand. What one event did at once took effect at one moment, in whichever order it was written.
FLOW = """
    WITH moved AS MATERIALIZED (
        SELECT segment_id, profile_id, kind, effective_at FROM segments_membershipchange
         WHERE segment_id = ANY(%(all)s::bigint[]) AND recorded_at >= %(since)s AND recorded_at < %(until)s
           AND why NOT IN ('merge', 'unmerge')
    )
    SELECT one.segment_id, other.segment_id, grouping(other.segment_id) = 1,
           count(DISTINCT one.profile_id), count(DISTINCT other.profile_id)
      FROM moved one
      LEFT JOIN moved other ON other.profile_id = one.profile_id AND other.kind = %(other_kind)s
           AND other.segment_id = ANY(%(others)s::bigint[]) AND other.segment_id <> one.segment_id
           AND CASE WHEN %(afterwards)s THEN other.effective_at >= one.effective_at
                    ELSE other.effective_at <= one.effective_at END
     WHERE one.kind = %(kind)s AND one.segment_id = ANY(%(ones)s::bigint[])
     GROUP BY GROUPING SETS ((one.segment_id), (one.segment_id, other.segment_id))
"""


@dataclass(frozen=True, kw_only=True)
class Intersection:
    """How many people are in all of these segments and, of the segments compared, in no other."""

    segments: tuple[Segment, ...]
    count: int


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Who is in several segments now.

    `shared[i][j]` is how many are in both the i-th and the j-th, and `shared[i][i]` the size of the i-th.
    `intersections` part everybody by the very set of segments they are in: the largest first, none of them empty.
    """

    segments: tuple[Segment, ...]
    shared: list[list[int]]
    intersections: list[Intersection]

    @property
    def people(self) -> int:
        """In at least one of them."""
        return sum(one.count for one in self.intersections)


def overlap(segments: Sequence[Segment]) -> Overlap:
    """How two to eight live segments overlap now; counted in one pass over their members.

    Raises:
        DomainError: there are too few or too many, or one twice.
        Conflict: one isn't live, so it isn't known who would be in it.
    """
    _check_number(segments)
    for segment in segments:
        if segment.status != SegmentStatus.LIVE:
            raise Conflict("segment_not_live", f"“{segment.name}” is not live, so it has no members.")
    with snapshot(seconds=SECONDS), bound_cursor() as cursor:
        cursor.execute(OVERLAP, {"segments": [segment.pk for segment in segments]})
        found: dict[int, int] = dict(cursor.fetchall())
    numbers = range(len(segments))
    both = [[1 << i | 1 << j for j in numbers] for i in numbers]
    return Overlap(
        segments=tuple(segments),
        shared=[[sum(n for which, n in found.items() if which & bits == bits) for bits in row] for row in both],
        intersections=[
            Intersection(segments=tuple(segments[i] for i in numbers if which >> i & 1), count=count)
            for which, count in sorted(found.items(), key=lambda one: (-one[1], one[0]))
        ],
    )


@dataclass(frozen=True, kw_only=True)
class Link:
    """How many people went from one segment to another."""

    source: Segment
    target: Segment
    people: int


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Of one segment: how many different people left (or entered) it, and how many of them are in no link."""

    segment: Segment
    people: int
    unlinked: int


@dataclass(frozen=True, kw_only=True)
class Flow:
    """Who left or entered, and the links by which they went on, or came; the strongest link first."""

    moved: list[Moved]
    links: list[Link]


def went_on(left: Sequence[Segment], into: Sequence[Segment], *, since: datetime, until: datetime) -> Flow:
    """Of those who left these segments in the period, how many entered which others in it, then or later.

    Changes are of the period in which they were recorded. What happened because profiles became one or were parted
    again is left out: nobody went anywhere.

    Raises:
        DomainError: the period is empty, or longer than `LONGEST`.
    """
    return _flow(left, into, since, until, afterwards=True)


def came_from(entered: Sequence[Segment], out_of: Sequence[Segment], *, since: datetime, until: datetime) -> Flow:
    """Of those who entered these segments in the period, how many left which others in it, then or before.

    Raises:
        DomainError: the period is empty, or longer than `LONGEST`.
    """
    return _flow(entered, out_of, since, until, afterwards=False)


def flow_among(segments: Sequence[Segment], *, since: datetime, until: datetime) -> Flow:
    """Who left each of two to eight segments in the period, and which of the others they entered.

    Raises:
        DomainError: there are too few or too many segments, one twice, or the period is empty or too long.
    """
    _check_number(segments)
    return went_on(segments, segments, since=since, until=until)


def _flow(
    ones: Sequence[Segment], others: Sequence[Segment], since: datetime, until: datetime, *, afterwards: bool
) -> Flow:
    if since >= until:
        raise DomainError("bounds_reversed", "since must be before until.", "/since")
    if until - since > LONGEST:
        raise DomainError("period_too_long", f"A period has {LONGEST.days} days at most.", "/since")
    by_id = {segment.pk: segment for segment in (*ones, *others)}
    given = {
        "ones": [segment.pk for segment in ones],
        "others": [segment.pk for segment in others],
        "all": list(by_id),
        "since": since,
        "until": until,
        "kind": "exited" if afterwards else "entered",
        "other_kind": "entered" if afterwards else "exited",
        "afterwards": afterwards,
    }
    with snapshot(seconds=SECONDS), bound_cursor() as cursor:
        cursor.execute(FLOW, given)
        rows = cursor.fetchall()
    totals = {one: (people, linked) for one, _, is_total, people, linked in rows if is_total}
    moved = []
    for segment in ones:
        people, linked = totals.get(segment.pk, (0, 0))
        moved.append(Moved(segment=segment, people=people, unlinked=people - linked))
    links = []
    for one, other, is_total, people, _ in rows:
        if not is_total and other is not None:
            source, target = (one, other) if afterwards else (other, one)
            links.append(Link(source=by_id[source], target=by_id[target], people=people))
    return Flow(moved=moved, links=sorted(links, key=lambda link: (-link.people, link.source.key, link.target.key)))


def _check_number(segments: Sequence[Segment]) -> None:
    if not FEWEST <= len(segments) <= MOST or len({segment.pk for segment in segments}) < len(segments):
        raise DomainError(
            "segments_count", f"Name {FEWEST} to {MOST} different segments; received {len(segments)}.", "/segment"
        )
