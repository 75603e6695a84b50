"""Writes that are sent again do nothing again: each is carried out once for the Idempotency-Key it was sent with.

The write and its answer are committed together, under a lock that ends with the transaction. So whoever is killed in
between has done nothing, holds nothing, and the next try carries it out.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from datetime import timedelta
from tempfile import SpooledTemporaryFile
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.http import HttpResponseBase
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from cdp.errors import Conflict, DomainError
from cdp.rest.models import DoneRequest

HEADER: Final = "Idempotency-Key"
KEPT: Final = timedelta(hours=24)
ACCEPTABLE: Final = re.compile(r"[\x21-\x7e]{8,200}")
PART: Final = 512 * 1024
KEPT_HEADERS: Final = ("Location", "ETag", "Retry-After")
# One nonce is enough: each key seals one answer only.
NONCE: Final = bytes(12)

Handle = Callable[[], HttpResponseBase]


class InProgress(Conflict):
    wait = 1  # seconds; becomes Retry-After


def once(request: Request, user: User, handle: Handle, *, holds_secret: bool) -> HttpResponseBase:
    """What the handler answers, or what it answered when this was carried out.

    What it refuses by raising is not kept: nothing was done, and the next try may succeed.

    Raises:
        DomainError: the header can't be used, or was used for another request.
        Conflict: the same is under way, or its answer held a secret and was not kept.
    """
    given = request.headers.get(HEADER, "")
    if not ACCEPTABLE.fullmatch(given):
        said = f"{HEADER} has 8 to 200 printable characters of ASCII, without spaces; a UUID will do."
        raise DomainError("idempotency_key_unreadable", said)
    name, asked = _digest("name", given.encode()), _asked(request)
    with transaction.atomic():
        if not _is_mine(user, name):
            raise InProgress("idempotency_in_progress", "A request with this Idempotency-Key is under way.")
        done = DoneRequest.objects.filter(caller=user, key=name, created_at__gt=timezone.now() - KEPT).first()
        if done is not None:
            return _again(done, asked, given)
        answer = handle()
        if not isinstance(answer, Response):
            raise TypeError("Only an answer that is data can be kept; the view says that it changes nothing.")
        DoneRequest.objects.filter(caller=user, key=name).delete()
        DoneRequest.objects.create(
            caller=user,
            key=name,
            asked=asked,
            status=answer.status_code,
            answer=None if holds_secret else _sealed(answer, given),
        )
        return answer


def purge() -> int:
    """How many requests were forgotten, because they were carried out more than a day ago."""
    gone, _ = DoneRequest.objects.filter(created_at__lte=timezone.now() - KEPT).delete()
    return gone


def _is_mine(user: User, name: bytes) -> bool:
    number = int.from_bytes(hashlib.sha256(b"%d:" % user.pk + name).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        (mine,) = cursor.fetchone() or (False,)
    return bool(mine)


def _again(done: DoneRequest, asked: bytes, given: str) -> Response:
    if not hmac.compare_digest(bytes(done.asked), asked):
        said = "This Idempotency-Key was used for another request. Make a new one for each write."
        raise DomainError("idempotency_key_reused", said, status=422)
    if done.answer is None:
        said = "This was carried out. Its answer held a secret and was not kept; to have one anew, rotate the key."
        raise Conflict("answer_held_secret", said)
    kept: dict[str, Any] = json.loads(AESGCM(_seal(given)).decrypt(NONCE, bytes(done.answer), None))
    return Response(kept["data"], status=done.status, headers={**kept["headers"], "Idempotency-Replayed": "true"})


def _sealed(answer: Response, given: str) -> bytes:
    headers = {name: answer[name] for name in KEPT_HEADERS if answer.has_header(name)}
    data = None if answer.data is None else json.loads(JSONRenderer().render(answer.data))
    kept = json.dumps({"data": data, "headers": headers}).encode()
    return AESGCM(_seal(given)).encrypt(NONCE, kept, None)


def _seal(given: str) -> bytes:
    """What opens the answer. It takes the caller's own header, of which we keep a digest only: answers may tell of people,
    and nobody who reads the table reads them."""
    return _digest("seal", given.encode())


def _digest(use: str, text: bytes) -> bytes:
    return hmac.digest(settings.SECRET_KEY.encode(), f"idempotency:{use}:".encode() + text, "sha256")


def _asked(request: Request) -> bytes:
    """A digest of what was asked: method, address and body."""
    found = hmac.new(settings.SECRET_KEY.encode(), b"idempotency:asked:", "sha256")
    found.update(f"{request.method} {request.get_full_path()}\n".encode())
    body = request.data
    if isinstance(body, SpooledTemporaryFile):
        while part := body.read(PART):
            found.update(part)
        body.seek(0)
    else:
        found.update(json.dumps(body, sort_keys=True).encode())
    return found.digest()
