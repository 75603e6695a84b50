"""What a slot's document may say: variants in the order in which they are tried, each for whom, and what is said else.

    {"variants": [{"name": "Big spenders", "when": {"segment": "big-spenders"}, "content": {"title": "Hello again"},
                   "starts_at": null, "ends_at": null}],
     "default": {"title": "Hello"}}

``when`` is ``{"segment": key}``, ``{"persona": key}``, ``{"rule": {…}}`` or null for everybody. Only reading and refusing is
here; whom a variant is for is decided in `cdp.content.deciding`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils import timezone
from django.utils.dateparse import parse_datetime

from cdp.errors import DomainError, DomainErrors

MOST_VARIANTS: Final = 20
LARGEST_CONTENT: Final = 20_000  # characters of JSON
LONGEST_NAME: Final = 100
KINDS: Final = ("segment", "persona", "rule")
PARTS: Final = frozenset({"name", "when", "content", "starts_at", "ends_at"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One thing to say, to whom and from when till when.

    Args:
        kind: `segment`, `persona` or `rule`; "" of one for everybody.
        asks: the key, or the rule's document.
    """

    name: str
    kind: str
    asks: Any
    content: Any
    starts_at: datetime | None
    ends_at: datetime | None

    def holds_at(self, moment: datetime) -> bool:
        return (self.starts_at is None or self.starts_at <= moment) and (self.ends_at is None or moment < self.ends_at)


Check = Callable[[str, Any, str], None]
"""Kind, what it asks, and its place: raises DomainError or DomainErrors where it can't be asked."""


def variants_of(document: Any) -> list[Variant]:
    """The variants of a document that was read before, in the order in which they are tried."""
    return [_variant(one) for one in document["variants"]]


def read_document(given: Any, *, check: Check) -> dict[str, Any]:
    """The document in its one form.

    Raises:
        DomainErrors: all that is wrong with it, each at its place below /document.
    """
    wrong: list[DomainError] = []
    if not isinstance(given, dict) or set(given) - {"variants", "default"}:
        raise DomainErrors([DomainError("document_malformed", "A document has variants and default.", "/document")])
    variants = given.get("variants", [])
    if not isinstance(variants, list) or len(variants) > MOST_VARIANTS:
        wrong.append(
            DomainError("variants_malformed", f"variants is a list of {MOST_VARIANTS} at most.", "/document/variants")
        )
        variants = []
    read = []
    for place, one in enumerate(variants):
        try:
            read.append(_read(one, f"/document/variants/{place}", check))
        except DomainErrors as errors:
            wrong.extend(errors.errors)
    default = given.get("default")
    if (size := _size(default)) > LARGEST_CONTENT:
        wrong.append(_too_large(size, "/document/default"))
    names = [one["name"] for one in read]
    for place, name in enumerate(names):
        if name in names[:place]:
            said = "Another variant has this name, too: previews couldn't tell which is meant."
            wrong.append(DomainError("name_taken", said, f"/document/variants/{place}/name"))
    if wrong:
        raise DomainErrors(wrong)
    return {"variants": read, "default": default}


def _read(one: Any, at: str, check: Check) -> dict[str, Any]:
    if not isinstance(one, dict) or (set(one) - PARTS):
        raise DomainErrors([DomainError("variant_malformed", f"A variant has {', '.join(sorted(PARTS))}.", at)])
    wrong: list[DomainError] = []
    name = one.get("name")
    if not isinstance(name, str) or not (name := name.strip()) or len(name) > LONGEST_NAME:
        wrong.append(DomainError("name_malformed", f"A name has 1 to {LONGEST_NAME} characters.", f"{at}/name"))
    if "content" not in one or one["content"] is None:
        wrong.append(DomainError("content_missing", "A variant has content: any JSON but null.", f"{at}/content"))
    elif (size := _size(one["content"])) > LARGEST_CONTENT:
        wrong.append(_too_large(size, f"{at}/content"))
    when = one.get("when")
    if when is not None and (not isinstance(when, dict) or len(when) != 1 or next(iter(when)) not in KINDS):
        said = 'when is {"segment": key}, {"persona": key}, {"rule": {…}}, or null for everybody.'
        wrong.append(DomainError("when_malformed", said, f"{at}/when"))
    elif when is not None:
        ((kind, asks),) = when.items()
        try:
            check(kind, asks, f"{at}/when/{kind}")
        except DomainErrors as errors:
            wrong.extend(errors.errors)
        except DomainError as error:
            wrong.append(error)
    times: dict[str, datetime | None] = {}
    for side in ("starts_at", "ends_at"):
        try:
            times[side] = _moment(one.get(side), f"{at}/{side}")
        except DomainError as error:
            wrong.append(error)
    begins, ends = times.get("starts_at"), times.get("ends_at")
    if begins and ends and begins >= ends:
        wrong.append(DomainError("ends_before_it_begins", "It ends before it begins.", f"{at}/ends_at"))
    if wrong:
        raise DomainErrors(wrong)
    said_times = {side: moment.isoformat() if moment else None for side, moment in times.items()}
    return {"name": name, "when": when, "content": one["content"], **said_times}


def _moment(given: Any, at: str) -> datetime | None:
    if given in (None, ""):
        return None
    try:
        moment = parse_datetime(given) if isinstance(given, str) else None
    except ValueError:
        moment = None
    if moment is None or not 1970 <= moment.year <= 9000:
        raise DomainError("moment_malformed", "Write a moment as 2027-01-31T18:00:00Z, of the years 1970 to 9000.", at)
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


def _variant(one: Any) -> Variant:
    kind, asks = next(iter(one["when"].items())) if one["when"] else ("", None)
    return Variant(
        name=one["name"],
        kind=kind,
        asks=asks,
        content=one["content"],
        starts_at=_moment(one["starts_at"], ""),
        ends_at=_moment(one["ends_at"], ""),
    )


def _size(content: Any) -> int:
    return len(json.dumps(content, ensure_ascii=False))


def _too_large(size: int, at: str) -> DomainError:
    said = f"Content has {LARGEST_CONTENT:,} characters of JSON at most; this has {size:,}."
    return DomainError("content_too_large", said, at)
