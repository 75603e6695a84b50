"""A rule as a text that people write: laid out, read, and each error put at its line. Pure.

What is wrong with a rule is found by `segments.rules`; here it only gets a place on the screen.
"""

import json
import re
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # public, but not in typeshed
from typing import Any

from segments.rules import RuleError
from segments.rules.limits import outsized

SPACE = " \t\n\r"
WIDTH = 88
# Escapes as they stand in a text: of a backslash, of a whole character in two halves, and of half a one by itself.
_HALVES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u(?P<half>[dD][89a-fA-F][0-9a-fA-F]{2})"
)
# How a sentence would go: what, filtered how, measured how, compared with what, when. The database keeps no order.
ORDER = ("version", "not", "trait", "performed", "property", "in_segment", "score", "bucket", "consented", "in_list", "everyone",
         "where", "measure", "of", "op", "value", "within", "all", "any")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An error with the line, counted from 1, at which it stands."""

    line: int
    message: str
    pointer: str
    code: str


def lay_out(document: Any, indent: str = "") -> str:
    """The document as text: what fits into a line stands in one, and members stand in the order they are read."""
    ordered = _ordered(document)
    flat = json.dumps(ordered, ensure_ascii=False)
    if not isinstance(ordered, dict | list) or not ordered or (indent and len(indent) + len(flat) <= WIDTH):
        return flat
    inner = indent + "  "
    if isinstance(ordered, list):
        parts = [lay_out(item, inner) for item in ordered]
    else:
        parts = [f"{json.dumps(key, ensure_ascii=False)}: {lay_out(value, inner)}" for key, value in ordered.items()]
    opening, closing = "{}" if isinstance(ordered, dict) else "[]"
    return f"{opening}\n{inner}" + f",\n{inner}".join(parts) + f"\n{indent}{closing}"


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        known = {key: n for n, key in enumerate(ORDER)}
        return {key: _ordered(value[key]) for key in sorted(value, key=lambda key: known.get(key, len(ORDER)))}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value


def read(text: str) -> tuple[Any, list[Placed]]:
    """The document of the text, or None and the place where it stops being JSON."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        said = f"This is not JSON: {_said(error)}"
        return None, [Placed(line=error.lineno, message=said, pointer="", code="not_json")]
    except RecursionError:
        return None, [Placed(line=1, message="This is nested too deeply to be read.", pointer="", code="too_deep")]
    except ValueError:  # Python reads no number of more than 4,300 digits
        return None, [Placed(line=1, message="This has a number of too many digits.", pointer="", code="not_json")]
    if (bomb := outsized(document)) is not None:
        return None, [Placed(line=1, message=bomb.message, pointer="", code=bomb.code)]
    half = next((found for found in _HALVES.finditer(text) if found["half"]), None)
    if half is not None:  # no page could show it, and no database keep it
        said = f"This has half a character (\\u{half['half']})."
        return None, [Placed(line=text.count("\n", 0, half.start()) + 1, message=said, pointer="", code="not_storable")]
    return document, []


def _said(error: json.JSONDecodeError) -> str:
    """What is wrong, in the words of somebody who has never read the standard where the mistake is a common one."""
    before, after = error.doc[: error.pos].rstrip(SPACE), error.doc[error.pos :].lstrip(SPACE)[:1]
    # Python 3.13 puts the place at the comma itself, earlier ones behind it.
    if after == "," and error.msg.startswith("Illegal trailing comma"):
        before, after = before + ",", error.doc[error.pos :].lstrip(SPACE)[1:].lstrip(SPACE)[:1]
    if before.endswith(",") and after in {"}", "]"}:
        return f"the comma before {after} is one too many"
    if not after:
        return "it ends too early; a bracket or a quotation mark is not closed"
    if after in {"'", "“", "”", "„"}:
        return f'texts stand between straight double quotes ("), not {after}'
    return f"{error.msg[0].lower()}{error.msg[1:]}"


def placed(text: str, errors: tuple[RuleError, ...]) -> list[Placed]:
    """The errors with their lines. What a pointer names and the text lacks stands where its nearest ancestor does."""
    offsets = _offsets(text)
    found = []
    for error in errors:
        pointer = error.pointer
        while pointer and pointer not in offsets:
            pointer = pointer.rpartition("/")[0]
        line = text.count("\n", 0, offsets.get(pointer, 0)) + 1
        found.append(Placed(line=line, message=error.message, pointer=error.pointer, code=error.code))
    return found


def _offsets(text: str) -> dict[str, int]:
    """Offset of every value by its pointer; of a member, that of its key. The text must be JSON."""
    offsets: dict[str, int] = {}
    _value(text, _skip(text, 0), "", offsets)
    return offsets


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


def _value(text: str, at: int, pointer: str, offsets: dict[str, int]) -> int:
    """The offset behind the value that begins here."""
    offsets.setdefault(pointer, at)
    if text[at] == "{":
        return _object(text, at, pointer, offsets)
    if text[at] == "[":
        return _array(text, at, pointer, offsets)
    if text[at] == '"':
        return scanstring(text, at + 1, True)[1]
    return json.JSONDecoder().raw_decode(text, at)[1]


def _object(text: str, at: int, pointer: str, offsets: dict[str, int]) -> int:
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, behind = scanstring(text, at + 1, True)
        inner = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        offsets[inner] = at
        at = _skip(text, _skip(text, behind) + 1)  # past the colon
        at = _skip(text, _value(text, at, inner, offsets))
        at = _skip(text, at + 1) if text[at] == "," else at
    return at + 1


def _array(text: str, at: int, pointer: str, offsets: dict[str, int]) -> int:
    at, position = _skip(text, at + 1), 0
    while text[at] != "]":
        at = _skip(text, _value(text, at, f"{pointer}/{position}", offsets))
        at = _skip(text, at + 1) if text[at] == "," else at
        position += 1
    return at + 1
