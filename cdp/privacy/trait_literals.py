"""What rules say of people's names: `first_name equals Zebulon` means one person, where nobody else is called so.

Unlike an identifier such a value is kept nowhere once its person is gone, so before that it is noted at which places of rules it
stands, never what it is. What others share with them names nobody by itself: it stays, and is told, for somebody to look at.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.profiles.masking import HIDDEN
from cdp.profiles.values import fold
from segments.models import Segment, SegmentVersion

AT_ONCE = 500
Path = tuple[str | int, ...]
Place = list[Any]
"""A version's number in the database, and the way to a text in its rule, as keys and positions. Versions never change."""


class Literal(NamedTuple):
    """A text that a trait is compared with, folded as comparing does."""

    trait: str
    text: str


@dataclass(frozen=True, slots=True)
class Removed:
    """How many versions named the person by a trait, of which segments, and in which segments something stands that others share."""

    versions: int
    segments: list[str]
    shared: list[str]


def places_of(profile_ids: Collection[int]) -> list[Place]:
    """Where rules, live or not, compare a personal trait with what it is of these people."""
    theirs = _said_of(profile_ids)
    if not theirs:
        return []
    return [
        [version.pk, list(path)]
        for version in _versions()
        for path, literal in _literals(version.rule)
        if literal in theirs
    ]


@transaction.atomic
def remove_at(places: Sequence[Place], *, by: Actor) -> Removed:
    """Blots out what stands at these places, there and wherever else it is said of the trait, once its people are gone.

    All at once: were some places emptied and others not, the next try couldn't tell any more what to look for.
    """
    meant = _read_at(places)
    shared = _of_others(meant)
    versions, found, left = 0, set[int](), set[int]()
    for version in _versions() if meant else ():
        here = {path for path, literal in _literals(version.rule) if literal in meant - shared}
        if any(literal in shared for _, literal in _literals(version.rule)):
            left.add(version.segment_id)
        if here:
            SegmentVersion.objects.filter(pk=version.pk).update(rule=_without(version.rule, here))
            detail = {"version": version.number}
            record(by=by, action="segment.literals_erased", object=version.segment, detail=detail)
            versions += 1
            found.add(version.segment_id)
    keys = dict(Segment.objects.filter(pk__in=found | left).values_list("pk", "key"))
    return Removed(versions, sorted(keys[pk] for pk in found), sorted(keys[pk] for pk in left))


def _versions() -> Iterator[SegmentVersion]:
    after = 0
    while page := list(SegmentVersion.objects.select_related("segment").filter(pk__gt=after).order_by("pk")[:AT_ONCE]):
        yield from page
        after = page[-1].pk


def _said_of(profile_ids: Collection[int]) -> set[Literal]:
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT t.key, v.text_folded FROM profiles_traitvalue v JOIN profiles_trait t ON t.id = v.trait_id"
            " WHERE v.profile_id = ANY(%s::bigint[]) AND t.is_pii AND v.text_folded IS NOT NULL",
            [list(profile_ids)],
        )
        return {Literal(*row) for row in cursor.fetchall()}


def _of_others(literals: Collection[Literal]) -> set[Literal]:
    """Those that anybody has."""
    with bound_cursor() as cursor:
        cursor.execute(
            "SELECT g.key, g.said FROM unnest(%s::text[], %s::text[]) AS g(key, said) JOIN profiles_trait t USING (key)"
            " WHERE EXISTS (SELECT FROM profiles_traitvalue v WHERE v.trait_id = t.id AND v.text_folded = g.said)",
            [[one.trait for one in literals], [one.text for one in literals]],
        )
        return {Literal(*row) for row in cursor.fetchall()}


def _read_at(places: Sequence[Place]) -> set[Literal]:
    """What stands there still."""
    rules: Mapping[int, SegmentVersion] = SegmentVersion.objects.in_bulk([pk for pk, _ in places])
    return {
        literal
        for pk, wanted in places
        if pk in rules
        for path, literal in _literals(rules[pk].rule)
        if list(path) == wanted
    }


def _literals(part: Any, path: Path = ()) -> Iterator[tuple[Path, Literal]]:
    if isinstance(part, dict):
        trait, value = part.get("trait"), part.get("value")
        if isinstance(trait, str):
            said = enumerate(value) if isinstance(value, list) else [(None, value)]
            for place, text in said:
                if isinstance(text, str) and text != HIDDEN:
                    yield (*path, "value", *(() if place is None else (place,))), Literal(trait, fold(text))
        for key, inner in part.items():
            yield from _literals(inner, (*path, key))
    elif isinstance(part, list):
        for place, inner in enumerate(part):
            yield from _literals(inner, (*path, place))


def _without(part: Any, paths: Collection[Path], path: Path = ()) -> Any:
    if path in paths:
        return HIDDEN
    if isinstance(part, dict):
        return {key: _without(inner, paths, (*path, key)) for key, inner in part.items()}
    if isinstance(part, list):
        return [_without(inner, paths, (*path, place)) for place, inner in enumerate(part)]
    return part
