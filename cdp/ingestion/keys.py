"""Which source a write key speaks for, in whichever form a client library sends the key."""

import base64
import binascii
import hashlib
import threading
import time
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.ingestion.models import Source, SourceKind, WriteKey, new_write_key

# How long a web process may go on taking a key that was revoked elsewhere.
CACHE_SECONDS = 5.0
KEY_LIMIT = 200  # characters; a longer one is nobody's, and must not be remembered as such


@dataclass(frozen=True, slots=True)
class Sender:
    """What a request may do, by its key."""

    source_id: int
    is_trusted: bool
    allowed_origins: frozenset[str]

    def may_send_from(self, origin: str) -> bool:
        """A browser's key is bound to its pages. Apps and servers name no origin; a secret key is bound to nothing."""
        return not origin or self.is_trusted or origin in self.allowed_origins


_cache: dict[str, tuple[float, Sender | None]] = {}
_origins: tuple[float, frozenset[str]] = (0.0, frozenset())
_lock = threading.Lock()


def forget() -> None:
    """Empties the cache; for tests, and for a process that moves to another database."""
    global _origins
    with _lock:
        _cache.clear()
        _origins = (0.0, frozenset())


def allowed_origins() -> frozenset[str]:
    """Origins that some browser source allows. A preflight names no key, so that is all that can be asked there."""
    global _origins
    expires, origins = _origins
    if expires <= time.monotonic():
        lists = Source.objects.filter(kind=SourceKind.BROWSER, is_enabled=True).values_list(
            "allowed_origins", flat=True
        )
        origins = frozenset(origin for allowed in lists for origin in allowed)
        _origins = (time.monotonic() + CACHE_SECONDS, origins)
    return origins


def sender_of(key: str) -> Sender | None:
    """Who sends with this key, or None when nobody may."""
    if len(key) > KEY_LIMIT:
        return None
    now = time.monotonic()
    hit = _cache.get(key)
    if hit is not None and hit[0] > now:
        return hit[1]
    found = (
        WriteKey.objects.select_related("source")
        .filter(digest=hashlib.sha256(key.encode()).digest(), revoked_at__isnull=True, source__is_enabled=True)
        .first()
    )
    sender = (
        Sender(found.source_id, found.source.is_trusted, frozenset(found.source.allowed_origins)) if found else None
    )
    with _lock:
        if len(_cache) > 10_000:  # somebody is guessing keys; the misses must not fill the memory
            _cache.clear()
        _cache[key] = (now + CACHE_SECONDS, sender)
    return sender


def key_in_header(authorization: str) -> str | None:
    """The write key of a Basic or Bearer header. A Basic user without its colon is tolerated, as libraries send it."""
    scheme, _, value = authorization.partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value or None
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(value + "=" * (-len(value) % 4), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return decoded.partition(":")[0] or None


@transaction.atomic
def create_source(
    *, name: str, kind: SourceKind, by: Actor, allowed_origins: tuple[str, ...] = (), place: str = ""
) -> Source:
    """The new source; it needs a write key before it can send."""
    source = Source.objects.create(name=name, kind=kind, allowed_origins=list(allowed_origins), place=place)
    record(by=by, action="source.created", object=source, detail={"kind": kind} | ({"place": place} if place else {}))
    return source


def places_of_sources() -> dict[int, str]:
    """Number of a source -> where its people are, of those that say so."""
    return dict(Source.objects.exclude(place="").values_list("pk", "place"))


@transaction.atomic
def create_write_key(*, source: Source, by: Actor) -> tuple[WriteKey, str]:
    """The key's row and the key itself. A server's key is kept nowhere and can't be shown again."""
    value = new_write_key()
    key = WriteKey.objects.create(
        source=source,
        prefix=value[:8],
        digest=hashlib.sha256(value.encode()).digest(),
        public_value=value if source.kind == SourceKind.BROWSER else "",
    )
    record(by=by, action="write_key.created", object=key, detail={"source": source.name, "prefix": key.prefix})
    return key, value


@transaction.atomic
def revoke_write_key(*, key: WriteKey, by: Actor) -> WriteKey:
    """The key, refused everywhere within `CACHE_SECONDS`. Revoking twice is harmless."""
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
        record(by=by, action="write_key.revoked", object=key, detail={"prefix": key.prefix})
        transaction.on_commit(forget)
    return key
