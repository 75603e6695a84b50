"""The preference centre: all that a person has said yes and no to, and the same two clicks for either.

Nothing is ticked but what they chose themselves, to close the page changes nothing, and it works without JavaScript.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from cdp.errors import NotFound
from cdp.identity import ledger
from cdp.pages import entries
from cdp.pages.deciding import Change, decide, noes
from cdp.pages.frame import page, person_of, show
from cdp.pages.language import asked_for
from cdp.pages.telling import NOTICE, Telling, told_of
from cdp.profiles.models import Profile
from consent.choices import Choice, choices_of
from consent.links import Kind, LinkUnknown, Named
from consent.models import NoticeVersion, Purpose, ServedNotice
from consent.notices import content_of, newest, serve
from consent.querysets import PRIVACY_RIGHTS
from consent.services import Shown

ANSWERS: Final = {"yes": True, "no": False}
TRIES: Final = 3
PLACE: Final = "/privacy/"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One purpose as the page shows it.

    Args:
        renewed_until: until when a yes that is said now would hold; None: for ever.
        beneath: the purposes that stand within this one.
    """

    choice: Choice
    told: Telling
    may_renew: bool
    renewed_until: datetime | None
    beneath: "tuple[Row, ...]"


@page(Kind.PREFERENCES)
def view(request: HttpRequest, named: Named) -> HttpResponse:
    person = person_of(named)
    changes: list[Change] | None = None
    if request.method == "POST":
        person, changes = _save(request, named)
    now = timezone.now()
    version = newest(notice_key=NOTICE, locales=[asked_for(request)])
    choices = choices_of(person.pk, at=now, also=ledger.all_inside(person.pk))
    served = None
    if version is not None and request.method != "HEAD":
        served = serve(version=version, place=PLACE, profile_id=person.pk)
    context = {
        "content": content_of(version) if version else None,
        "version": version,
        "served": served,
        "rows": _rows([one for one in choices if one.purpose.is_theirs], version, now),
        "others": _rows([one for one in choices if not one.purpose.is_theirs and not _is_ours(one)], version, now),
        "changes": None if changes is None else [(one, told_of(one.purpose, version)) for one in changes],
        "entries": entries.of(named.token),
    }
    return show(request, "pages/preferences.html", context)


def _save(request: HttpRequest, named: Named) -> tuple[Profile, list[Change]]:
    for _ in range(TRIES):
        person = person_of(named)
        try:
            return person, _decide(request, person, through=named.about)
        except NotFound:
            continue  # merged away between two looks
    raise LinkUnknown


def _decide(request: HttpRequest, person: Profile, *, through: str) -> list[Change]:
    now = timezone.now()
    inside = ledger.all_inside(person.pk)
    choices = choices_of(person.pk, at=now, also=inside)
    served = _served(request.POST.get("served", ""), inside)
    told = {one.key for one in content_of(served.version).purposes} if served else set()
    if request.POST.get("do") == "no_to_all":
        wanted = noes(choices)
    else:
        wanted = _wanted(request, choices)
    return decide(
        person=person,
        choices=choices,
        wanted=wanted,
        renewed=_renewed(request, choices),
        at=now,
        shown=Shown(version_id=served.version_id, served_id=served.pk) if served else Shown(),
        told={one.purpose.pk for one in choices if one.purpose.key in told},
        language=asked_for(request),
        through=through,
    )


def _wanted(request: HttpRequest, choices: Sequence[Choice]) -> dict[int, bool]:
    """What they changed on the page. What stands there as it was shown is no new word: since then they may have said no
    somewhere else, and an old page that is saved late must not undo that."""
    wanted: dict[int, bool] = {}
    for one in choices:
        given = request.POST.get(f"choice-{one.purpose.key}", "")
        if given in ANSWERS and given != request.POST.get(f"shown-{one.purpose.key}", ""):
            wanted[one.purpose.pk] = ANSWERS[given]
    return wanted


def _renewed(request: HttpRequest, choices: Sequence[Choice]) -> set[int]:
    keys = request.POST.getlist("renew")
    return {one.purpose.pk for one in choices if one.purpose.key in keys and one.answer is True and not one.is_pending}


def _served(given: str, inside: set[int]) -> ServedNotice | None:
    """What this person was shown by that id. Another's, or none of ours, leads nowhere, and the decision counts without."""
    try:
        served_id = UUID(given)
    except ValueError:
        return None
    shown = ServedNotice.objects.select_related("version").filter(pk=served_id, version__notice__key=NOTICE).first()
    return shown if shown is not None and shown.profile_id in inside else None


def _is_ours(choice: Choice) -> bool:
    """The purpose by which we answer people about their data is no use we make of it."""
    return choice.purpose.key == PRIVACY_RIGHTS


def _rows(choices: Sequence[Choice], version: NoticeVersion | None, now: datetime) -> tuple[Row, ...]:
    """Those that lie beneath none of the others, each with those beneath it."""
    here = {one.purpose.pk for one in choices}

    def rows(parent_id: int | None) -> tuple[Row, ...]:
        return tuple(
            Row(
                choice=one,
                told=told_of(one.purpose, version),
                may_renew=one.may_renew(now),
                renewed_until=_would_end(one.purpose, now),
                beneath=rows(one.purpose.pk),
            )
            for one in choices
            if (one.purpose.parent_id if one.purpose.parent_id in here else None) == parent_id
        )

    return rows(None)


def _would_end(purpose: Purpose, now: datetime) -> datetime | None:
    return now + timedelta(days=purpose.lifetime_days) if purpose.lifetime_days else None
