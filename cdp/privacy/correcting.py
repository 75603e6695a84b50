"""Putting right what is wrong of somebody (GDPR Art. 16): traits, and identifiers that aren't theirs.

A correction comes as any source would say it, so that history shows what was said before, and segments follow. It is done once the
pipeline has taken it, not when it was put into the inbox.
"""

import time
from typing import Any, Final

import msgspec
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.errors import Conflict, DomainError, NotFound
from cdp.identity.merging import survivor_of
from cdp.identity.normalise import ANONYMOUS_ID, USER_ID, Unusable, normalise, priority
from cdp.identity.normalise import Identifier as Named
from cdp.identity.removing import remove_identifiers
from cdp.ingestion import inbox
from cdp.ingestion.keys import create_source
from cdp.ingestion.models import InboxMessage, Source, SourceKind
from cdp.pipeline import process_batch
from cdp.privacy.models import PrivacyRequest
from cdp.profiles.models import Event, Profile

CORRECTIONS: Final = "Privacy requests"
"""The source by which corrections come."""
MOST_SECONDS: Final = 60.0
"""That it is waited for, while others that came before it are taken."""


def wrong_of(request: PrivacyRequest) -> list[Named]:
    return [Named(*pair) for pair in request.wrong_identifiers]


def correct(request: PrivacyRequest, by: Actor) -> dict[str, Any]:
    """Says what is right. Said twice it is one message.

    Raises:
        NotFound: nobody is known by the request's id, or by anything a message could name.
        Conflict: a consumer holds it just now; or it was taken, and can't be used.
    """
    person = survivor_of(request.asker)
    said = _not_theirs(person, wrong_of(request)) | request.corrections
    if not said:
        return {"traits": 0}
    message_id = f"privacy-{request.uuid}"
    call = {"type": "identify", "messageId": message_id, "traits": said, "timestamp": timezone.now().isoformat()}
    source = _put(call | _naming(person, wrong_of(request)), by)
    taken = _taken(request, message_id)
    until = time.monotonic() + MOST_SECONDS
    while taken is None and time.monotonic() < until and process_batch().requests:
        taken = _taken(request, message_id)
    if taken is None and InboxMessage.objects.filter(source_id=source.pk).exists():
        raise Conflict("correction_waits", "The correction waits for a consumer; try again in a minute.")
    if taken is None:
        raise Conflict("correction_not_taken", "The correction couldn't be used; quarantine says why.")
    PrivacyRequest.objects.filter(pk=request.pk).update(corrections={})
    request.corrections = {}
    return {"traits": len(said), "flags": sorted(taken.flags or [])}


def remove(request: PrivacyRequest, by: Actor) -> dict[str, Any]:
    """Takes away the identifiers that aren't theirs.

    Raises:
        Conflict: they would be left with none.
        NotFound: nobody is known by the request's id.
    """
    with transaction.atomic():
        wrong = wrong_of(request)
        gone = remove_identifiers(profile=survivor_of(request.asker), identifiers=wrong, by=by, why=request.number)
        PrivacyRequest.objects.filter(pk=request.pk).update(wrong_identifiers=[])
        request.wrong_identifiers = []
    return {"identifiers": gone}


def read_wrong(said: list[str], person: Profile | None) -> list[Named]:
    """Identifiers as they were named, `namespace:value` each.

    Raises:
        DomainError: one can't be, or isn't the person's.
    """
    wrong: list[Named] = []
    for place, text in enumerate(said):
        namespace, _, value = text.partition(":")
        try:
            one = normalise(namespace.strip(), value)
        except Unusable:
            message = "An identifier is written as namespace:value, such as email:ann@example.com."
            raise DomainError("identifier_malformed", message, f"/wrong_identifiers/{place}") from None
        if person is not None and not person.identifiers.filter(namespace=one.namespace, value=one.value).exists():
            message = "They aren't known by this, so there is nothing to remove."
            raise DomainError("identifier_not_theirs", message, f"/wrong_identifiers/{place}")
        wrong.append(one)
    return wrong


def _not_theirs(person: Profile, wrong: list[Named]) -> dict[str, None]:
    """Traits that repeat one of the identifiers: they go along, unless something else is said of them."""
    found: dict[str, None] = {}
    for trait, value in person.traits.items():
        for one in wrong:
            try:
                if normalise(one.namespace, value) == one:
                    found[trait] = None
            except Unusable:
                continue
    return found


def _naming(person: Profile, wrong: list[Named]) -> dict[str, Any]:
    """How a message names them: by the strongest of what they are known by, and by what isn't theirs only where that is all."""
    known = [Named(*pair) for pair in person.identifiers.values_list("namespace", "value")]
    if not known:
        raise NotFound("nothing_names_them", "This profile has no identifier by which a correction could name it.")
    strongest = min(known, key=lambda one: (one in wrong, priority(one), one))
    match strongest.namespace:
        case str(name) if name == USER_ID:
            return {"userId": strongest.value}
        case str(name) if name == ANONYMOUS_ID:
            return {"anonymousId": strongest.value}
        case name:
            return {"context": {"externalIds": [{"type": name, "id": strongest.value}]}}


def _taken(request: PrivacyRequest, message_id: str) -> Event | None:
    return Event.objects.filter(profile_id=survivor_of(request.asker).pk, message_id=message_id).first()


@transaction.atomic
def _put(call: dict[str, Any], by: Actor) -> Source:
    """Puts it into the inbox, by the source that was made for it."""
    source = Source.objects.filter(name=CORRECTIONS, kind=SourceKind.SERVER).order_by("pk").first()
    source = source or create_source(name=CORRECTIONS, kind=SourceKind.SERVER, by=by)
    body = msgspec.json.encode({"batch": [call]})
    inbox.put(source_id=source.pk, endpoint="batch", body=body, message_count=1, received_at=timezone.now())
    return source
