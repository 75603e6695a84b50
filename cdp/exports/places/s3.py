"""A bucket of an S3-compatible store. Requests are signed by botocore and sent by us, so that only judged addresses are connected to.

An object has its name only when the store has all of it, checked by its SHA-256; large ones go in parts, which are given up if one fails.
"""

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cdp.errors import DomainError
from cdp.exports.places.http import outbound, refuse_unless_taken
from cdp.exports.places.place import (
    CHECK,
    CHECK_NAME,
    PAUSE_SECONDS,
    WHOLE_SECONDS,
    KeepOn,
    PlaceError,
    blocks,
    checked_name,
    checked_prefix,
    not_reached,
)
from cdp.outbound import Answer, Outbound, Unreachable

PART: Final = 64 * 1024 * 1024
MOST_PARTS: Final = 10_000
BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
REGION: Final = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class S3Place:
    """``endpoint`` is the store's address, AWS's own of the region without one. Buckets are named in the path: all stores
    understand that."""

    bucket: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    endpoint: str = ""
    prefix: str = ""

    def put(self, name: str, file: Path, *, content_type: str, sha256: str, keep_on: KeepOn) -> None:
        key = self._key(checked_name(name))
        size = file.stat().st_size
        with outbound() as sender:
            if size <= PART:
                headers = {"Content-Type": content_type, "Content-Length": str(size)}
                self._asked(sender, "PUT", key, blocks(file, keep_on), headers=headers, sha256=sha256)
            else:
                self._in_parts(sender, key, file, size, content_type=content_type, keep_on=keep_on)

    def check(self) -> None:
        key = self._key(CHECK_NAME)
        digest = sha256_of(CHECK).hexdigest()
        with outbound() as sender:
            self._asked(sender, "PUT", key, iter([CHECK]), headers={"Content-Length": str(len(CHECK))}, sha256=digest)
            self._asked(sender, "DELETE", key)

    def _in_parts(
        self, sender: Outbound, key: str, file: Path, size: int, *, content_type: str, keep_on: KeepOn
    ) -> None:
        length = max(PART, math.ceil(size / MOST_PARTS))
        begun = self._asked(sender, "POST", key, query={"uploads": ""}, headers={"Content-Type": content_type})
        upload = _text_of(begun, "UploadId")
        try:
            tags = []
            for number, start in enumerate(range(0, size, length), start=1):
                stretch = min(length, size - start)
                answer = self._asked(
                    sender,
                    "PUT",
                    key,
                    blocks(file, keep_on, start=start, size=stretch),
                    query={"partNumber": str(number), "uploadId": upload},
                    headers={"Content-Length": str(stretch)},
                    sha256=_digest(file, start, stretch),
                )
                tags.append((number, answer.headers.get("etag", "")))
            parts = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{_escaped(tag)}</ETag></Part>" for n, tag in tags)
            body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
            done = self._asked(
                sender,
                "POST",
                key,
                iter([body]),
                query={"uploadId": upload},
                headers={"Content-Length": str(len(body)), "Content-Type": "application/xml"},
                sha256=sha256_of(body).hexdigest(),
            )
            if b"<Error" in done.body:  # the store answers 200 before it knows
                raise PlaceError("broke_off", "The store couldn't put the parts together.")
        except BaseException:
            self._give_up(sender, key, upload)
            raise

    def _give_up(self, sender: Outbound, key: str, upload: str) -> None:
        # Else the store's own rule for unfinished uploads will; nothing can be seen of it under the name.
        with suppress(PlaceError, DomainError):
            self._asked(sender, "DELETE", key, query={"uploadId": upload})

    def _key(self, name: str) -> str:
        prefix = checked_prefix(self.prefix, pointer="/prefix")
        return f"{prefix}/{name}" if prefix else name

    def _asked(
        self,
        sender: Outbound,
        method: str,
        key: str,
        content: Iterator[bytes] | None = None,
        *,
        query: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        sha256: str = "",
    ) -> Answer:
        endpoint = self.endpoint.rstrip("/") or f"https://s3.{self.region}.amazonaws.com"
        url = f"{endpoint}/{self.bucket}/{quote(key)}" + (f"?{urlencode(query)}" if query else "")
        request = AWSRequest(method=method, url=url, headers=dict(headers or {}))
        request.headers["Host"] = urlsplit(url).netloc
        request.context["sha256"] = sha256 or sha256_of(b"").hexdigest()
        _Signer(Credentials(self.access_key, self.secret_key), "s3", self.region).add_auth(request)
        sent = {name: value for name, value in request.headers.items() if name.lower() != "host"}
        try:
            answer = sender.send(
                method, url, content=content or b"", headers=sent, seconds=WHOLE_SECONDS, pause=PAUSE_SECONDS
            )
        except Unreachable as error:
            raise not_reached(error) from None
        refuse_unless_taken(answer)
        return answer


class _Signer(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """Signs by a hash that is known, since the body is read only while it is sent: a store refuses one of which it isn't true."""

    def payload(self, request: AWSRequest) -> str:
        return str(request.context["sha256"])


def _digest(file: Path, start: int, size: int) -> str:
    found = sha256_of()
    for block in blocks(file, lambda _: None, start=start, size=size):
        found.update(block)
    return found.hexdigest()


def _text_of(answer: Answer, tag: str) -> str:
    try:
        found = ElementTree.fromstring(answer.body).find(f"{{*}}{tag}")  # noqa: S314  # expat here expands no entities
    except ElementTree.ParseError:
        found = None
    if found is None or not found.text:
        raise PlaceError("refused", "The store answered something else than S3.")
    return found.text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
