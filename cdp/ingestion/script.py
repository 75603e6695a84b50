"""The browser library, served from our own address so that a site loads nothing from elsewhere.

It is the public open-source library, vendored unchanged (see ``vendor/analytics-next/VERSION``); it finds its write
key in the address it was loaded from and then asks for the settings. Before it stands one line that names this server.
"""

from functools import cache
from pathlib import Path

import msgspec
from django.http import Http404, HttpRequest, HttpResponse

from cdp.ingestion.keys import sender_of

VENDOR = Path(__file__).parent / "vendor" / "analytics-next"


@cache
def files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in VENDOR.glob("*.js")}


def javascript(body: bytes, *, max_age: int) -> HttpResponse:
    response = HttpResponse(body, content_type="text/javascript; charset=utf-8")
    response["Cache-Control"] = f"public, max-age={max_age}"
    # Scripts of a public library: any page may load them, which is what they are for.
    response["Access-Control-Allow-Origin"] = "*"
    response["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def analytics(request: HttpRequest, write_key: str) -> HttpResponse:
    if sender_of(write_key) is None:
        raise Http404("This write key is unknown or was revoked.")
    response = javascript(address(f"{request.scheme}://{request.get_host()}") + files()["standalone.js"], max_age=300)
    response["Vary"] = "Host, X-Forwarded-Proto"
    return response


def address(url: str) -> bytes:
    """The line that tells the library where its settings are.

    It would find that by itself only at an https address, and would else ask its maker's server.
    """
    return b"(window.analytics=window.analytics||[])._cdn=window.analytics._cdn||%b;\n" % msgspec.json.encode(url)


def bundle(request: HttpRequest, name: str) -> HttpResponse:
    """A part that the library loads only when it needs it; its name carries its content's hash."""
    if name not in files():
        raise Http404("There is no such part of the library.")
    return javascript(files()[name], max_age=31_536_000)
