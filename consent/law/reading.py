"""One TOML file to one law, typed; or every error in it at once, each with its file and key.

Whether the figures of all files fit together is `library`'s to say; what they mean is not this module's business.
"""

import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, NoReturn, TypeVar

from consent.law.places import is_place
from consent.law.terms import (
    SUBJECTS,
    Capability,
    Clock,
    Entry,
    Figure,
    Model,
    Period,
    Right,
    Slot,
    Source,
    Span,
    Territory,
    Unit,
    Value,
    Weekend,
)

LARGEST_FILE: Final = 1_000_000
LONGEST_TEXT: Final = 1_000
OLDEST_YEARS: Final = 25
LONGEST_COUNT: Final = 400

C = TypeVar("C", Model, Weekend)

_SPAN_KEYS: Final = {"places", "from", "until"}
_FIGURE_KEYS: Final = _SPAN_KEYS | {"source", "confirmed", "check", "law_says", "note"}


@dataclass(frozen=True, slots=True)
class LawFileError:
    """One thing that must change in a file: `key` is a path as in `right[2].within`."""

    file: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message}" if self.key else f"{self.file}: {self.message}"


class LawFileErrors(Exception):
    """All errors of the files at once, in the order of the files."""

    def __init__(self, errors: Iterable[LawFileError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What one file says. It has either a `key` of its own, or it `amends` a law that an earlier file tells of."""

    file: str
    key: str
    name: str
    amends: bool
    territories: tuple[Territory, ...]
    entries: tuple[Entry, ...]


class _Refused(Exception):
    """One value can't be used; caught where the next one can still be looked at."""


def read(file: str, raw: bytes, *, overridden: bool = False) -> Document:
    """What the file says.

    Args:
        overridden: the file is the operator's.

    Raises:
        LawFileErrors: with everything that is wrong in it.
    """
    return _Reader(file, overridden).document(_parsed(file, raw))


def _parsed(file: str, raw: bytes) -> dict[str, object]:
    def refuse(message: str) -> NoReturn:
        raise LawFileErrors([LawFileError(file, "", message)])

    if len(raw) > LARGEST_FILE:
        refuse(f"a file may have {LARGEST_FILE:,} bytes; this one has {len(raw):,}")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        refuse(f"is not UTF-8 at byte {error.start}")
    except ValueError as error:  # TOMLDecodeError is one; Python refuses numbers of thousands of digits by another
        refuse(f"is not TOML: {error}")
    except RecursionError:
        refuse("is nested too deep")


class _Reader:
    """Reads one document and gathers what is wrong with it."""

    def __init__(self, file: str, overridden: bool) -> None:
        self.file, self.overridden = file, overridden
        self.errors: list[LawFileError] = []
        self.sources: dict[str, Source] = {}
        self.used: set[str] = set()

    def document(self, whole: Mapping[str, object]) -> Document:
        amends = "amends" in whole
        naming = {"amends"} if amends else {"key", "name"}
        self.known_keys("", whole, naming | {"sources", "applies"} | {slot.value for slot in Slot})
        key = name = ""
        with suppress(_Refused):
            key = self.slug("", whole, "amends" if amends else "key")
        if not amends:
            with suppress(_Refused):
                name = self.text("", whole, "name")
        self.read_sources(whole.get("sources", {}))
        territories: list[Territory] = []
        for at, one in self.tables("applies", whole):
            with suppress(_Refused):
                territories.append(self.territory(at, one, key, name))
        entries: list[Entry] = []
        for slot in Slot:
            for at, one in self.tables(slot.value, whole):
                with suppress(_Refused):
                    entries += self.figures(slot, at, one)
        for unused in sorted(self.sources.keys() - self.used):
            self.error(f"sources.{unused}", "no figure names this source")
        if self.errors:
            raise LawFileErrors(self.errors)
        return Document(
            file=self.file,
            key=key,
            name=name,
            amends=amends,
            territories=tuple(territories),
            entries=tuple(entries),
        )

    # ---- Sources and places ------------------------------------------------------------------------------------

    def read_sources(self, raw: object) -> None:
        if not isinstance(raw, dict):
            self.error("sources", f"is a table of sources; received {_received(raw)}")
            return
        for name, one in raw.items():
            at = f"sources.{name}"
            if not isinstance(one, dict):
                self.error(at, f"is a table; received {_received(one)}")
                continue
            # One that is wrong is known all the same: its own error is enough.
            self.sources[name] = Source(law="", article="", url="")
            with suppress(_Refused):
                self.sources[name] = self.source(at, one)

    def source(self, at: str, one: Mapping[str, object]) -> Source:
        self.known_keys(at, one, {"law", "article", "url", "read"})
        return Source(
            law=self.text(at, one, "law"),
            article=self.text(at, one, "article"),
            url=self.url(at, one, "url"),
            read=self.url(at, one, "read") if "read" in one else "",
        )

    def cited(self, at: str, one: Mapping[str, object]) -> tuple[Source, ...]:
        raw = one.get("source")
        names = [raw] if isinstance(raw, str) else raw
        if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
            self.refuse(f"{at}.source", f"names a source, or several; received {_received(raw)}")
        for name in names:
            if name not in self.sources:
                self.refuse(f"{at}.source", f"there is no source {_quoted(name)} under [sources]")
        self.used.update(names)
        return tuple(self.sources[name] for name in names)

    def territory(self, at: str, one: Mapping[str, object], key: str, name: str) -> Territory:
        self.known_keys(at, one, _SPAN_KEYS | {"source", "key", "name"})
        span = self.span(at, one)
        if not span.places:
            self.refuse(f"{at}.places", "names the countries or regions that the law applies in")
        if "from" not in one:
            self.refuse(f"{at}.from", "says from which day on the law applies")
        return Territory(
            key=self.slug(at, one, "key") if "key" in one else key,
            name=self.text(at, one, "name") if "name" in one else name,
            span=span,
            where=f"{self.file}: {at}",
            sources=self.cited(at, one),
        )

    def span(self, at: str, one: Mapping[str, object]) -> Span:
        places = one.get("places", [])
        if not isinstance(places, list) or ("places" in one and not places):
            self.refuse(f"{at}.places", f"is a list of ISO 3166 codes; received {_received(places)}")
        for place in places:
            if not isinstance(place, str) or not is_place(place):
                self.refuse(f"{at}.places", f"is a list of ISO 3166 codes; {_received(place)} is none")
        if len(set(places)) != len(places):
            self.refuse(f"{at}.places", "names a place twice")
        since, until = self.day(at, one, "from", date.min), self.day(at, one, "until", date.max)
        if since >= until:
            self.refuse(f"{at}.until", f"{until} is not after {since}; the day itself is no longer part of it")
        return Span(places=frozenset(places), since=since, until=until)

    # ---- Figures -----------------------------------------------------------------------------------------------

    def figures(self, slot: Slot, at: str, one: Mapping[str, object]) -> list[Entry]:
        of = "" if SUBJECTS[slot] == ("",) else "of" if slot is Slot.RIGHT else "for"
        value_keys, value = self.value(slot, at, one)
        self.known_keys(at, one, _FIGURE_KEYS | value_keys | ({of} if of else set()))
        subjects = self.subjects(slot, of, at, one) if of else [""]
        sources = self.cited(at, one)
        confirmed = one.get("confirmed", True)
        if not isinstance(confirmed, bool):
            self.refuse(f"{at}.confirmed", f"is true or false; received {_received(confirmed)}")
        texts = {name: self.text(at, one, name) if name in one else "" for name in ("check", "law_says", "note")}
        if confirmed == bool(texts["check"]):
            self.refuse(
                f"{at}.check", "says what is to be looked up, of a figure with `confirmed = false` and only there"
            )
        if texts["law_says"] and confirmed:
            self.refuse(f"{at}.law_says", "the number is ours where the law names none, so it can't be confirmed")
        figure: Figure[Value] = Figure(
            value=value, entered=value, sources=sources, confirmed=confirmed, overridden=self.overridden, **texts
        )
        span, where = self.span(at, one), f"{self.file}: {at}"
        return [Entry(slot=slot, subject=name, figure=figure, span=span, where=where) for name in subjects]

    def subjects(self, slot: Slot, of: str, at: str, one: Mapping[str, object]) -> list[str]:
        raw, known = one.get(of), SUBJECTS[slot]
        if not isinstance(raw, list) or not raw:
            self.refuse(f"{at}.{of}", f"is a list of {', '.join(known)}; received {_received(raw)}")
        for name in raw:
            if not isinstance(name, str) or name not in known:
                self.refuse(f"{at}.{of}", f"is a list of {', '.join(known)}; {_received(name)} is none of them")
        if len(set(raw)) != len(raw):
            self.refuse(f"{at}.{of}", "names one twice")
        kind = Right if slot is Slot.RIGHT else Capability
        return [kind(name) for name in raw]

    def value(self, slot: Slot, at: str, one: Mapping[str, object]) -> tuple[set[str], Value]:
        match slot:
            case Slot.CONSENT:
                return {"model"}, self.choice(at, one, "model", Model)
            case Slot.GPC:
                return {"honour"}, self.flag(at, one, "honour")
            case Slot.GUARDIAN | Slot.ADULT:
                return {"years"}, self.number(at, one, "years", 1, OLDEST_YEARS)
            case Slot.MINORS_OPT_IN | Slot.MINORS_FORBIDDEN:
                return {"below"}, self.number(at, one, "below", 0, OLDEST_YEARS)
            case Slot.RECORDS:
                return {"months"}, self.number(at, one, "months", 0, LONGEST_COUNT)
            case Slot.RIGHT:
                if "given" in one:
                    if self.flag(at, one, "given"):
                        self.refuse(f"{at}.given", "is said of a right that the law does not give; else say `within`")
                    return {"given"}, ()
                return {"within", "extension", "acknowledge", "weekend"}, (self.clock(at, one),)

    def clock(self, at: str, one: Mapping[str, object]) -> Clock:
        return Clock(
            within=self.period(at, one, "within"),
            extension=self.period(at, one, "extension") if "extension" in one else None,
            acknowledge=self.period(at, one, "acknowledge") if "acknowledge" in one else None,
            weekend=self.choice(at, one, "weekend", Weekend) if "weekend" in one else Weekend.STAYS,
        )

    def period(self, at: str, one: Mapping[str, object], name: str) -> Period:
        raw = one.get(name)
        if not isinstance(raw, dict) or len(raw) != 1 or next(iter(raw)) not in set(Unit):
            units = " or ".join(f"{{ {unit} = … }}" for unit in Unit)
            self.refuse(f"{at}.{name}", f"is {units}; received {_received(raw)}")
        unit = next(iter(raw))
        return Period(self.number(f"{at}.{name}", raw, unit, 1, LONGEST_COUNT), Unit(unit))

    # ---- Plain values ------------------------------------------------------------------------------------------

    def tables(self, name: str, whole: Mapping[str, object]) -> list[tuple[str, dict[str, object]]]:
        raw = whole.get(name, [])
        if not isinstance(raw, list) or not all(isinstance(one, dict) for one in raw):
            self.error(name, f"is a list of tables, [[{name}]]; received {_received(raw)}")
            return []
        return [(f"{name}[{number}]", one) for number, one in enumerate(raw)]

    def known_keys(self, at: str, one: Mapping[str, object], known: Iterable[str]) -> None:
        for unknown in sorted(one.keys() - set(known)):
            # A misspelt key must not pass for a figure that was left out.
            self.error(f"{at}.{_plain(unknown)}" if at else _plain(unknown), "is no key that is known here")

    def text(self, at: str, one: Mapping[str, object], name: str) -> str:
        raw = one.get(name)
        place = f"{at}.{name}" if at else name
        if not isinstance(raw, str) or not raw.strip():
            self.refuse(place, f"is a text; received {_received(raw)}")
        if len(raw) > LONGEST_TEXT or not raw.isprintable():
            self.refuse(place, f"is one line of at most {LONGEST_TEXT:,} printable characters")
        return raw

    def slug(self, at: str, one: Mapping[str, object], name: str) -> str:
        found = self.text(at, one, name)
        if not found.isascii() or not found.replace("-", "").isalnum() or found != found.lower() or len(found) > 40:
            place = f"{at}.{name}" if at else name
            self.refuse(place, f"is up to 40 small letters, digits and hyphens; received {_received(found)}")
        return found

    def url(self, at: str, one: Mapping[str, object], name: str) -> str:
        found = self.text(at, one, name)
        if not found.startswith("https://") or " " in found:
            self.refuse(f"{at}.{name}", f"begins with https://; received {_received(found)}")
        return found

    def number(self, at: str, one: Mapping[str, object], name: str, least: int, most: int) -> int:
        raw = one.get(name)
        if not isinstance(raw, int) or isinstance(raw, bool) or not least <= raw <= most:
            self.refuse(f"{at}.{name}", f"is a whole number from {least} to {most}; received {_received(raw)}")
        return raw

    def flag(self, at: str, one: Mapping[str, object], name: str) -> bool:
        raw = one.get(name)
        if not isinstance(raw, bool):
            self.refuse(f"{at}.{name}", f"is true or false; received {_received(raw)}")
        return raw

    def choice(self, at: str, one: Mapping[str, object], name: str, kind: type[C]) -> C:
        raw = one.get(name)
        if not isinstance(raw, str) or raw not in [item.value for item in kind]:
            self.refuse(f"{at}.{name}", f"is {' or '.join(kind)}; received {_received(raw)}")
        return kind(raw)

    def day(self, at: str, one: Mapping[str, object], name: str, without: date) -> date:
        raw = one.get(name, without)
        if not isinstance(raw, date) or isinstance(raw, datetime):
            self.refuse(f"{at}.{name}", f"is a day such as 2026-01-31; received {_received(raw)}")
        return raw

    # ---- Errors ------------------------------------------------------------------------------------------------

    def error(self, key: str, message: str) -> None:
        self.errors.append(LawFileError(self.file, key, message))

    def refuse(self, key: str, message: str) -> NoReturn:
        self.error(key, message)
        raise _Refused


def _received(raw: object) -> str:
    match raw:
        case None:
            return "nothing"
        case bool():
            return "true" if raw else "false"
        case str():
            return f"text {_quoted(raw)}"
        case int() if raw.bit_length() > 128:  # printing a huge int is slow, and past 4,300 digits it raises
            return "a very large number"
        case int() | float():
            return f"the number {raw}"
        case list():
            return "a list" if raw else "an empty list"
        case dict():
            return "a table"
        case _:
            return f"a {type(raw).__name__}"


def _quoted(text: str) -> str:
    return f'"{_plain(text)}"'


def _plain(text: str) -> str:
    shown = text if len(text) <= 60 else text[:60] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in shown)
