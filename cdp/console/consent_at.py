"""What a person permitted at a moment, and by which record: a question that authorities ask of the past.

What held is worked out in `consent.moments`; who may see the person is decided by the screens of people.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.db.models import Max, Min
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from cdp.console.consent_lanes import Lanes, just_after, lanes_of
from cdp.identity import ledger
from cdp.profiles.models import Profile
from consent.models import ConsentRecord, Method, Reach
from consent.moments import Held, held_at

# Years of which the moments around any moment can be worked out.
EARLIEST, LATEST = 1900, 9000


class _LocalMoment(forms.DateTimeInput):
    """Shows a moment that came with its offset, as in a link, in the workspace's time: a browser would show it as empty."""

    def format_value(self, value: Any) -> str | None:
        try:
            told = parse_datetime(value) if isinstance(value, str) else None
        except ValueError:
            told = None
        if told is None or not timezone.is_aware(told) or not EARLIEST <= told.year <= LATEST:
            return super().format_value(value)
        return super().format_value(timezone.localtime(told))


def _moment(**more: object) -> forms.DateTimeField:
    widget = _LocalMoment(
        attrs={"type": "datetime-local", "step": "1", "class": "in in--auto"}, format="%Y-%m-%dT%H:%M:%S"
    )
    return forms.DateTimeField(widget=widget, **more)  # type: ignore[arg-type]


class Asked(forms.Form):
    """The two moments, in the workspace's time."""

    at = _moment(label="Permitted at")
    known_at = _moment(label="Counting what we knew at", required=False)

    def clean(self) -> dict[str, datetime | None]:
        given = super().clean() or {}
        known_at, at = given.get("known_at"), given.get("at")
        for name in ("at", "known_at"):
            if given.get(name) and given[name].year < EARLIEST:
                self.add_error(name, f"From {EARLIEST} on.")
        if at and at > timezone.now():
            self.add_error("at", "What will be permitted isn't known; choose a moment that has been.")
        if known_at and known_at > timezone.now():
            self.add_error("known_at", "Leave it empty to count all that is known by now.")
        return given


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What held for a purpose, and what was known of it at that very moment: None where no other moment of knowing was asked for
    and both are the same."""

    held: Held
    known_then: Held | None

    @property
    def is_apart(self) -> bool:
        return self.known_then is not None and self.known_then.permits != self.held.permits


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one profile had said: the person's own, or one that was merged into it; that one as of ``at`` when it was, at the latest,
    since nobody is read by its number from then on."""

    profile_id: int
    is_own: bool
    at: datetime
    answers: list[Answer]
    lanes: Lanes | None

    @property
    def differing(self) -> list[Answer]:
        """Where by what could be known another answer was right."""
        return [one for one in self.answers if one.is_apart]


@dataclass(frozen=True, kw_only=True)
class Steps:
    """The decisions next to a moment: when each had just been made."""

    before: datetime | None
    after: datetime | None


def opted_out_by_browser(person: Profile) -> datetime | None:
    """When the newest browser of theirs asked by Global Privacy Control, which was honoured; None if none did."""
    asked = ConsentRecord.objects.filter(profile_id__in=ledger.all_inside(person.pk), method=Method.GPC)
    return asked.order_by("-collected_at").values_list("collected_at", flat=True).first()


def steps(person: Profile, *, at: datetime) -> Steps:
    """To the decision before this moment, and to the one after it."""
    theirs = ConsentRecord.objects.filter(profile_id__in=ledger.all_inside(person.pk), reach=Reach.PERSON).order_by()
    before = theirs.filter(collected_at__lte=at - timedelta(seconds=1)).aggregate(moment=Max("collected_at"))["moment"]
    after = theirs.filter(collected_at__gt=at).aggregate(moment=Min("collected_at"))["moment"]
    return Steps(before=before and just_after(before), after=after and just_after(after))


def told(person: Profile, *, at: datetime, known_at: datetime | None) -> list[Told]:
    """The person's own profile first, then those merged into it that ever said anything."""
    inside = [pk for pk in ledger.all_inside(person.pk) if pk != person.pk]
    speaking = set(ConsentRecord.objects.filter(profile_id__in=inside).values_list("profile_id", flat=True))
    now = timezone.now()
    found = []
    for pk in [person.pk, *sorted(speaking)]:
        then = ledger.merged_away(pk, at=at) or at
        lanes = lanes_of(pk, at=then, until=ledger.merged_away(pk, at=now) or now)
        found.append(
            Told(profile_id=pk, is_own=pk == person.pk, at=then, answers=_answers(pk, then, known_at), lanes=lanes)
        )
    return found


def _answers(profile_id: int, at: datetime, known_at: datetime | None) -> list[Answer]:
    held = held_at(profile_id=profile_id, at=at, known_at=known_at)
    if known_at is not None:
        return [Answer(held=one, known_then=None) for one in held]
    then = {one.purpose.pk: one for one in held_at(profile_id=profile_id, at=at, known_at=at)}
    return [
        Answer(held=one, known_then=None if _is_same(one, then[one.purpose.pk]) else then[one.purpose.pk])
        for one in held
    ]


def _is_same(one: Held, other: Held) -> bool:
    return (one.permits, one.standing, one.is_stopped) == (other.permits, other.standing, other.is_stopped)
