"""What rules say of single people: a segment of `email equals ...` names somebody, and must not once they are erased.

Found by the digests under which identifiers are suppressed, so it can be done, and done again, when the person is gone. A value
is blotted out where it stands and nothing else is changed: nobody is left whom it would mean, so no verdict turns.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.identity.normalise import Identifier, Unusable, normalise
from cdp.identity.suppression import suppressed
from cdp.profiles.masking import HIDDEN
from segments.models import Segment, SegmentVersion

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Blotted:
    """How many versions of rules named the people, and of which segments they are."""

    versions: int
    segments: list[str]


def blot_out(*, namespaces: Collection[str], by: Actor) -> Blotted:
    """Takes the values of suppressed identifiers out of all rules, live or not, of any version.

    Args:
        namespaces: in which the people had identifiers; an address is looked for in all of them.
    """
    versions, found = 0, set[int]()
    after = 0
    while page := list(SegmentVersion.objects.filter(pk__gt=after).order_by("pk")[:AT_ONCE]):
        after = page[-1].pk
        named = _named({text for version in page for text in _texts(version.rule)}, namespaces)
        for version in page if named else ():
            rule = _without(version.rule, named)
            if rule != version.rule:
                _write(version, rule, by)
                versions += 1
                found.add(version.segment_id)
    keys = Segment.objects.filter(pk__in=found).order_by("key").values_list("key", flat=True)
    return Blotted(versions, list(keys))


@transaction.atomic
def _write(version: SegmentVersion, rule: Any, by: Actor) -> None:
    # The trigger lets texts be blotted out, and nothing else (segments, 0010).
    SegmentVersion.objects.filter(pk=version.pk).update(rule=rule)
    detail = {"version": version.number}
    record(by=by, action="segment.literals_erased", object=version.segment, detail=detail)


def _named(texts: Collection[str], namespaces: Collection[str]) -> set[str]:
    """Those of the texts that are somebody's suppressed identifier."""
    meant: dict[Identifier, set[str]] = {}
    for text in texts:
        for namespace in namespaces:
            try:
                meant.setdefault(normalise(namespace, text), set()).add(text)
            except Unusable:
                continue
    return {text for identifier in suppressed(meant.keys()) for text in meant[identifier]}


def _texts(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        # Keys and names of traits are definitions; only what is compared with is somebody's.
        for key, inner in part.items():
            if key == "value" or isinstance(inner, dict | list):
                yield from _texts(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _texts(inner)
    elif isinstance(part, str):
        yield part


def _without(part: Any, named: Collection[str]) -> Any:
    if isinstance(part, dict):
        return {
            key: _without(inner, named) if key == "value" or isinstance(inner, dict | list) else inner
            for key, inner in part.items()
        }
    if isinstance(part, list):
        return [_without(inner, named) for inner in part]
    return HIDDEN if isinstance(part, str) and part in named else part
