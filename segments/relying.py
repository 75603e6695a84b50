"""Which live rules rely on a trait or a purpose, for whoever is about to change one.

Which segments and lists a rule reads is kept in tables (`segments.models`), noted where it goes live (`segments.services`).
"""

from typing import Any

from django.db import transaction

from segments.live import end_sweeps, rules_lock
from segments.models import READABLE, Segment
from segments.rules import Dependencies, RuleErrors, depends_on, parse


@transaction.atomic
def names_relying_on(trait: str) -> list[str]:
    """Names of the segments whose live rules read this trait, paused ones too. None is set live before the caller's
    transaction ends."""
    rules_lock(exclusive=True)
    live = Segment.objects.filter(status__in=READABLE).select_related("live_version").order_by("name")
    return [segment.name for segment in live if segment.live_version and _reads(segment.live_version.rule, trait)]


def _reads(rule: Any, trait: str) -> bool:
    asked = _asked_by(rule)
    return asked is not None and trait in asked.traits


def _asked_by(rule: Any) -> Dependencies | None:
    try:
        return depends_on(parse(rule))
    except RuleErrors:
        return None  # of a form no longer read: it is broken already, whatever becomes of what it names


def _asking_for(purpose: str) -> list[Segment]:
    """The segments, live or paused, whose rules ask for this purpose."""
    live = Segment.objects.filter(status__in=READABLE).select_related("live_version").order_by("name")
    asked = {one: _asked_by(one.live_version.rule) for one in live if one.live_version}
    return [segment for segment, named in asked.items() if named is not None and purpose in named.purposes]


def names_asking_for(purpose: str) -> list[str]:
    """Names of the segments whose live rules ask for this purpose."""
    return [segment.name for segment in _asking_for(purpose)]


@transaction.atomic
def follow_new_mode(purpose: str) -> None:
    """Has the members of whatever asks for this purpose brought in line: another mode takes in other people at once.

    The sweeper asks for a full refresh of what was never swept.
    """
    rules_lock(exclusive=True)
    for segment in _asking_for(purpose):
        end_sweeps(segment.pk)


def segments_reading_scores(kind: str) -> list[Segment]:
    """The segments, live or paused, whose rules ask for scores of this kind of run."""
    live = Segment.objects.filter(status__in=READABLE).select_related("live_version").order_by("name")
    asked = {one: _asked_by(one.live_version.rule) for one in live if one.live_version}
    return [segment for segment, named in asked.items() if named is not None and kind in named.score_kinds]
