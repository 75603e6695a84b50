"""Pages of a list on a screen, each beginning behind the last row of the one before: they stay right while rows come and go.

What a list holds and in which order is the view's to say. Over REST it is `cdp.rest.pagination`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet

Row = TypeVar("Row", bound=Model)
LARGEST = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Key:
    """One of the values that rows are ordered by; the last of them is unique."""

    name: str
    read: Callable[[Any], Any]
    descends: bool = False


@dataclass(frozen=True, kw_only=True)
class KeyPage(Generic[Row]):
    """Rows in their order; `newer` and `older` are where the pages before and behind are found, "" where there is none."""

    rows: list[Row]
    newer: str = ""
    older: str = ""


def text(value: Any) -> str:
    """A text of a cursor; anything else is none of ours.

    Raises:
        ValueError: it is no text that the database could hold.
    """
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError
    value.encode()  # half a character is none
    return value


def number(value: Any) -> int:
    """
    Raises:
        ValueError: it is no whole number that the database could hold.
    """
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > LARGEST:
        raise ValueError
    return value


def moment(value: Any) -> datetime:
    """
    Raises:
        ValueError: it is no moment with a time zone.
    """
    at = datetime.fromisoformat(text(value))
    if at.tzinfo is None:
        raise ValueError
    return at


def key_page(rows: QuerySet[Row], query: Mapping[str, str], *, keys: Sequence[Key], size: int) -> KeyPage[Row]:
    """The page that ``query`` asks for by ``after`` or ``before``; the first, if by neither or by what we never said."""
    after, before = _read(query.get("after", ""), keys), _read(query.get("before", ""), keys)
    backwards = before is not None and after is None
    place = before if backwards else after
    wanted = rows if place is None else rows.filter(_beyond(place, keys, backwards))
    order = [f"-{key.name}" if key.descends is not backwards else key.name for key in keys]
    found = list(wanted.order_by(*order)[: size + 1])
    has_more, page = len(found) > size, found[:size]
    if backwards:
        page.reverse()
        if not has_more:  # the first page, however many rows are before that place now
            return key_page(rows, {}, keys=keys, size=size)
    if not page:
        return KeyPage(rows=[]) if place is None else key_page(rows, {}, keys=keys, size=size)
    return KeyPage(
        rows=page,
        newer=_written(page[0], keys) if place is not None else "",
        older=_written(page[-1], keys) if backwards or has_more else "",
    )


def _written(row: Model, keys: Sequence[Key]) -> str:
    values = (getattr(row, key.name) for key in keys)
    return json.dumps([value.isoformat() if isinstance(value, datetime) else value for value in values])


def _read(cursor: str, keys: Sequence[Key]) -> list[Any] | None:
    try:
        values = json.loads(cursor)
        return [key.read(value) for key, value in zip(keys, values, strict=True)]
    except (ValueError, TypeError, RecursionError):
        return None


def _beyond(place: Sequence[Any], keys: Sequence[Key], backwards: bool) -> Q:
    beyond, same = Q(), Q()
    for key, value in zip(keys, place, strict=True):  # names are the view's, never the reader's
        less = key.descends is not backwards
        beyond |= same & Q(**{f"{key.name}__{'lt' if less else 'gt'}": value})
        same &= Q(**{key.name: value})
    # Said once more of the first by itself: of an OR no range of an index follows.
    first = keys[0]
    bound = "lte" if first.descends is not backwards else "gte"
    return Q(**{f"{first.name}__{bound}": place[0]}) & beyond
