"""What all of people's own pages have in common: who may open them, in which language, and what a browser may do with them.

There is no log-in, session or cookie: a signed link is all that opens a page, so a form needs no token against forgery, since
whoever could forge it would have to know the link. Hence links never leave by a referrer, a cache or a log line.
"""

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import get_language_info, override
from django.views.decorators.csrf import csrf_exempt

from cdp.audit.context import ip_prefix
from cdp.errors import DomainError, NotFound
from cdp.identity.merging import survivor_of
from cdp.pages import brake, language
from cdp.profiles.models import Profile, Workspace
from consent.links import Kind, LinkEnded, LinkUnknown, Named, read

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex, nofollow, noarchive",
    "Cache-Control": "no-store, private",
    "Vary": "Accept-Language",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
METHODS: Final = ("GET", "HEAD", "POST")
View = Callable[..., HttpResponse]
"""Takes the request and what the link names, and whatever else its address names by keyword."""


class TooOften(DomainError):
    status = 429

    def __init__(self) -> None:
        super().__init__("too_often", "Too many tries; come again in some minutes.")


def page(kind: Kind) -> Callable[[View], View]:
    """A page that links of this kind open. What they don't open says nothing of whether anybody is known here."""

    def decorate(view: View) -> View:
        @csrf_exempt
        @wraps(view)
        def opened(request: HttpRequest, token: str, **more: Any) -> HttpResponse:
            workspace = Workspace.current()
            with override(language.asked_for(request)), timezone.override(workspace.zone):
                response = _opened(request, token, kind, partial(view, **more))
                response["Content-Language"] = language.asked_for(request)
            for name, value in HEADERS.items():
                response[name] = value
            return response

        return opened

    return decorate


def _opened(request: HttpRequest, token: str, kind: Kind, view: View) -> HttpResponse:
    if request.method not in METHODS:
        response = show(request, "pages/method.html", status=405)
        response["Allow"] = ", ".join(METHODS)
        return response
    network = ip_prefix(request.META.get("REMOTE_ADDR"))
    try:
        if brake.is_held(network):
            raise TooOften
        named = read(kind, token)
        if brake.is_overused(named.uuid):
            raise TooOften
        return view(request, named)
    except LinkUnknown:
        brake.bad_link(network)
        return show(request, "pages/unknown.html", status=404)
    except LinkEnded as ended:
        return show(request, "pages/ended.html", status=ended.status)
    except TooOften as refused:
        response = show(request, "pages/too_often.html", status=refused.status)
        response["Retry-After"] = str(brake.seconds_left())
        return response


def person_of(named: Named) -> Profile:
    """Whom the link names, or who that is by now.

    Raises:
        LinkUnknown: they are gone. That they once were here is nobody's business.
    """
    try:
        return survivor_of(named.uuid)
    except NotFound:
        raise LinkUnknown from None


def show(
    request: HttpRequest, template: str, context: dict[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    spoken = language.asked_for(request)
    workspace = Workspace.current()
    around = {
        "shop": workspace.name,
        "is_simulated": workspace.is_simulated,
        "language": spoken,
        "is_bidi": get_language_info(spoken)["bidi"],
        "languages": settings.LANGUAGES,
    }
    return render(request, template, around | (context or {}), status=status)
