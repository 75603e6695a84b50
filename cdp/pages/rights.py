"""What people ask for about their own data: a page that takes the wish, and one that proves whose it is.

A link to the preference centre may have been forwarded, so what gives data away or takes it away needs another proof: a fresh link,
sent to the address we know, which works once and for two days. What then happens is `cdp.privacy`'s.
"""

from dataclasses import dataclass
from smtplib import SMTPException
from typing import Any, Final

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy

from cdp.audit.actors import Actor
from cdp.errors import Conflict, DomainError, NotFound
from cdp.identity.merging import survivor_of
from cdp.logs import get_logger
from cdp.pages import brake, letters
from cdp.pages.frame import TooOften, page, person_of, show
from cdp.privacy.models import CameBy, IdentityMethod, ObjectsTo, PrivacyRequest, RequestKind, RequestState
from cdp.privacy.services import confirm_identity, open_request
from cdp.profiles import store
from cdp.profiles.models import Profile
from consent.jurisdictions import known_of
from consent.links import Kind, LinkUnknown, Named

log = get_logger(__name__)

BY = Actor.system("people's pages")
PROVED_BY = Actor.system("identity link")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Something that can be asked for here, as people would say it."""

    kind: RequestKind
    text: Any
    about: Any
    objects_to: ObjectsTo | None = None


WISHES: Final[dict[str, Wish]] = {
    "access": Wish(
        kind=RequestKind.ACCESS,
        text=gettext_lazy("Give me a copy of my data"),
        about=gettext_lazy("All that we know of you, as a page to read and as files for other programs."),
    ),
    "erasure": Wish(
        kind=RequestKind.ERASURE,
        text=gettext_lazy("Erase my data"),
        about=gettext_lazy("All that we know of you. This can't be undone."),
    ),
    "restriction": Wish(
        kind=RequestKind.RESTRICTION,
        text=gettext_lazy("Stop using my data"),
        about=gettext_lazy("We keep it, and use it for nothing but answering you."),
    ),
    "profiling": Wish(
        kind=RequestKind.OBJECTION,
        objects_to=ObjectsTo.PROFILING,
        text=gettext_lazy("Stop working out what kind of customer I am"),
        about=gettext_lazy("You are left out wherever people are grouped or foreseen."),
    ),
}


@page(Kind.PREFERENCES)
def ask(request: HttpRequest, named: Named) -> HttpResponse:
    """Opening it does nothing. Who asks twice gets another link, and has asked once."""
    person = person_of(named)
    context: dict[str, Any] = {"wishes": WISHES}
    if request.method != "POST":
        return show(request, "pages/ask.html", context)
    wish = WISHES.get(request.POST.get("wish", ""))
    if wish is None:
        return show(request, "pages/ask.html", context | {"is_missing": True}, status=400)
    if brake.is_written_to(person.uuid):
        raise TooOften
    asked = _asked(person, wish)
    return show(request, "pages/asked.html", {"wish": wish, "request": asked, "sent": _send(asked, person)})


@transaction.atomic
def _asked(person: Profile, wish: Wish) -> PrivacyRequest:
    """The request that waits for its link, or a new one. Locked before looking: of two clicks at once the later sees the earlier."""
    store.lock_profiles([person.pk])
    return _waiting(person, wish) or _open(person, wish)


def _waiting(person: Profile, wish: Wish) -> PrivacyRequest | None:
    return PrivacyRequest.objects.filter(
        profile_uuid=person.uuid,
        kind=wish.kind,
        objects_to=wish.objects_to or "",
        state=RequestState.IDENTITY_NEEDED,
        came_by=CameBy.PAGE,
    ).first()


def _open(person: Profile, wish: Wish) -> PrivacyRequest:
    country, _dash, region = known_of([person.pk])[person.pk].place.partition("-")
    return open_request(
        kind=wish.kind,
        came_by=CameBy.PAGE,
        by=BY,
        profile=person,
        country=country if len(country) == 2 else "",
        region=region,
        objects_to=wish.objects_to,
    )


def _send(asked: PrivacyRequest, person: Profile) -> bool:
    """Whether the link could be sent. If not, the request stands, and whoever handles it asks in another way."""
    try:
        return bool(letters.proof(asked, person).send())
    except DomainError as error:
        reason = error.code
    except (SMTPException, OSError, ValueError) as error:  # the last: an address that can't be written into a message
        reason = type(error).__name__
    log.warning("identity_link_not_sent", request=asked.number, reason=reason)
    return False


@page(Kind.IDENTITY)
def prove(request: HttpRequest, named: Named) -> HttpResponse:
    """Opening it does nothing: programs that scan mail open links, too."""
    asked = PrivacyRequest.objects.filter(uuid=named.uuid).first()
    # Should somebody else have been found to be the asker since, the letter went to the wrong one.
    if asked is None or asked.profile_uuid is None or named.about != asked.profile_uuid.hex or not _is_known(asked):
        raise LinkUnknown
    wish = next((one for one in WISHES.values() if _is_for(one, asked)), None)
    context = {"wish": wish, "request": asked}
    if asked.state != RequestState.IDENTITY_NEEDED:
        return show(
            request, "pages/prove.html", context | {"is_used": True}, status=409 if request.method == "POST" else 200
        )
    if request.method != "POST":
        return show(request, "pages/prove.html", context)
    try:
        confirm_identity(request=asked, method=IdentityMethod.SIGNED_LINK, by=PROVED_BY)
    except NotFound:
        raise LinkUnknown from None
    except Conflict:
        return show(request, "pages/prove.html", context | {"is_used": True}, status=409)
    asked.refresh_from_db()
    return show(request, "pages/prove.html", context | {"is_done": True})


def _is_known(asked: PrivacyRequest) -> bool:
    try:
        survivor_of(asked.asker)
    except NotFound:
        return False
    return True


def _is_for(wish: Wish, asked: PrivacyRequest) -> bool:
    return (wish.kind, wish.objects_to or "") == (asked.kind, asked.objects_to)
