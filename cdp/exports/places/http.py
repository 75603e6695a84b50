"""An address that takes uploads: the file is the body of a request."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256 as sha256_of
from pathlib import Path

from cdp.exports.places.place import (
    CHECK,
    CHECK_NAME,
    PAUSE_SECONDS,
    WHOLE_SECONDS,
    KeepOn,
    PlaceError,
    blocks,
    checked_name,
    not_reached,
)
from cdp.outbound import Answer, Outbound, Unreachable


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpPlace:
    """With PUT the file's name is put at the end of the address; with POST it is in a header alone. ``token`` is sent as a bearer token."""

    url: str
    method: str = "PUT"
    token: str = field(default="", repr=False)

    def put(self, name: str, file: Path, *, content_type: str, sha256: str, keep_on: KeepOn) -> None:
        self._send(name, blocks(file, keep_on), file.stat().st_size, content_type=content_type, sha256=sha256)

    def check(self) -> None:
        """Sends a small file; there is no way to have it removed that every receiver knows."""
        self._send(
            CHECK_NAME, iter([CHECK]), len(CHECK), content_type="text/plain", sha256=sha256_of(CHECK).hexdigest()
        )

    def _send(self, name: str, content: Iterator[bytes], size: int, *, content_type: str, sha256: str) -> None:
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(size),
            "Content-Disposition": f'attachment; filename="{checked_name(name)}"',
            # RFC 9530
            "Content-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:",
        }
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        address, mark, query = self.url.partition("?")
        url = f"{address.rstrip('/')}/{name}{mark}{query}" if self.method == "PUT" else self.url
        with outbound() as sender:
            try:
                answer = sender.send(
                    self.method, url, content=content, headers=headers, seconds=WHOLE_SECONDS, pause=PAUSE_SECONDS
                )
            except Unreachable as error:
                raise not_reached(error) from None
        refuse_unless_taken(answer)


@contextmanager
def outbound() -> Iterator[Outbound]:
    sender = Outbound(connections=1)
    try:
        yield sender
    finally:
        sender.close()


def refuse_unless_taken(answer: Answer) -> None:
    if 200 <= answer.status < 300:
        return
    if answer.status in (401, 403):
        raise PlaceError("not_allowed", f"It answered {answer.status}: look at the credentials and what they may do.")
    if answer.status == 404:
        raise PlaceError("not_found", "It answered 404: there is nothing at this address.")
    if answer.status in (408, 429) or answer.status >= 500:
        raise PlaceError("broke_off", f"It answered {answer.status}.")
    raise PlaceError("refused", f"It answered {answer.status} instead of taking the file.")
