"""Our own small regular expressions: read once, then printed for each engine, so that all of them mean the same.

Known are: text, `.` (any character but a line's end), `[abc]`, `[^a-z]`, `\\d \\w \\s` (ASCII) and their capitals, `^` and
`$` (the whole text's begin and end), `( )`, `|`, and `* + ? {2} {2,} {2,5}`. There are no back-references and no
look-around: with those, an engine may need for ever. A pattern is found anywhere in the text unless it says otherwise.
"""

import re
from functools import lru_cache
from typing import Final

from segments.rules.folding import fold

MAX_PATTERN: Final = 200
MAX_REPEAT: Final = 100
MAX_GROUPS: Final = 20

_CLASSES: Final = {"d": "0-9", "w": "A-Za-z0-9_", "s": " \\t\\n\\r\\f\\v"}
_SPECIAL: Final = set("\\^$.|?*+()[]{}")
_QUANTIFIER: Final = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}", re.ASCII)


class PatternError(ValueError):
    """The pattern isn't one of ours. ``position`` counts its characters from 1."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at character {position}")


def printed(pattern: str, *, folded: bool, sql: bool = True) -> str:
    """The pattern as databases write it, or as Python does.

    Args:
        folded: it is matched against folded text, so its letters are folded too.

    Raises:
        PatternError: it can't be read.
    """
    return _Reader(pattern, folded, sql).whole()


@lru_cache(maxsize=500)
def compiled(pattern: str, *, folded: bool) -> "re.Pattern[str]":
    """The pattern for Python; see `printed`."""
    return re.compile(printed(pattern, folded=folded, sql=False))


def for_java(written: str) -> str:
    """The same for Java, given the pattern as databases write it (`printed`)."""
    return _ESCAPED_OR_END.sub(lambda found: _IN_JAVA.get(found[0], found[0]), written)


# Java's own $ also matches before a last line's end, and its \v is every kind of vertical space.
_IN_JAVA: Final = {"$": r"\z", r"\v": r"\x0B"}
_ESCAPED_OR_END: Final = re.compile(r"\\.|\$", re.DOTALL)


class _Reader:
    def __init__(self, pattern: str, folded: bool, sql: bool) -> None:
        self.pattern, self.folded, self.sql = pattern, folded, sql
        self.at = 0
        self.groups = 0

    def whole(self) -> str:
        if not self.pattern:
            raise PatternError("a pattern has at least one character", 1)
        if len(self.pattern) > MAX_PATTERN:
            raise PatternError(f"a pattern has at most {MAX_PATTERN} characters", MAX_PATTERN + 1)
        found = self._either()
        if self.at < len(self.pattern):
            raise PatternError("a closing bracket without an opening one", self.at + 1)
        return found

    def _either(self) -> str:
        branches = [self._row()]
        while self._peek() == "|":
            self.at += 1
            branches.append(self._row())
        return "|".join(branches)

    def _row(self) -> str:
        parts: list[str] = []
        while self.at < len(self.pattern) and self._peek() not in ("|", ")"):
            parts.append(self._repeated())
        return "".join(parts)

    def _repeated(self) -> str:
        began = self.at
        atom, may_repeat = self._atom()
        repeat = self._repeat()
        if repeat and not may_repeat:
            raise PatternError("there is nothing to repeat", began + 1)
        if repeat and self._peek() in ("*", "+", "?", "{"):
            raise PatternError("one repetition of another, or a lazy one, is not known", self.at + 1)
        return atom + repeat

    def _repeat(self) -> str:
        character = self._peek()
        if character in ("*", "+", "?"):
            self.at += 1
            return character
        if character != "{":
            return ""
        found = _QUANTIFIER.match(self.pattern, self.at)
        if not found:
            raise PatternError("a repetition is written as in {2}, {2,} or {2,5}", self.at + 1)
        low, high = int(found[1]), int(found[3]) if found[3] else int(found[1])
        if high < low or high > MAX_REPEAT:
            raise PatternError(f"something may be repeated up to {MAX_REPEAT} times", self.at + 1)
        self.at = found.end()
        return found[0]

    def _atom(self) -> tuple[str, bool]:
        character = self.pattern[self.at]
        self.at += 1
        match character:
            case "(":
                return self._group(), True
            case "[":
                return self._class(), True
            case ".":
                return "[^\\n]", True
            case "^":
                return "^", False
            case "$":
                # Python's own $ also matches before a last line's end; a database's doesn't.
                return "$" if self.sql else "\\Z", False
            case "\\":
                return self._escaped(), True
            case "*" | "+" | "?" | "{":
                raise PatternError("there is nothing to repeat", self.at)
            case "]" | "}":
                return self._literal(character), True
            case _:
                return self._literal(character), True

    def _group(self) -> str:
        self.groups += 1
        if self.groups > MAX_GROUPS:
            raise PatternError(f"a pattern has at most {MAX_GROUPS} groups", self.at)
        if self._peek() == "?":
            raise PatternError("groups that begin with ? are not known", self.at + 1)
        began = self.at
        inner = self._either()
        if self._peek() != ")":
            raise PatternError("a bracket is not closed", began)
        self.at += 1
        return f"(?:{inner})"

    def _escaped(self) -> str:
        if self.at >= len(self.pattern):
            raise PatternError("a backslash needs a character after it", self.at)
        character = self.pattern[self.at]
        self.at += 1
        if character in _CLASSES:
            return f"[{_CLASSES[character]}]"
        if character.lower() in _CLASSES:
            return f"[^{_CLASSES[character.lower()]}]"
        if character not in _SPECIAL and character not in "-/":
            raise PatternError(f"\\{character} is not known", self.at - 1)
        return self._literal(character)

    def _literal(self, character: str) -> str:
        text = fold(character) if self.folded else character
        written = "".join(_quoted(one) for one in text)
        # What folds to several characters (ß) is repeated as a whole; what folds to none (an accent alone) matches nothing.
        return written if len(text) == 1 else f"(?:{written})"

    def _class(self) -> str:
        began = self.at
        negated = self._peek() == "^"
        self.at += negated
        parts: list[str] = []
        while self._peek() != "]":
            if self.at >= len(self.pattern):
                raise PatternError("a class is not closed", began)
            parts.append(self._member())
        self.at += 1
        if not parts:
            raise PatternError("a class has at least one character", began)
        return f"[{'^' if negated else ''}{''.join(parts)}]"

    def _member(self) -> str:
        low = self._single()
        if len(low) > 1:
            return low
        if self._peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("", "]"):
            self.at += 1
            place = self.at
            high = self._single()
            if len(high) > 1 or ord(high) < ord(low):
                raise PatternError("a range goes from a lower to a higher character", place + 1)
            if not (low + high).isascii():
                raise PatternError("a range is of ASCII characters", place + 1)
            low, high = (fold(low), fold(high)) if self.folded and low.isalpha() and high.isalpha() else (low, high)
            return f"{_in_class(low)}-{_in_class(high)}"
        text = fold(low) if self.folded else low
        if len(text) != 1:
            raise PatternError("this character can't stand in a class", self.at)
        return _in_class(text)

    def _single(self) -> str:
        """One character of a class, or the inside of \\d, \\w or \\s."""
        character = self.pattern[self.at]
        self.at += 1
        if character != "\\":
            return character
        if self.at >= len(self.pattern):
            raise PatternError("a backslash needs a character after it", self.at)
        character = self.pattern[self.at]
        self.at += 1
        if character in _CLASSES:
            return _CLASSES[character]
        if character not in _SPECIAL and character not in "-/":
            raise PatternError(f"\\{character} is not known here", self.at - 1)
        return character

    def _peek(self) -> str:
        return self.pattern[self.at] if self.at < len(self.pattern) else ""


def _quoted(character: str) -> str:
    return f"\\{character}" if character in _SPECIAL else character


def _in_class(character: str) -> str:
    # Python and Java have or plan operators on classes, such as && for what two of them share.
    return f"\\{character}" if character in "\\]^-[&~|$" else character
