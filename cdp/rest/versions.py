"""Versions of what is shown and edited over the API: `ETag`, `If-None-Match` and `If-Match`.

A tag has two halves: of what can be edited, and of all that is shown. Who reads again compares the whole; an edit compares
the first half alone, so that it isn't refused because members came and went meanwhile.
"""

import hashlib
from collections.abc import Collection
from typing import Any, Final

from django.conf import settings
from django.db import connection
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request

from cdp.errors import DomainError

EDITS: Final = frozenset({"PUT", "PATCH", "DELETE"})


def tag_of(shown: Any, passing: Collection[str]) -> str:
    """The ETag of a representation.

    Args:
        passing: names at its top that change by themselves.
    """
    lasting = {name: value for name, value in shown.items() if name not in passing} if passing else shown
    return f'"{_half(lasting)}.{_half(shown)}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether the caller has this representation already (`If-None-Match`)."""
    given = _tags(request.headers.get("If-None-Match", ""))
    return "*" in given or tag in given


def demand_match(request: Request, tag: str) -> None:
    """Nothing, if what the caller read is what there is, as far as it can be edited.

    Raises:
        DomainError: somebody has changed it since (412).
    """
    given = _tags(request.headers["If-Match"])
    if "*" in given or _lasting(tag) in {_lasting(one) for one in given}:
        return
    said = "Somebody has changed it since you read it. Read it again, and change what is there now."
    raise DomainError("changed_meanwhile", said, status=412)


def wants_match(request: Request) -> bool:
    """Whether the edit names the version it was begun from.

    Raises:
        DomainError: it must, here (428).
    """
    if "If-Match" in request.headers:
        return True
    if settings.API_REQUIRES_IF_MATCH:
        said = "Send If-Match with the ETag of what you read, so that nobody's change is lost."
        raise DomainError("if_match_missing", said, status=428)
    return False


def wait_turn(request: Request) -> None:
    """Edits of one address come one after another until this transaction ends: nobody changes what was just compared."""
    number = int.from_bytes(hashlib.sha256(f"edit:{request.path}".encode()).digest()[:8], "big", signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])


def _half(shown: Any) -> str:
    return hashlib.sha256(JSONRenderer().render(shown)).hexdigest()[:20]


def _lasting(tag: str) -> str:
    return tag.strip('"').partition(".")[0]


def _tags(header: str) -> set[str]:
    # A proxy that compresses makes a tag weak; it names the same version.
    return {one.strip().removeprefix("W/") for one in header.split(",") if one.strip()}
