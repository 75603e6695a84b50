"""What a visitor's own browser may ask: in which public segments they are, and what public slots say to them.

Whoever has a page's write key and a device's anonymous id may ask, so nothing is told here that isn't marked public, and nothing
of anybody who doesn't permit personalisation. Whoever isn't known is answered as somebody of whom nothing is known.
"""

from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from cdp.audit.actors import Actor, ActorKind
from cdp.content.api_lookup import MOST_SLOTS, served, shown
from cdp.content.counting import counter
from cdp.content.deciding import decide, segments_asked
from cdp.errors import DomainError, NotFound
from cdp.identity.normalise import ANONYMOUS_ID
from cdp.ingestion.banner import sender_for_pages
from cdp.ingestion.script import javascript
from cdp.ingestion.views import answer, method_not_allowed, preflight, read_body, refuse
from consent.querysets import purpose_or_error
from segments.lookup import Standing, look_up_in_public

SCRIPT: Final = Path(__file__).parent / "script" / "slots.js"
PURPOSE: Final = "personalisation"


class Asked(msgspec.Struct):
    """What the script asks."""

    anonymousId: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    slots: Annotated[list[Annotated[str, msgspec.Meta(max_length=64)]], msgspec.Meta(max_length=MOST_SLOTS)] = []


decoder = msgspec.json.Decoder(Asked)


@cache
def source() -> bytes:
    return SCRIPT.read_bytes()


def script(request: HttpRequest) -> HttpResponse:
    return javascript(source(), max_age=300)


@csrf_exempt
def personalize(request: HttpRequest, write_key: str) -> HttpResponse:
    """POST: the device's anonymous id and the keys of slots. Not in the address, which others write into their logs."""
    origin = request.headers.get("Origin", "")
    if request.method == "OPTIONS":
        return preflight(origin)
    if request.method != "POST":
        return method_not_allowed("POST, OPTIONS", origin=origin)
    try:
        sender = sender_for_pages(write_key, origin)
        body = _answer(_asked(request), _pages_of(sender.source_id))
    except DomainError as error:
        return refuse(error, origin=origin)
    response = answer(msgspec.json.encode(body), origin=origin)
    response["Cache-Control"] = "no-store"
    return response


def _asked(request: HttpRequest) -> Asked:
    try:
        return decoder.decode(read_body(request))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = f"Send anonymousId and slots, a list of {MOST_SLOTS} keys at most, as JSON."
        raise DomainError("invalid_json", said) from None


def _pages_of(source_id: int) -> Actor:
    return Actor(kind=ActorKind.SYSTEM, id=f"source:{source_id}", label=f"pages of source {source_id}")


def _answer(asked: Asked, by: Actor) -> dict[str, Any]:
    purpose = purpose_or_error(PURPOSE)
    slots = served(asked.slots, is_public=True)
    standing: Standing | None = None
    with suppress(NotFound):  # the same as for somebody who is in nothing: that a device is known is nobody's business
        standing = look_up_in_public(
            namespace=ANONYMOUS_ID, value=asked.anonymousId, purpose=purpose.key, asked=segments_asked(slots)
        )
        counter.count(by=by, purpose=purpose.key)
    now = timezone.now()
    return {
        "segments": [one["key"] for one in standing.segments] if standing else [],
        "slots": {slot.key: shown(decide(slot, standing, at=now)) for slot in slots},
    }
