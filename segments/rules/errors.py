"""What is wrong with a rule, and where: one code, one sentence, one JSON pointer for each error.

How an error is answered over HTTP or shown on a screen doesn't belong here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

Path = tuple[str | int, ...]

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleError:
    """One thing that must change before the rule can run; `code` is stable, `pointer` is RFC 6901."""

    code: str
    message: str
    pointer: str

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.message}"


class RuleErrors(Exception):
    """All errors of one rule at once, in the order of the document."""

    def __init__(self, errors: Iterable[RuleError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(str(error) for error in self.errors))


def pointer(path: Path) -> str:
    """The RFC 6901 pointer of a path: `("all", 1, "value")` is `/all/1/value`."""
    return "".join("/" + _printable(str(step)).replace("~", "~0").replace("/", "~1") for step in path)


def quoted(text: str) -> str:
    """The text in quotes, shortened, and safe to print whatever it holds."""
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return f'"{_printable(shown)}"'


def received(raw: object) -> str:
    """What came instead of what was expected, in a few words: `text "abc"`, `a list`, `null`."""
    match raw:
        case None:
            return "null"
        case bool():
            return "true" if raw else "false"
        case str():
            return f"text {quoted(raw)}"
        case int() if raw.bit_length() > 128:  # printing a huge int is slow, and past 4,300 digits it raises
            return "a very large number"
        case int() | float():
            return f"the number {raw}"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a {type(raw).__name__}"


def _printable(text: str) -> str:
    # A lone surrogate can't be encoded, and a control character could break a log line.
    encodable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in encodable)
