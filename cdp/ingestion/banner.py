"""What the banner asks of us: which words to show, and that they were shown. Its script is in `banner/banner.js`.

Whoever has a page's write key may ask; the key is public, so nothing here is about anybody. What somebody then chooses comes
as an event like any other (`cdp.ingestion.wire`), and names what was shown.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.translation import get_language_info, get_supported_language_variant, gettext, override
from django.views.decorators.csrf import csrf_exempt

from cdp.audit.context import ip_prefix
from cdp.errors import DomainError, Forbidden, NotFound
from cdp.ingestion.keys import Sender, sender_of
from cdp.ingestion.script import javascript
from cdp.ingestion.showing import count_showing
from cdp.ingestion.views import answer, method_not_allowed, preflight, read_body, refuse
from consent.consent_mode_export import terms_of
from consent.models import Mode, Notice, NoticeVersion, Purpose
from consent.notices import content_of, newest, newest_in_all, serve
from consent.signals.consent_mode import ALWAYS_GRANTED, NEEDS
from consent.signals.meaning import GPC_OPTS_OUT_OF

SCRIPT: Final = Path(__file__).parent / "banner" / "banner.js"
MOST_LOCALES: Final = 10
LONGEST_LOCALE: Final = 35
KEY: Final = r"^[-a-zA-Z0-9_]{1,64}$"


class Shown(msgspec.Struct):
    """What the banner says once it is there to be read."""

    notice: Annotated[str, msgspec.Meta(pattern=KEY)]
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    place: str = ""


shown_decoder = msgspec.json.Decoder(Shown)


@cache
def source() -> bytes:
    return SCRIPT.read_bytes()


def script(request: HttpRequest) -> HttpResponse:
    return javascript(source(), max_age=300)


@csrf_exempt
def banner(request: HttpRequest, write_key: str) -> HttpResponse:
    """GET: what to show. POST: it was shown; the answer's id goes along with the choice."""
    origin = request.headers.get("Origin", "")
    if request.method == "OPTIONS":
        return preflight(origin)
    if request.method not in {"GET", "HEAD", "POST"}:
        return method_not_allowed("GET, HEAD, POST, OPTIONS", origin=origin)
    try:
        sender = sender_for_pages(write_key, origin)
        if request.method == "POST":
            return answer(msgspec.json.encode({"served": _serve(request, sender)}), origin=origin)
        locales = [one for one in request.GET.get("locales", "").split(",") if one and len(one) <= LONGEST_LOCALE]
        body = wording(request.GET.get("notice", ""), locales[:MOST_LOCALES])
    except DomainError as error:
        return refuse(error, origin=origin)
    response = answer(msgspec.json.encode(body), origin=origin)
    response["Cache-Control"] = "public, max-age=60"
    return response


def sender_for_pages(write_key: str, origin: str) -> Sender:
    """The browser source that this key speaks for.

    Raises:
        NotFound: nobody sends with it.
        Forbidden: it is a server's secret, or pages of this origin may not use it.
    """
    sender = sender_of(write_key)
    if sender is None:
        raise NotFound("write_key_unknown", "This write key is unknown or was revoked.")
    if sender.is_trusted:
        raise Forbidden(
            "write_key_not_public", "A page needs the key of a browser source; this one is a server's secret."
        )
    if not sender.may_send_from(origin):
        raise Forbidden("origin_not_allowed", "The source of this write key doesn't allow pages of this origin.")
    return sender


def wording(notice: str, locales: list[str]) -> dict[str, Any]:
    """All that the banner needs: words, purposes, and by which choices Google's consent mode follows.

    Raises:
        NotFound: nothing was published under this key.
    """
    version = newest(notice_key=notice, locales=locales) if re.fullmatch(KEY, notice) else None
    if version is None:
        raise NotFound("notice_unknown", "No version of this notice has been published.", "/notice")
    content = content_of(version)
    purposes = {
        purpose.key: purpose for purpose in Purpose.objects.filter(key__in=[one.key for one in content.purposes])
    }
    return {
        "notice": notice,
        "number": version.number,
        "locale": version.locale,
        "sha256": version.sha256,
        # A choice is asked for again when the text in the language in which it was made has changed.
        "versions": {one.locale: one.sha256 for one in newest_in_all(notice_key=notice)},
        "content": {
            name: getattr(content, name)
            for name in ("title", "text", "accept", "reject", "choose", "save", "link", "link_text")
        },
        "purposes": [
            {"key": one.key, "label": one.label, "text": one.text, **_of_purpose(purposes[one.key], purposes)}
            for one in content.purposes
            if one.key in purposes
        ],
        "consent_mode": _needs(),
        "words": _words(version.locale),
    }


def _of_purpose(purpose: Purpose, asked: Mapping[str, Purpose]) -> dict[str, Any]:
    """How a choice of this purpose works, among all that are asked about."""
    terms = terms_of(purpose, beside=asked.values())
    return {
        "parent": purpose.parent.key if purpose.parent else None,
        "always": purpose.mode == Mode.NOTICE_ONLY,
        "days": purpose.lifetime_days,
        "grants": sorted(terms.grants),
        "brings": sorted(terms.brings),
        "denies": sorted(terms.denies),
        "ended_by_gpc": bool(terms.denies & GPC_OPTS_OUT_OF),
    }


def _needs() -> dict[str, Any]:
    """The table of `consent.signals.consent_mode`, for the script, which does with it what `export` does."""
    needs: Mapping[str, Any] = {
        str(kind): {"granted": sorted(needed.granted), "not_denied": sorted(needed.not_denied)}
        for kind, needed in NEEDS.items()
    }
    return {**needs, **{str(kind): None for kind in ALWAYS_GRANTED}}


def _words(locale: str) -> dict[str, Any]:
    """What the script says by itself, in the notice's language where we speak it, else in English."""
    try:
        language = get_supported_language_variant(locale.lower())
    except LookupError:
        language = settings.LANGUAGE_CODE
    with override(language):
        return {
            "locale": language,
            "bidi": _is_bidi(locale),
            "region": gettext("Privacy choices"),
            "close": gettext("Close without changing anything"),
            "always": gettext("Always; there is nothing to decide."),
            "gpc": gettext(
                "Your browser sends Global Privacy Control. We honour it: your data is neither sold nor shared, and the"
                " choices concerned are off."
            ),
            "honoured": gettext("Off, as your browser asks"),
        }


def _is_bidi(locale: str) -> bool:
    try:
        return bool(get_language_info(locale.split("-")[0].lower())["bidi"])
    except KeyError:
        return False


def _serve(request: HttpRequest, sender: Sender) -> str:
    try:
        shown = shown_decoder.decode(read_body(request))
    except msgspec.MsgspecError:
        raise DomainError("invalid_json", "Send notice and sha256 of what was shown, as JSON.") from None
    count_showing(ip_prefix(request.META.get("REMOTE_ADDR")))
    version = _version(shown)
    served = serve(version=version, place=shown.place, source_id=sender.source_id)
    return str(served.pk)


def _version(shown: Shown) -> NoticeVersion:
    """The version that was shown; one that isn't the newest may still stand on a page that was opened before.

    Raises:
        NotFound: it is none of ours.
    """
    notice = Notice.objects.filter(key=shown.notice).first()
    version = NoticeVersion.objects.filter(notice=notice, sha256=shown.sha256).order_by("-pk").first()
    if notice is None or version is None:
        raise NotFound("notice_unknown", "No such version of this notice has been published.", "/sha256")
    return version
