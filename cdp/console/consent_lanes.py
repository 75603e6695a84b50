"""A person's decisions as a picture: a lane for each purpose, coloured by what held, over the time since they first spoke.

What held is worked out in `consent.moments`; the words of it stand in the table below the picture.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from cdp.small_charts import place, ticks
from consent.models import ConsentRecord, Mode, Purpose, Reach
from consent.moments import Held, Spell, Standing, spells
from consent.trail import is_late

# So that what was said first doesn't stand at the very edge, and what was said just now can be seen.
MARGIN: Final = 0.04
SHORTEST: Final = timedelta(hours=1)
# Shares of a lane into which its longest word goes.
FITS_ON_WIDE: Final = 0.15
FITS_ANYWHERE: Final = 0.45


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A spell as it is drawn; ``at`` is a moment in it to look at, None before anything was on record.

    ``room`` for its word: "wide" on wide screens alone, "" nowhere.
    """

    x: str
    width: str
    look: str
    word: str
    room: str
    title: str
    at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Late:
    """A decision that reached us late: from when it was made until we learned it. One that changed nothing is a ring at its end."""

    x: str
    width: str
    end: str
    is_applied: bool
    title: str


@dataclass(frozen=True, kw_only=True)
class Lane:
    purpose: Purpose
    stretches: list[Stretch]
    late: list[Late]


@dataclass(frozen=True, kw_only=True)
class Lanes:
    """``cursor`` is where the moment that is asked about lies."""

    lanes: list[Lane]
    labels: list[tuple[str, str]]
    cursor: str

    @property
    def has_late(self) -> bool:
        return any(one.is_applied for lane in self.lanes for one in lane.late)

    @property
    def has_late_for_nothing(self) -> bool:
        return any(not one.is_applied for lane in self.lanes for one in lane.late)


def just_after(moment: datetime) -> datetime:
    """The first whole second from the moment on: forms know no smaller ones, and would ask for just before it."""
    return moment if not moment.microsecond else moment.replace(microsecond=0) + timedelta(seconds=1)


def lanes_of(profile_id: int, *, at: datetime, until: datetime) -> Lanes | None:
    """The lanes up to a moment, by all we know; None of whom nothing was ever on record."""
    found = spells(profile_id=profile_id, until=until)
    late = _late(profile_id)
    begins = [spell.since for one in found.values() for spell in one if spell.since is not None]
    begins += [record.collected_at for record in late]
    if not begins:
        return None
    first = min([*begins, at, until - SHORTEST])
    first -= (until - first) * MARGIN
    purposes = {spell.held.purpose.pk: spell.held.purpose for one in found.values() for spell in one}
    return Lanes(
        lanes=[
            Lane(
                purpose=purposes[pk],
                stretches=[_stretch(spell, first, until) for spell in one],
                late=_marks([record for record in late if record.purpose_id == pk], one, first, until),
            )
            for pk, one in found.items()
        ],
        labels=ticks(timezone.localtime(first), timezone.localtime(until)),
        cursor=place(at, first, until),
    )


def _late(profile_id: int) -> list[ConsentRecord]:
    records = ConsentRecord.objects.filter(profile_id=profile_id, reach=Reach.PERSON).order_by("pk")
    return [one for one in records.defer("sealed_evidence", "evidence") if is_late(one)]


def _stretch(spell: Spell, first: datetime, until: datetime) -> Stretch:
    since = max(spell.since or first, first)
    share = (spell.until - since) / (until - first)
    word = _word(spell.held)
    span = f"{_moment(spell.since)} to {_moment(spell.until)}" if spell.since else f"until {_moment(spell.until)}"
    return Stretch(
        x=place(since, first, until),
        width=place(first + (spell.until - since), first, until),
        look=_look(spell.held),
        word=word,
        room="all" if share > FITS_ANYWHERE else "wide" if share > FITS_ON_WIDE else "",
        title=f"{spell.held.purpose.label}: {word}, {span}",
        at=just_after(spell.since) if spell.since else None,
    )


def _look(held: Held) -> str:
    if held.standing == Standing.NONE and not held.is_stopped:
        return "none"
    return "ok" if held.permits else "no"


def _word(held: Held) -> str:
    if held.is_stopped:
        return "Halted"
    if held.standing == Standing.NONE:
        match held.purpose.mode:
            case Mode.OPT_OUT:
                return "No objection"
            case Mode.NOTICE_ONLY:
                return "Nobody is asked"
            case _:
                return "No record means no"
    return {
        Standing.GRANTED: "Granted",
        Standing.EXPIRED: "Ended",
        Standing.DENIED: "Denied",
        Standing.WITHDRAWN: "Withdrawn",
    }[held.standing]


def _marks(
    records: Collection[ConsentRecord], purpose_spells: Collection[Spell], first: datetime, until: datetime
) -> list[Late]:
    applied = {spell.held.record.pk for spell in purpose_spells if spell.held.record}
    return [
        Late(
            x=place(one.collected_at, first, until),
            width=place(first + (min(one.recorded_at, until) - one.collected_at), first, until),
            end=place(min(one.recorded_at, until), first, until),
            is_applied=one.pk in applied,
            title=f"{one.get_decision_display()} {_moment(one.collected_at)}, learned {_moment(one.recorded_at)}"
            + ("" if one.pk in applied else ": late, not applied"),
        )
        for one in records
        if one.collected_at < until
    ]


def _moment(moment: datetime) -> str:
    local = timezone.localtime(moment)
    return f"{local.day} {local:%b %Y, %H:%M}"
