"""How a segment's rule carries who was added to it and removed from it by hand: as two conditions of the rule itself.

The one place that composes them. A version of a segment that has such lists is written with them, so that the one evaluator,
previews, explanations, sentences, dependencies and comparisons know them without being told. Putting people on the lists is in
`segments.by_hand`.
"""

from dataclasses import dataclass
from typing import Any

from segments.models import ByHand, Segment, StaticList
from segments.rules import VERSION


@dataclass(frozen=True, slots=True)
class HandLists:
    """The two lists of a segment, made together when somebody is first added or removed by hand."""

    include: StaticList
    exclude: StaticList

    def of(self, kind: ByHand) -> StaticList:
        return self.include if kind == ByHand.INCLUDE else self.exclude


def hand_lists(segment: Segment) -> HandLists | None:
    """The segment's own lists; None as long as nobody was ever added or removed by hand."""
    found = {one.by_hand: one for one in StaticList.objects.filter(segment=segment).select_related("segment")}
    if not found:
        return None
    return HandLists(include=found[ByHand.INCLUDE], exclude=found[ByHand.EXCLUDE])


def carried(document: Any, lists: HandLists | None) -> Any:
    """The rule's document with the two conditions above everything else in it; as it is, where the segment has no lists.

    Who was removed by hand stays out even if they were added, too, and whatever the rule says: the stricter holds.
    Wherever an editor has moved the conditions to, they are taken up from there, so that there is exactly one form.
    """
    if lists is None or not isinstance(document, dict):
        return document
    include, exclude = _conditions(lists)
    rest = _without(_bare(document), include, exclude)
    belongs = include if rest is None else {"any": [rest, include]}
    return {"version": document.get("version", VERSION), "all": [belongs, exclude]}


def rule_alone(document: Any, lists: HandLists | None) -> Any:
    """The document as somebody wrote it, without the two conditions. None: nothing else is in it."""
    if lists is None or not isinstance(document, dict):
        return document
    rest = _without(_bare(document), *_conditions(lists))
    return None if rest is None else {"version": document.get("version", VERSION), **rest}


def _conditions(lists: HandLists) -> tuple[dict[str, Any], dict[str, Any]]:
    return {"in_list": lists.include.key}, {"not": {"in_list": lists.exclude.key}}


def _bare(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "version"}


def _without(part: Any, include: dict[str, Any], exclude: dict[str, Any]) -> Any:
    """The part of a rule without the conditions; None where nothing is left. Not under a negation, where they mean something
    else; and groups from which nothing was taken stay as they were written."""
    if part in (include, exclude):
        return None
    if not isinstance(part, dict) or len(part) != 1:
        return part
    ((form, inner),) = part.items()
    if form not in ("all", "any") or not isinstance(inner, list):
        return part
    kept = [left for one in inner if (left := _without(one, include, exclude)) is not None]
    if kept == inner:
        return part
    return {form: kept} if len(kept) > 1 else kept[0] if kept else None
