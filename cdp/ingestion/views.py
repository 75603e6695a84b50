"""The tracking API's HTTP side: methods, CORS, encodings and answers, as existing client libraries expect them."""

import base64
import binascii

import msgspec
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from cdp.errors import DomainError
from cdp.ingestion.accept import ENDPOINTS, accept, authenticate, gunzip
from cdp.ingestion.keys import sender_of
from cdp.ingestion.wire import BATCH_LIMIT

SHORT = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias", "b": "batch", "import": "batch"}
OK = b'{"success":true}'
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
CORS_HEADERS = "Authorization, Content-Type, Content-Encoding, X-Retry-Count, X-Write-Key"


def answer(body: bytes, *, status: int = 200, origin: str = "") -> HttpResponse:
    response = HttpResponse(body, status=status, content_type="application/json")
    if origin:
        response["Access-Control-Allow-Origin"] = origin
        response["Vary"] = "Origin"
    return response


def refuse(error: DomainError, *, origin: str = "") -> HttpResponse:
    body = {"success": False, "code": error.code, "message": error.message, "pointer": error.pointer}
    return answer(msgspec.json.encode(body), status=error.status, origin=origin)


@csrf_exempt
def collect(request: HttpRequest, call: str) -> HttpResponse:
    """Answers 200 only once the request is durable."""
    origin = request.headers.get("Origin", "")
    if request.method == "OPTIONS":
        return preflight(origin)
    if request.method != "POST":
        return refuse(DomainError("method_not_allowed", "Send events by POST.", status=405), origin=origin)
    endpoint = SHORT.get(call, call)
    try:
        body = read_body(request)
        if endpoint in {"m", "metrics"}:
            return answer(OK, origin=origin)  # a library's own health figures: taken, and not kept
        if endpoint not in ENDPOINTS:
            raise DomainError("unknown_call", f"There is no such call; the calls are {', '.join(ENDPOINTS)}.", status=404)
        sender = accept(
            endpoint=endpoint, body=body, authorization=request.headers.get("Authorization", ""), received_at=timezone.now()
        )
    except DomainError as error:
        return refuse(error, origin=origin)
    if origin and not sender.is_trusted and origin not in sender.allowed_origins:
        # The browser already sent it; without the header its page can't read the answer, and preflight stops the next.
        return answer(OK)
    return answer(OK, origin=origin)


def read_body(request: HttpRequest) -> bytes:
    """The plain body, never reading more than a batch may have.

    Raises:
        DomainError: too large, or gzip that can't be unpacked.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdigit() and int(length) > BATCH_LIMIT:
        raise DomainError("batch_too_large", f"A request may have {BATCH_LIMIT} bytes; this one has {length}.")
    body = request.read(BATCH_LIMIT + 1)
    if len(body) > BATCH_LIMIT:
        raise DomainError("batch_too_large", f"A request may have {BATCH_LIMIT} bytes.")
    if request.headers.get("Content-Encoding", "").lower() == "gzip":
        return gunzip(body)
    return body


def preflight(origin: str) -> HttpResponse:
    """Which pages may send. A browser does not show us the key here, so any origin that some browser source allows may."""
    response = HttpResponse(status=204)
    if origin and origin_is_allowed(origin):
        response["Access-Control-Allow-Origin"] = origin
        response["Access-Control-Allow-Methods"] = "POST, GET, OPTIONS"
        response["Access-Control-Allow-Headers"] = CORS_HEADERS
        response["Access-Control-Max-Age"] = "600"
        response["Vary"] = "Origin"
    return response


def origin_is_allowed(origin: str) -> bool:
    from cdp.ingestion.models import Source, SourceKind

    return Source.objects.filter(kind=SourceKind.BROWSER, is_enabled=True, allowed_origins__contains=[origin]).exists()


def pixel(request: HttpRequest, call: str) -> HttpResponse:
    """Always a 1x1 picture: an email or a page without script can't react to an error, so a bad one is only not kept."""
    try:
        endpoint = SHORT.get(call, call)
        data = request.GET.get("data", "")
        body = base64.b64decode(data.replace("-", "+").replace("_", "/") + "=" * (-len(data) % 4), validate=True)
        if endpoint in ENDPOINTS and endpoint != "batch":
            accept(endpoint=endpoint, body=body, authorization=request.headers.get("Authorization", ""), received_at=timezone.now())
    except (binascii.Error, DomainError):
        pass
    response = HttpResponse(GIF, content_type="image/gif")
    response["Cache-Control"] = "no-store"
    return response


def settings(request: HttpRequest, write_key: str) -> HttpResponse:
    """What the browser library fetches before it sends anything."""
    sender = sender_of(write_key)
    origin = request.headers.get("Origin", "")
    if sender is None:
        return refuse(DomainError("write_key_unknown", "This write key is unknown or was revoked.", status=404), origin=origin)
    host = request.get_host()
    body = {
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": f"{host}/v1",
                "protocol": request.scheme,
                "unbundledIntegrations": [],
                "addBundledMetadata": True,
                "deliveryStrategy": {"strategy": "batching", "config": {"size": 10, "timeout": 1000}},
            }
        },
        "plan": {"track": {"__default": {"enabled": True}}, "identify": {"__default": {"enabled": True}}},
        "edgeFunction": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
    }
    response = answer(msgspec.json.encode(body), origin=origin if origin in sender.allowed_origins or sender.is_trusted else "")
    response["Cache-Control"] = "public, max-age=60"
    return response
