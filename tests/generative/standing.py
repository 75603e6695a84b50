"""Conditions on how a person stands (scores, buckets, consent, lists), drawn at random; people who stand some way; and
the rows that say so in the logical tables. Rules as a whole are drawn in `tests.generative.strategies`.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from segments.rules import OPERATORS, Catalog, ConsentMode, Person, PurposeInfo, Value
from segments.rules.kinds import EXACT, NUMBER
from segments.rules.parse_standing import BUCKET_OPERATORS, SCORE_OPERATORS
from segments.rules.shapes import ANY_OF, NOTHING, PAIR
from tests.spec.world import AS_OF, CATALOG

Leaves = st.SearchStrategy[dict[str, Any]]
Note = Callable[..., None]
Row = Sequence[object]

NUMBERS = [0, 1, -1, 3, 4, 5, 0.25, 0.0001, 999999999999999]
LABELS = ["high", "High", "low", "At risk", "%", "", "É", "é"]
SCORES = {"number": ["rfm.frequency", "churn.risk"], "exact": ["rfm.group", "churn.risk"]}
SEEDS = ["spring test", "a", "'; --%s", "é:日本"]
BOUNDS = [0, 0.01, 12.34, 33.3333, 50, 75, 99.99, 100]
# Before, at and after the moment of judgement, and at the ends of the spans that edges are asked for.
ENDS = [
    sign * step + timedelta(microseconds=nudge)
    for step in (timedelta(0), timedelta(minutes=1), timedelta(days=1), timedelta(days=30))
    for sign in (-1, 1)
    for nudge in (-1, 0, 1)
]


# How many permit a purpose; those who don't permit what takes in everybody are stopped.
CHANCES = {ConsentMode.OPT_IN: 0.7, ConsentMode.OPT_OUT: 0.6, ConsentMode.NOTICE_ONLY: 0.8}


def everything() -> set[tuple[str, ...]]:
    """All that must be drawn."""
    scores = {("score", kind, op) for kind, op in _score_forms()}
    buckets = {("bucket", op) for op in BUCKET_OPERATORS}
    purposes = {("consented", info.mode.value) for info in CATALOG.purposes.values()}
    return scores | buckets | purposes | {("group", "in_list")}


def standing_forms(note: Note) -> list[Leaves]:
    """One strategy for each form such a leaf can have."""
    return [
        *(_score(note, kind, op) for kind, op in _score_forms()),
        *(_bucket(note, op) for op in BUCKET_OPERATORS),
        *(_consented(note, key) for key in CATALOG.purposes),
        _in_list(note),
    ]


def _score_forms() -> list[tuple[str, str]]:
    found = []
    for op in SCORE_OPERATORS:
        kinds = [kind.name for kind in OPERATORS[op].kinds if kind in (NUMBER, EXACT)]
        found += [(kind, op) for kind in kinds or ["presence"]]
    return found


@st.composite
def _score(draw: st.DrawFn, note: Note, kind: str, op: str) -> dict[str, Any]:
    note("score", kind, op)
    score = draw(st.sampled_from(SCORES.get(kind, ["rfm.group", "churn.risk"])))
    return {"score": score, "op": op, **draw(_value(op, NUMBERS if kind == "number" else LABELS))}


@st.composite
def _bucket(draw: st.DrawFn, note: Note, op: str) -> dict[str, Any]:
    note("bucket", op)
    return {"bucket": draw(st.sampled_from(SEEDS)), "op": op, **draw(_value(op, BOUNDS))}


@st.composite
def _consented(draw: st.DrawFn, note: Note, purpose: str) -> dict[str, Any]:
    note("consented", CATALOG.purposes[purpose].mode.value)
    return draw(st.just({"consented": purpose}))


@st.composite
def _in_list(draw: st.DrawFn, note: Note) -> dict[str, Any]:
    note("group", "in_list")
    return {"in_list": draw(st.sampled_from(sorted(CATALOG.lists)))}


@st.composite
def _value(draw: st.DrawFn, op: str, pool: Sequence[Any]) -> dict[str, Any]:
    shape = OPERATORS[op].shape
    if shape is NOTHING:
        return {}
    if shape is PAIR:
        return {"value": sorted((draw(st.sampled_from(pool)), draw(st.sampled_from(pool))))}
    if shape is ANY_OF:
        return {"value": draw(st.lists(st.sampled_from(pool), min_size=1, max_size=3))}
    return {"value": draw(st.sampled_from(pool))}


def of_someone(chance: random.Random) -> dict[str, Any]:
    """How somebody stands, as `person` takes it."""
    scores = {}
    for key, info in CATALOG.scores.items():
        number = Decimal(str(chance.choice(NUMBERS))) if info.has_numbers and chance.random() < 0.7 else None
        text = chance.choice(LABELS) if info.has_labels and chance.random() < 0.7 else None
        if number is not None or text is not None:
            scores[key] = Value(number=number, text=text)
    permits = {}
    for key, purpose in CATALOG.purposes.items():
        if chance.random() < CHANCES[purpose.mode]:
            ends = purpose.mode is ConsentMode.OPT_IN and chance.random() < 0.6
            permits[key] = AS_OF + chance.choice(ENDS) if ends else None
    return {
        "scores": scores,
        "permits": permits,
        "lists": frozenset(key for key in CATALOG.lists if chance.random() < 0.4),
    }


# ---- The logical tables --------------------------------------------------------------------------------------


def score_rows(catalog: Catalog, people: Sequence[Person]) -> Iterator[Row]:
    """kind, key, profile_id, number, text"""
    for one in people:
        for key, said in one.scores.items():
            info = catalog.scores[key]
            yield info.kind, info.name, one.id, said.number, said.text


def consent_rows(catalog: Catalog, people: Sequence[Person]) -> Iterator[Row]:
    """purpose_id, profile_id, decision, expires_at. Silence and a decision that comes to the same take turns."""
    for one in people:
        for key, info in catalog.purposes.items():
            is_silent = one.id % 2 == 0
            if key in one.permits and info.mode is ConsentMode.OPT_IN:
                yield info.id, one.id, "granted", one.permits[key]
            elif info.mode is ConsentMode.NOTICE_ONLY and not is_silent:
                yield info.id, one.id, "denied", None
            elif key in one.permits and info.mode is ConsentMode.OPT_OUT and not is_silent:
                # A grant that has ended leaves it at what holds of who never said anything.
                yield info.id, one.id, "granted", AS_OF - timedelta(days=9)
            elif key not in one.permits and _is_stopped(one, info) and info.mode is ConsentMode.OPT_IN:
                yield info.id, one.id, "granted", None  # they said yes, and it doesn't count
            elif (
                key not in one.permits
                and not _is_stopped(one, info)
                and (info.mode is ConsentMode.OPT_OUT or not is_silent)
            ):
                yield info.id, one.id, ("denied", "withdrawn")[one.id // 2 % 2], None


def stop_rows(catalog: Catalog, people: Sequence[Person]) -> Iterator[Row]:
    """purpose_id, profile_id; of some twice, as of those who are stopped for two reasons."""
    for one in people:
        for key, info in catalog.purposes.items():
            if key not in one.permits and _is_stopped(one, info):
                for _ in range(1 + one.id % 2):
                    yield info.id, one.id


def _is_stopped(one: Person, info: PurposeInfo) -> bool:
    """Of those who don't permit it: whether that is why, and not what they said. Nothing else keeps from what takes in all."""
    return info.mode is ConsentMode.NOTICE_ONLY or (one.id + info.id) % 3 == 0


def list_rows(catalog: Catalog, people: Sequence[Person]) -> Iterator[Row]:
    """list_id, profile_id; of some people twice, as of those who absorbed others."""
    for one in people:
        for key in sorted(one.lists):
            for _ in range(1 + one.id % 3 // 2):
                yield catalog.lists[key].id, one.id
