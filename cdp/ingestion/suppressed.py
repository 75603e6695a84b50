"""What becomes of messages about people who were erased: nothing is kept of them but how many a source sent.

By what such people are known again is in `cdp.identity.suppression`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, timedelta

from django.db.models import Sum
from django.utils import timezone

from cdp.database import bound_cursor
from cdp.identity.models import SuppressedCount
from cdp.identity.normalise import Identifier
from cdp.identity.resolve import possible
from cdp.identity.suppression import sift, without_values
from cdp.ingestion.quarantine import Refused
from cdp.ingestion.wire import Message, named_in

COUNT = """
    INSERT INTO identity_suppressedcount AS c (source_id, day, messages)
    SELECT s, (now() AT TIME ZONE 'UTC')::date, n FROM unnest(%s::int[], %s::bigint[]) AS g(s, n) ORDER BY s
    ON CONFLICT (source_id, day) DO UPDATE SET messages = c.messages + excluded.messages
"""
KNOWN = """
    SELECT i.namespace, i.value FROM profiles_identifier i
      JOIN unnest(%s::text[], %s::text[]) AS g(namespace, value) USING (namespace, value)
"""


def keep_silent(message: Message, silenced: Collection[Identifier]) -> None:
    """Takes the identifiers out of whatever else the message says, since it goes on as somebody else's."""
    message.traits = without_values(message.traits, silenced)
    message.properties = without_values(message.properties, silenced)
    message.context = without_values(message.context, silenced)
    # Should it end in quarantine after all, then without its text.
    message.raw, message.shared = b"{}", b""
    if "identifier_suppressed" not in message.flags:  # a batch that failed is gone through again in halves
        message.flags.append("identifier_suppressed")


def count_dropped(source_ids: Iterable[int]) -> None:
    """Adds to the figures of today, once for each source."""
    counts = Counter(source_ids)
    with bound_cursor() as cursor:
        cursor.execute(COUNT, [list(counts), list(counts.values())])


def dropped_lately(source_id: int, *, days: int) -> int:
    """How many messages of the source were dropped in these days, today included: its operator should be told."""
    since = timezone.now().astimezone(UTC).date() - timedelta(days=days - 1)
    found = SuppressedCount.objects.filter(source_id=source_id, day__gte=since).aggregate(total=Sum("messages"))
    return found["total"] or 0


def without_the_erased(refused: Sequence[Refused]) -> Sequence[Refused]:
    """Those of the refused messages that may be kept for somebody to look at: all, but of people who were erased."""
    if not refused or not _is_anybody_suppressed():
        return refused
    claims = [named_in(one.raw, endpoint=one.endpoint, is_trusted=True, shared=one.shared) for one in refused]
    said = [(number, claim) for number, claim in enumerate(claims) if claim is not None]
    named = {one for _, claim in said for one in possible(claim.identifiers)}
    sifted = sift([claim for _, claim in said], known=_known(named))
    dropped = {said[number][0] for number in sifted.dropped}
    if dropped:
        count_dropped(refused[number].source_id for number in dropped)
    return [one for number, one in enumerate(refused) if number not in dropped]


def _is_anybody_suppressed() -> bool:
    with bound_cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM identity_suppression)")
        return cursor.fetchone() == (True,)


def _known(identifiers: Collection[Identifier]) -> set[Identifier]:
    with bound_cursor() as cursor:
        cursor.execute(KNOWN, [[one.namespace for one in identifiers], [one.value for one in identifiers]])
        return {Identifier(*row) for row in cursor.fetchall()}
