"""Which features there are in this database: those there always are, and those of its own categories and traits.

What is offered was seen of `FEWEST` people at least, among those who may be profiled; it is looked for in the newest lines of
orders and in a sample of people, so that a screen may ask each time.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

from cdp.profiles.masking import EMAIL
from cdp.profiles.models import EventName, Profile, Trait, TraitType
from cdp.profiles.orders import PRODUCT_PURCHASED
from consent.models import Purpose
from segments.engines.estimating import SAMPLED, point_of
from segments.features.catalogue import (
    ALWAYS,
    CATEGORY,
    TRAIT,
    Feature,
    age_feature,
    category_feature,
    flag_feature,
    number_feature,
    parts_of,
    since_feature,
    value_feature,
)
from segments.features.people import profiled
from segments.features.resolving import NUMERIC, WORDED, info_of, is_personal
from segments.fields.distributions import FEWEST
from segments.queries import query_of

NEWEST_LINES: Final = 20_000
SAMPLE: Final = 20_000  # people
MOST_CATEGORIES: Final = 20
MOST_VALUES: Final = 12
LONGEST_VALUE: Final = 60  # characters
# A text with more values than are offered is a matter of kinds only if those cover so much of it; else it is prose, or a name.
COVERED: Final = 0.8
# Of these there are many, and the common ones tell people apart all the same.
ALWAYS_KINDS: Final = frozenset({TraitType.COUNTRY, TraitType.CURRENCY, TraitType.LIST})

CATEGORIES: Final = """
    SELECT lower(category), (array_agg(category ORDER BY category))[1], count(DISTINCT profile_id) AS people
      FROM (SELECT e.profile_id, e.properties ->> 'category' AS category FROM profiles_event AS e
             WHERE e.name_id = %(line)s AND e.occurred_at >= %(since)s AND e.occurred_at < %(as_of)s
             ORDER BY e.occurred_at DESC LIMIT %(newest)s) AS line
     WHERE btrim(category) <> '' AND length(category) <= %(longest)s AND category !~ %(address)s
       AND profile_id IN ({query})
     GROUP BY 1 HAVING count(DISTINCT profile_id) >= %(fewest)s
     ORDER BY people DESC, 1 LIMIT %(most)s
"""
VALUES: Final = (
    SAMPLED
    + """
    SELECT v.trait_id, folded, (array_agg(written ORDER BY written))[1], count(*) AS people
      FROM sampled AS s
      JOIN profiles_traitvalue AS v ON v.profile_id = s.id AND v.trait_id = ANY(%(traits)s::int[])
     CROSS JOIN LATERAL (
           SELECT v.text_folded AS folded, v.text AS written WHERE v.items IS NULL AND v.text_folded IS NOT NULL
            UNION ALL SELECT item, item FROM unnest(v.items) AS item) AS said
     WHERE v.profile_id IN ({query}) AND btrim(folded) <> ''
     GROUP BY 1, 2
"""
)


def features_there_are(*, purpose: Purpose, as_of: datetime, window_days: int) -> tuple[Feature, ...]:
    """All that a grouping of people for this purpose may choose from, the general ones first."""
    since = as_of - timedelta(days=window_days)
    return (
        *ALWAYS,
        *_of_categories(purpose, since=since, as_of=as_of),
        *_of_traits(purpose, day=as_of.date()),
    )


def features_named(keys: Sequence[str]) -> tuple[Feature, ...]:
    """The features by these keys, also those that are too rare by now to be offered; nothing is looked up but traits' labels.

    Raises:
        ValueError: a key that can't be a feature's.
    """
    general = {one.key: one for one in ALWAYS}
    parts = {key: parts_of(key) for key in keys if key not in general}
    if wrong := [key for key, one in parts.items() if one is None]:
        raise ValueError(f"no features: {wrong}")
    traits = {one.key: one for one in Trait.objects.filter(key__in=[one.name for one in parts.values() if one])}
    found = []
    for key in keys:
        one = parts.get(key)
        if one is None:
            found.append(general[key])
        elif one.kind == CATEGORY:
            found.append(category_feature(one.name, one.name.capitalize()))
        else:
            # A trait that is gone keeps its key for a name.
            trait = traits.get(one.name) or Trait(key=one.name, label=one.name, type=TraitType.NUMBER)
            found.append(_whole(trait) if one.kind == TRAIT else _valued(trait, one.value, one.value))
    return tuple(found)


def _of_categories(purpose: Purpose, *, since: datetime, as_of: datetime) -> list[Feature]:
    line = EventName.objects.filter(name=PRODUCT_PURCHASED).values_list("pk", flat=True).first()
    if line is None:
        return []
    people = query_of(profiled(Profile.objects.all(), purpose).values("pk")).of(CATEGORIES)
    rows = people.rows(
        line=line,
        since=since,
        as_of=as_of,
        newest=NEWEST_LINES,
        longest=LONGEST_VALUE,
        address=EMAIL.pattern,
        fewest=FEWEST,
        most=MOST_CATEGORIES,
    )
    return [category_feature(folded, label) for folded, label, _ in rows]


def _of_traits(purpose: Purpose, *, day: date) -> list[Feature]:
    traits = [one for one in Trait.objects.order_by("label", "pk") if not is_personal(one)]
    values = _values(purpose, [one for one in traits if one.type in WORDED], day=day)
    found: list[Feature] = []
    for trait in traits:
        if trait.type in NUMERIC:
            found.append(_whole(trait))
        else:
            found += [_valued(trait, folded, written) for folded, written in values.get(trait.pk, ())]
    return found


def _values(purpose: Purpose, traits: Sequence[Trait], *, day: date) -> dict[int, list[tuple[str, str]]]:
    """By trait, its common values (folded, as written), the commonest first; none for one whose values are all rare."""
    if not traits:
        return {}
    people = query_of(profiled(Profile.objects.all(), purpose).values("pk")).of(VALUES)
    counted: dict[int, list[tuple[int, str, str]]] = defaultdict(list)
    params: dict[str, Any] = {"traits": [one.pk for one in traits], "ring_start": point_of(day), "ring_size": SAMPLE}
    for trait, folded, written, many in people.rows(**params):
        counted[trait].append((many, folded, written))
    kinds = {one.pk: one.type for one in traits}
    found = {}
    for trait, rows in counted.items():
        rows.sort(key=lambda row: (-row[0], row[1]))
        common = [
            row for row in rows if row[0] >= FEWEST and len(row[2]) <= LONGEST_VALUE and not EMAIL.search(row[2])
        ][:MOST_VALUES]
        covers = sum(row[0] for row in common) >= COVERED * sum(row[0] for row in rows)
        if common and (covers or kinds[trait] in ALWAYS_KINDS):
            found[trait] = [(folded, written) for _, folded, written in common]
    return found


def _whole(trait: Trait) -> Feature:
    if trait.type == TraitType.DATE:
        return age_feature(trait.key, trait.label) if info_of(trait).is_birth else since_feature(trait.key, trait.label)
    return (
        flag_feature(trait.key, trait.label)
        if trait.type == TraitType.BOOLEAN
        else number_feature(trait.key, trait.label)
    )


def _valued(trait: Trait, folded: str, written: str) -> Feature:
    label = written.upper() if trait.type in (TraitType.COUNTRY, TraitType.CURRENCY) else written
    return value_feature(trait.key, trait.label, folded, label)


__all__ = ["features_named", "features_there_are"]
