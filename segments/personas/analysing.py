"""What sets each group apart, what goes along with buying in it, and where it stands on the traits that everybody has in common.

All of it on samples drawn at random, whose sizes stand beside what was found. The maths is in `segments.analytics`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cdp.database import bound_cursor
from cdp.profiles.orders import ORDER_COMPLETED
from consent.models import Purpose
from segments.analytics.attributes import Apart, Buying, relating_to_buying, telling_apart
from segments.analytics.factors import Factor, Factors, Words, find_factors, place_of
from segments.analytics.portraits import Unit
from segments.features.catalogue import FIXED, TRAIT, VALUE, Feature, FeatureKind, parts_of
from segments.features.discovery import features_there_are
from segments.features.loading import load_features
from segments.features.matrix import FeatureMatrix
from segments.personas.counting import WINDOW, numbers_of_events
from segments.personas.portraying import is_sensitive
from segments.queries import Query

OTHERS: Final = 8_000
MEMBERS: Final = 3_000
SEED: Final = 20_261_123
# What was known before this span is held against what was bought in it.
AHEAD: Final = timedelta(days=90)

UNITS: Final = {
    FeatureKind.AMOUNT: Unit.MONEY,
    FeatureKind.DAYS: Unit.DAYS,
    FeatureKind.MINUTES: Unit.MINUTES,
    FeatureKind.SHARE: Unit.SHARE,
    FeatureKind.FLAG: Unit.SHARE,
}
# How what is counted is said of somebody, where a verb and an adverb say it better than the catalogue's words.
WORDS: Final = {
    "orders_per_month": Words("Buys", "often", "seldom"),
    "average_order_value": Words("Spends", "much on an order", "little on an order"),
    "net_revenue": Words("Spends", "much in all", "little in all"),
    "recency_days": Words("Bought", "long ago", "recently"),
    "order_gap_days": Words("Takes", "long between orders", "little time between orders"),
    "order_gap_trend": Words("Comes", "ever later", "ever sooner"),
    "discount_share": Words("Buys", "with discounts", "at full price"),
    "refund_share": Words("Sends", "much back", "little back"),
    "tenure_days": Words("Is known", "for long", "since lately"),
    "sessions": Words("Visits", "often", "seldom"),
    "session_minutes": Words("Visits", "for long", "briefly"),
    "days_since_visit": Words("Visited", "long ago", "recently"),
    "page_views": Words("Looks at", "many pages", "few pages"),
    "product_views": Words("Looks at", "many products", "few products"),
}


@dataclass(frozen=True, kw_only=True)
class Analysed:
    """What was found of one group. `places` are where it stands on each of everybody's factors, in standard deviations."""

    apart: tuple[Apart, ...] = ()
    members: int = 0
    others: int = 0
    buying: Buying | None = None
    ahead_days: int = AHEAD.days
    factors: Factors | None = None
    places: tuple[float, ...] = ()

    @property
    def traits(self) -> list[tuple[Factor, float]]:
        return list(zip(self.factors.factors, self.places, strict=True)) if self.factors and self.places else []

    def attributes_json(self) -> dict[str, Any]:
        return {
            "apart": [asdict(one) for one in self.apart],
            "members": self.members,
            "others": self.others,
            "ahead_days": self.ahead_days,
            "buying": self.buying and self.buying.as_json(),
        }

    def factors_json(self) -> dict[str, Any]:
        return {"found": self.factors and self.factors.as_json(), "places": list(self.places)}

    @classmethod
    def from_json(cls, attributes: Mapping[str, Any], factors: Mapping[str, Any]) -> "Analysed":
        return cls(
            apart=tuple(Apart(**one) for one in attributes["apart"]),
            members=attributes["members"],
            others=attributes["others"],
            ahead_days=attributes["ahead_days"],
            buying=attributes["buying"] and Buying.from_json(attributes["buying"]),
            factors=factors["found"] and Factors.from_json(factors["found"]),
            places=tuple(factors["places"]),
        )


# In the order of a hash of their numbers: at random, and the same people each time.
SOME_OF_EVERYBODY: Final = """
    SELECT id FROM ({query}) AS everybody(id) ORDER BY hashint8extended(id, 0) LIMIT %(most)s
"""
SOME_MEMBERS: Final = """
    SELECT key, profile_id FROM (
        SELECT key, profile_id, row_number() OVER (PARTITION BY key ORDER BY hashint8extended(profile_id, 0)) AS place
          FROM profiles_score WHERE run_id = %(run)s AND key <> 'persona') AS placed
     WHERE place <= %(most)s
"""
BELONGING: Final = """
    SELECT key, profile_id FROM profiles_score
     WHERE run_id = %(run)s AND key <> 'persona' AND profile_id = ANY(%(people)s::bigint[])
"""
BUYERS: Final = """
    SELECT DISTINCT profile_id FROM profiles_event
     WHERE name_id = %(order)s AND occurred_at >= %(since)s AND occurred_at < %(until)s
       AND profile_id = ANY(%(people)s::bigint[])
"""


def analyse(
    keys: Sequence[str], *, everybody: Query, run: int, as_of: datetime, purpose: Purpose, step: Callable[[str], None]
) -> dict[str, Analysed]:
    """By the key of each group, what was found of it.

    Args:
        run: the scores that say who is in which group.
        step: told the name of each phase before it begins; may end the work by raising.
    """
    step("samples of people")
    drawn = everybody.of(SOME_OF_EVERYBODY).rows(most=OTHERS)
    random = np.array([one for (one,) in drawn], dtype=np.int64)
    members = _by_key(_asked(SOME_MEMBERS, run=run, most=MEMBERS))
    also = _by_key(_asked(BELONGING, run=run, people=random.tolist()))
    chosen = np.unique(np.concatenate([random, *members.values()]))
    if not len(chosen):
        return {key: Analysed() for key in keys}
    features = _features(purpose, as_of)
    labels = [(one.key, one.label) for one in features]
    units = {one.key: UNITS.get(one.kind, Unit.NUMBER).value for one in features}
    now = _loaded(features, chosen, as_of=as_of, purpose=purpose)
    step("factors")
    # Shares of one whole hang together by their making, and so do the values of one trait: no factor is sought in them.
    single = [one for one in features if one in FIXED]
    of_everybody = now.values[np.isin(now.ids, random)][:, _places(features, single)]
    fitted = find_factors([(one.key, one.label) for one in single], of_everybody, words=_words(single), seed=SEED)
    places = now.ids[np.isin(now.ids, random)]
    # Traits are known as they are now, and some of them follow from what was bought: a model would learn what came after.
    dated = [one for one in features if not _of_trait(one)]
    dated_labels = [(one.key, one.label) for one in dated]
    step("what was known before they bought")
    before = as_of - AHEAD
    mine = np.unique(np.concatenate(list(members.values()))) if members else np.empty(0, dtype=np.int64)
    then = _loaded(dated, mine, as_of=before, purpose=purpose)
    order = numbers_of_events().get(ORDER_COMPLETED, 0)
    bought = np.array(
        [one for (one,) in _asked(BUYERS, order=order, since=before, until=as_of, people=mine.tolist())], dtype=np.int64
    )
    found = {}
    for number, key in enumerate(keys, start=1):
        step(f"what sets apart persona {number} of {len(keys)}")
        if key not in members:
            found[key] = Analysed()
            continue
        in_group = np.isin(now.ids, members[key])
        # Of everybody's sample, whoever is in the group is no other, whether drawn as a member or not.
        others = np.isin(now.ids, random) & ~np.isin(now.ids, also.get(key, np.empty(0, dtype=np.int64)))
        looked_at = in_group | others
        of_members = then.values[np.isin(then.ids, members[key])]
        their_ids = then.ids[np.isin(then.ids, members[key])]
        found[key] = Analysed(
            apart=tuple(
                replace(one, unit=units[one.key])
                for one in telling_apart(labels, now.values[looked_at], in_group[looked_at])
            ),
            members=int(in_group.sum()),
            others=int((others & ~in_group).sum()),
            buying=relating_to_buying(dated_labels, of_members, np.isin(their_ids, bought), seed=SEED),
            factors=fitted.found,
            places=place_of(fitted.scores, np.isin(places, also.get(key, np.empty(0, dtype=np.int64)))),
        )
    return found


def _features(purpose: Purpose, as_of: datetime) -> list[Feature]:
    """All that is known of people and may be part of a portrait."""
    found = features_there_are(purpose=purpose, as_of=as_of, window_days=WINDOW.days)
    return [one for one in found if not is_sensitive(_of_trait(one))]


def _of_trait(feature: Feature) -> str:
    parts = parts_of(feature.key)
    return parts.name if parts is not None and parts.kind in (TRAIT, VALUE) else ""


def _places(features: Sequence[Feature], wanted: Sequence[Feature]) -> list[int]:
    return [number for number, one in enumerate(features) if one in wanted]


def _words(features: Sequence[Feature]) -> dict[str, Words]:
    return {one.key: WORDS.get(one.key, Words("", one.high, one.low)) for one in features}


def _loaded(
    features: Sequence[Feature], people: NDArray[np.int64], *, as_of: datetime, purpose: Purpose
) -> FeatureMatrix:
    return load_features(
        [one.key for one in features],
        as_of=as_of,
        window_days=WINDOW.days,
        purpose=purpose,
        profile_ids=people.tolist(),
    )


def _asked(sql: str, **operands: Any) -> list[Any]:
    with bound_cursor() as cursor:
        cursor.execute(sql, operands)
        return cursor.fetchall()


def _by_key(rows: Sequence[tuple[str, int]]) -> dict[str, NDArray[np.int64]]:
    found: dict[str, list[int]] = {}
    for key, person in rows:
        found.setdefault(key, []).append(person)
    return {key: np.array(people, dtype=np.int64) for key, people in found.items()}
