"""People with their histories, as far as some rules ask, loaded for the reference engine.

What they permit, what models say of them and on which lists they are is in `segments.standing`.
"""

from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, Final

import msgspec

from cdp.database import ask_prepared
from segments.live import LiveRule
from segments.models import Membership
from segments.rules import Occurrence, Performed, Person, Sequence, Value
from segments.rules.windows import Rolling
from segments.standing import how_people_stand
from segments.thresholds import values_of

# Of whoever has more events that the rules mention nothing is loaded: it is one person's whole history.
MOST_EVENTS = 2_000
ALWAYS: Final = datetime.min.replace(tzinfo=UTC)
NEVER: Final = datetime.max.replace(tzinfo=UTC)
PROPERTIES: Final = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)

TRAITS = """
    SELECT v.profile_id, t.key, v.number, v.text, v.text_folded, v.moment, v.boolean, v.items
      FROM profiles_traitvalue v JOIN profiles_trait t ON t.id = v.trait_id
     WHERE v.profile_id = ANY(%(ids)s::bigint[]) AND t.key = ANY(%(keys)s::text[])
"""
NAMES = "SELECT id, name FROM profiles_eventname WHERE name = ANY(%(names)s::text[])"
# How many there are; of whoever has very many, no more are counted than it takes to know.
COUNTS = """
    SELECT one.id, found.n
      FROM unnest(%(ids)s::bigint[]) AS one(id)
     CROSS JOIN LATERAL (
           SELECT count(*) AS n FROM (
                  SELECT FROM profiles_event
                   WHERE profile_id = one.id AND name_id = %(name)s AND occurred_at >= %(far)s LIMIT %(most)s + 1) AS counted
           ) AS found
"""
IN_PASSING = """
    SELECT profile_id, name_id, occurred_at, '', value, '{}' FROM profiles_event
     WHERE profile_id = ANY(%(ids)s::bigint[]) AND name_id = %(name)s
       AND occurred_at >= %(far)s AND occurred_at < %(near)s
"""
CLOSELY = """
    SELECT profile_id, name_id, occurred_at, message_id, value, properties::text FROM profiles_event
     WHERE profile_id = ANY(%(ids)s::bigint[]) AND name_id = %(name)s AND occurred_at >= %(near)s
"""


def load_people(
    profile_ids: Collection[int], rules: Collection[LiveRule], *, asked_from: datetime
) -> dict[int, Person]:
    """The people with all that the rules ask about them; without those who have more than `MOST_EVENTS` such events.

    Args:
        asked_from: the earliest moment as of which the rules will be asked. What is older than any of them looks back from
            there isn't loaded.
    """
    ids = sorted(profile_ids)
    trait_keys = sorted({key for rule in rules for key in rule.depends_on.traits})
    event_names = sorted({name for rule in rules for name in rule.depends_on.events})
    traits: dict[int, dict[str, Value]] = {profile_id: {} for profile_id in ids}
    events: dict[int, list[Occurrence]] = {profile_id: [] for profile_id in ids}
    segments: dict[int, set[str]] = {profile_id: set() for profile_id in ids}
    values, named = ask_prepared([(TRAITS, {"ids": ids, "keys": trait_keys}), (NAMES, {"names": event_names})])
    for profile_id, key, number, text, folded, moment, boolean, items in values:
        traits[profile_id][key] = Value(
            number=number,
            text=text,
            text_folded=folded,
            moment=moment,
            boolean=boolean,
            items=None if items is None else tuple(items),
        )
    names = dict(named)
    looks = [{"ids": ids, "name": pk, **_how_far_back(name, rules, asked_from)} for pk, name in names.items()]
    how_many = Counter[int]()
    for counted in ask_prepared([(COUNTS, {**look, "most": MOST_EVENTS}) for look in looks]):
        how_many.update(dict(counted))
    left_out = {profile_id for profile_id, number in how_many.items() if number > MOST_EVENTS}
    present = sorted(set(ids) - left_out)
    happened = ask_prepared([(text, {**look, "ids": present}) for look in looks for text in (IN_PASSING, CLOSELY)])
    for profile_id, name_id, occurred_at, message_id, value, properties in chain.from_iterable(happened):
        events[profile_id].append(
            Occurrence(
                name=names[name_id],
                occurred_at=occurred_at,
                message_id=message_id,
                value=value,
                properties=PROPERTIES.decode(properties),
            )
        )
    for profile_id, key in Membership.objects.filter(profile_id__in=ids).values_list("profile_id", "segment__key"):
        segments[profile_id].add(key)
    thresholds = values_of({ranking for rule in rules for ranking in rule.depends_on.rankings})
    stands = how_people_stand(ids, [rule.depends_on for rule in rules])
    return {
        profile_id: Person(
            id=profile_id,
            traits=traits[profile_id],
            events=events[profile_id],
            segments=frozenset(segments[profile_id]),
            thresholds=thresholds,
            **stands[profile_id].asked,
        )
        for profile_id in ids
        if profile_id not in left_out
    }


def _how_far_back(event: str, rules: Collection[LiveRule], asked_from: datetime) -> dict[str, datetime]:
    """The moments from which on the rules look at events of the name: ``far``, at when each was and its value; and ``near``,
    at all there is of it."""
    far = near = NEVER
    for leaf in {leaf for rule in rules for leaf in rule.leaves if event in leaf.events}:
        match leaf:
            # Steps of a sequence come after the first, and that one lies in the window.
            case (Performed() | Sequence()) as one if isinstance(one.within, Rolling):
                low = _before(asked_from, one.within.reach)
            case _:
                low = ALWAYS
        far = min(far, low)
        # Which of two at one moment was first matters to sequences, and to measures of a property.
        if not isinstance(leaf, Performed) or leaf.where or leaf.of is not None:
            near = min(near, low)
    return {"far": far, "near": near}


def _before(moment: datetime, seconds: int) -> datetime:
    try:
        # In UTC: by the clocks of a zone an hour of spring would be missing.
        return moment.astimezone(UTC) - timedelta(seconds=seconds)
    except OverflowError:
        return ALWAYS
