"""The tracking API's HTTP side: methods, CORS, encodings and answers, as existing client libraries expect them."""

import base64
import binascii

import msgspec
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from cdp.errors import DomainError
from cdp.ingestion import quarantine
from cdp.ingestion.accept import ENDPOINTS, RETRY_AFTER_SECONDS, NotAllowed, accept, authenticate, gunzip, peek
from cdp.ingestion.consent_words import asked_by
from cdp.ingestion.keys import allowed_origins, sender_of
from cdp.ingestion.limits import BATCH_LIMIT, Refusal
from cdp.ingestion.quarantine import Refused
from cdp.logs import get_logger

log = get_logger(__name__)

SHORT = {
    "i": "identify",
    "t": "track",
    "p": "page",
    "s": "screen",
    "g": "group",
    "a": "alias",
    "b": "batch",
    "import": "batch",
}
METRICS = {"m", "metrics"}
OK = b'{"success":true}'
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
CORS_HEADERS = "Authorization, Content-Type, Content-Encoding, X-Retry-Count, X-Write-Key"


def answer(body: bytes, *, status: int = 200, origin: str = "") -> HttpResponse:
    response = HttpResponse(body, status=status, content_type="application/json")
    response["Vary"] = "Origin"
    if origin:
        response["Access-Control-Allow-Origin"] = origin
        response["Access-Control-Expose-Headers"] = "Retry-After"
    return response


def refuse(error: DomainError, *, origin: str = "") -> HttpResponse:
    body = {"success": False, "code": error.code, "message": error.message, "pointer": error.pointer}
    response = answer(msgspec.json.encode(body), status=error.status, origin=origin)
    if error.status in {429, 503}:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def method_not_allowed(allowed: str, *, origin: str) -> HttpResponse:
    response = refuse(DomainError("method_not_allowed", f"This address takes {allowed}.", status=405), origin=origin)
    response["Allow"] = allowed
    return response


@csrf_exempt
def collect(request: HttpRequest, call: str) -> HttpResponse:
    """Answers 200 only once the request is durable."""
    origin = request.headers.get("Origin", "")
    if request.method == "OPTIONS":
        return preflight(origin)
    endpoint = SHORT.get(call, call)
    if endpoint not in ENDPOINTS and endpoint not in METRICS:
        message = f"There is no such call; the calls are {', '.join(ENDPOINTS)}."
        return refuse(DomainError("unknown_call", message, status=404), origin=origin)
    if request.method != "POST":
        return method_not_allowed("POST, OPTIONS", origin=origin)
    try:
        body = read_body(request)
        if endpoint in METRICS:
            return answer(OK, origin=origin)  # a library's own health figures: taken, and not kept
        accept(
            endpoint=endpoint,
            body=body,
            authorization=request.headers.get("Authorization", ""),
            origin=origin,
            received_at=timezone.now(),
            asks=asks_of(request),
        )
    except DomainError as error:
        return refuse(error, origin=origin)
    except OperationalError as error:
        log.error("request_not_kept", reason=type(error).__name__)
        message = "The events could not be made durable; send this again later."
        return refuse(DomainError("not_durable", message, status=503), origin=origin)
    return answer(OK, origin=origin)


def asks_of(request: HttpRequest) -> int:
    """What the browser asks for: Global Privacy Control, Do Not Track."""
    return asked_by(request.META.get("HTTP_SEC_GPC"), request.META.get("HTTP_DNT"))


def read_body(request: HttpRequest) -> bytes:
    """The plain body, never reading more than a batch may have.

    Raises:
        DomainError: too large, or packed in a way that can't be unpacked.
    """
    length = request.META.get("CONTENT_LENGTH") or "0"
    if length.isdecimal() and (len(length) > 18 or int(length) > BATCH_LIMIT):
        raise DomainError("batch_too_large", f"A request may have {BATCH_LIMIT} bytes; this one has {length}.")
    body = request.read(BATCH_LIMIT + 1)
    if len(body) > BATCH_LIMIT:
        raise DomainError("batch_too_large", f"A request may have {BATCH_LIMIT} bytes.")
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding == "gzip":
        return gunzip(body)
    if encoding not in {"", "identity"}:
        raise DomainError("unknown_encoding", "A body comes plain or with Content-Encoding: gzip.")
    return body


def preflight(origin: str) -> HttpResponse:
    """Which pages may send. A browser does not show us the key here, so any origin that some browser source allows may."""
    response = HttpResponse(status=204)
    response["Vary"] = "Origin"
    if origin and origin in allowed_origins():
        response["Access-Control-Allow-Origin"] = origin
        response["Access-Control-Allow-Methods"] = "POST, GET, OPTIONS"
        response["Access-Control-Allow-Headers"] = CORS_HEADERS
        response["Access-Control-Max-Age"] = "600"
    return response


@csrf_exempt
def pixel(request: HttpRequest, call: str) -> HttpResponse:
    """Always a 1x1 picture: an email or a page without script can't react to an error.

    So what comes with a good key but can't be taken goes to quarantine; what comes without one is only counted.
    """
    if request.method not in {"GET", "HEAD"}:
        return method_not_allowed("GET, HEAD", origin="")
    try:
        if request.method == "GET":  # a HEAD is somebody who checks the address
            endpoint = SHORT.get(call, call)
            authorization = request.headers.get("Authorization", "")
            _take_pixel(endpoint, request.GET.get("data", ""), authorization, asks_of(request))
    except DomainError as error:
        log.warning("pixel_not_kept", reason=error.code)
    except OperationalError as error:
        log.error("pixel_not_kept", reason=type(error).__name__)
    response = HttpResponse(GIF, content_type="image/gif")
    response["Cache-Control"] = "no-store"
    return response


def _take_pixel(endpoint: str, data: str, authorization: str, asks: int) -> None:
    received_at = timezone.now()
    try:
        # A plus sign in an address reads as a space; libraries differ in whether they write it as one.
        text = data.replace("-", "+").replace("_", "/").replace(" ", "+").rstrip("=")
        body = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise DomainError("invalid_base64", "data is a message as JSON in base64.") from None
    if endpoint in ENDPOINTS and endpoint != "batch":
        try:
            accept(endpoint=endpoint, body=body, authorization=authorization, received_at=received_at, asks=asks)
            return
        except NotAllowed:
            raise
        except DomainError as error:
            if error.status != 400:
                raise
            refusal = Refusal(error.code, error.message, error.pointer)
    else:
        refusal = Refusal("unknown_type", "the pixel takes one message of a known type")
    try:
        in_body = peek("track", body).write_key
    except DomainError:
        in_body = None
    sender = authenticate(authorization=authorization, in_body=in_body)
    # As a batch of one: its own type then decides, should somebody replay it.
    quarantine.keep([Refused(sender.source_id, received_at, "batch", refusal, body, asks=asks)])


@csrf_exempt
def settings(request: HttpRequest, write_key: str) -> HttpResponse:
    """What the browser library fetches before it sends anything."""
    origin = request.headers.get("Origin", "")
    if request.method == "OPTIONS":
        return preflight(origin)
    if request.method not in {"GET", "HEAD"}:
        return method_not_allowed("GET, HEAD, OPTIONS", origin=origin)
    sender = sender_of(write_key)
    if sender is None:
        return refuse(
            DomainError("write_key_unknown", "This write key is unknown or was revoked.", status=404), origin=origin
        )
    body = {
        "integrations": {
            "Segment.io": {
                "apiKey": write_key,
                "apiHost": f"{request.get_host()}/v1",
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
    response = answer(msgspec.json.encode(body), origin=origin if sender.may_send_from(origin) else "")
    response["Cache-Control"] = "public, max-age=60"
    return response
