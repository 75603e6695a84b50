"""What a person permitted at a moment, and by which record: a question that authorities ask of the past.

What held is worked out in `consent.moments`; who may see the person is decided by the screens of people.
"""

from dataclasses import dataclass
from datetime import datetime

from django import forms
from django.utils import timezone

from cdp.identity import ledger
from cdp.profiles.models import Profile
from consent.models import ConsentRecord, Method
from consent.moments import Held, held_at


def _moment(**more: object) -> forms.DateTimeField:
    widget = forms.DateTimeInput(
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
        if at and at > timezone.now():
            self.add_error("at", "What will be permitted isn't known; choose a moment that has been.")
        if known_at and known_at > timezone.now():
            self.add_error("known_at", "Leave it empty to count all that is known by now.")
        return given


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one profile had said: the person's own, or one that was merged into it; that one as of ``at`` when it was, at the latest,
    since nobody is read by its number from then on."""

    profile_id: int
    is_own: bool
    at: datetime
    held: list[Held]


def opted_out_by_browser(person: Profile) -> datetime | None:
    """When the newest browser of theirs asked by Global Privacy Control, which was honoured; None if none did."""
    asked = ConsentRecord.objects.filter(profile_id__in=ledger.all_inside(person.pk), method=Method.GPC)
    return asked.order_by("-collected_at").values_list("collected_at", flat=True).first()


def told(person: Profile, *, at: datetime, known_at: datetime | None) -> list[Told]:
    """The person's own profile first, then those merged into it that ever said anything."""
    inside = [pk for pk in ledger.all_inside(person.pk) if pk != person.pk]
    speaking = set(ConsentRecord.objects.filter(profile_id__in=inside).values_list("profile_id", flat=True))
    moments = {pk: ledger.merged_away(pk, at=at) or at for pk in [person.pk, *sorted(speaking)]}
    return [
        Told(profile_id=pk, is_own=pk == person.pk, at=then, held=held_at(profile_id=pk, at=then, known_at=known_at))
        for pk, then in moments.items()
    ]
