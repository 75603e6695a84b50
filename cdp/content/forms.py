"""A slot's form: variants as rows in their order, moved, added and taken away by buttons that save nothing.

What may stand in a slot is decided by `cdp.content.documents`; errors come back to the field they are about.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils import timezone

from cdp.content.documents import MOST_VARIANTS
from cdp.content.models import Slot
from cdp.errors import DomainError, DomainErrors

KINDS: Final = (
    ("", "everybody"),
    ("segment", "members of a segment"),
    ("persona", "people of a persona"),
    ("rule", "people of a rule"),
)
PLACE: Final = re.compile(r"/document/variants/(\d+)(?:/(\w+))?")
TIMES: Final = ("starts_at", "ends_at")


@dataclass
class Row:
    """One variant as it is typed."""

    name: str = ""
    kind: str = ""
    asks: str = ""
    content: str = '{\n  "title": ""\n}'
    starts_at: str = ""
    ends_at: str = ""
    errors: dict[str, str] = field(default_factory=dict)


@dataclass
class Form:
    """A slot as it is typed."""

    key: str = ""
    name: str = ""
    description: str = ""
    is_live: bool = False
    is_public: bool = False
    starts_at: str = ""
    ends_at: str = ""
    default: str = "null"
    version: int = 0
    rows: list[Row] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def is_wrong(self) -> bool:
        return bool(self.errors) or any(row.errors for row in self.rows)


def of_slot(slot: Slot) -> Form:
    rows = [
        Row(
            name=one["name"],
            kind=next(iter(one["when"])) if one["when"] else "",
            asks=_asked(one["when"]),
            content=written(one["content"]),
            starts_at=_shown(datetime.fromisoformat(one["starts_at"]) if one["starts_at"] else None),
            ends_at=_shown(datetime.fromisoformat(one["ends_at"]) if one["ends_at"] else None),
        )
        for one in slot.document["variants"]
    ]
    return Form(
        key=slot.key,
        name=slot.name,
        description=slot.description,
        is_live=slot.is_live,
        is_public=slot.is_public,
        starts_at=_shown(slot.starts_at),
        ends_at=_shown(slot.ends_at),
        default=written(slot.document["default"]),
        version=slot.version,
        rows=rows,
    )


def of_post(sent: QueryDict) -> Form:
    """What was typed, after the button that moves rows, if it was one."""
    columns = [sent.getlist(name) for name in ("v_name", "v_kind", "v_asks", "v_content", "v_starts_at", "v_ends_at")]
    rows = [Row(*texts) for texts in zip(*columns, strict=False)][:MOST_VARIANTS]
    version = sent.get("version", "")
    form = Form(
        key=sent.get("key", ""),
        name=sent.get("name", ""),
        description=sent.get("description", ""),
        starts_at=sent.get("starts_at", ""),
        ends_at=sent.get("ends_at", ""),
        is_live="is_live" in sent,
        is_public="is_public" in sent,
        default=sent.get("default", "null"),
        version=int(version) if version.isdecimal() and len(version) < 9 else 0,
        rows=rows,
    )
    _move(form.rows, sent.get("step", ""))
    return form


def _move(rows: list[Row], step: str) -> None:
    what, _, place = step.partition("-")
    if what == "add":
        if len(rows) < MOST_VARIANTS:
            rows.append(Row())
        return
    if not place.isdecimal() or len(place) > 3 or int(place) >= len(rows):
        return
    at = int(place)
    if what == "remove":
        del rows[at]
    elif what in ("up", "down") and 0 <= (to := at + (1 if what == "down" else -1)) < len(rows):
        rows[at], rows[to] = rows[to], rows[at]


def read(form: Form) -> dict[str, Any]:
    """The fields as `cdp.content.services` takes them. What can't be read is noted at its field.

    Raises:
        DomainErrors: something can't be read.
    """
    wrong: list[DomainError] = []
    given: dict[str, Any] = {
        "name": form.name, "description": form.description, "is_live": form.is_live, "is_public": form.is_public,
    }  # fmt: skip
    for side in TIMES:
        given[side] = _moment(getattr(form, side), f"/{side}", wrong)
    variants = []
    for place, row in enumerate(form.rows):
        at = f"/document/variants/{place}"
        when: Any = None
        if row.kind:
            asks: Any = row.asks.strip()
            if row.kind == "rule":
                asks = _json(row.asks, f"{at}/when", wrong)
            when = {row.kind: asks}
        moments = {side: _moment(getattr(row, side), f"{at}/{side}", wrong) for side in TIMES}
        times = {side: moment.isoformat() if moment else None for side, moment in moments.items()}
        content = _json(row.content, f"{at}/content", wrong)
        variants.append({"name": row.name, "when": when, "content": content, **times})
    given["document"] = {"variants": variants, "default": _json(form.default, "/document/default", wrong)}
    if wrong:
        raise DomainErrors(wrong)
    return given


def note(form: Form, error: DomainError) -> None:
    """Puts each of the errors at the field it is about."""
    for one in error.errors if isinstance(error, DomainErrors) else (error,):
        found = PLACE.match(one.pointer)
        if found and int(found[1]) < len(form.rows):
            rest = one.pointer.partition("/when/rule")[2]
            said = f"{rest}: {one.message}" if rest else one.message
            name = {"when": "asks"}.get(found[2] or "name", found[2] or "name")
            form.rows[int(found[1])].errors.setdefault(name, said)
        else:
            form.errors.setdefault(one.pointer.rpartition("/")[2] or "all", one.message)


def _json(text: str, at: str, wrong: list[DomainError]) -> Any:
    try:
        return json.loads(text or "null")
    except json.JSONDecodeError as error:
        said = f"This is no JSON: {error.msg} at line {error.lineno}, column {error.colno}."
    except (RecursionError, ValueError):
        said = "This is no JSON that can be read: nested too deep, or a number of too many digits."
    wrong.append(DomainError("invalid_json", said, at))
    return None


def _moment(text: str, at: str, wrong: list[DomainError]) -> datetime | None:
    """As `datetime-local` fields write it, in the time zone in which the screens speak."""
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        if not 1970 <= moment.year <= 9000:
            raise ValueError
    except ValueError:
        said = "A moment is a day and a time, of the years 1970 to 9000."
        wrong.append(DomainError("moment_malformed", said, at))
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=_zone())


def _zone() -> ZoneInfo:
    return ZoneInfo(timezone.get_current_timezone_name())


def _shown(moment: datetime | None) -> str:
    return moment.astimezone(_zone()).strftime("%Y-%m-%dT%H:%M") if moment else ""


def written(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2)


def _asked(when: Mapping[str, Any] | None) -> str:
    if not when:
        return ""
    asks = next(iter(when.values()))
    return asks if isinstance(asks, str) else written(asks)
