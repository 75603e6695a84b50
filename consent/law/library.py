"""All laws together: read from folders, found to answer for every place and day they claim, and looked up.

Reading one file is `reading`'s; which law protects a person is asked in `applying`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

from consent.law.places import ALL_CELLS, REGIONS
from consent.law.reading import Document, LawFileError, LawFileErrors, read
from consent.law.strictness import (
    settled,
    stricter_clocks,
    stricter_flag,
    stricter_model,
    stricter_number,
    strictest,
)
from consent.law.terms import SLOTS, Capability, Entry, Figure, Law, Right, Slot, SlotOf, Statute, Territory, Value

DEFAULT: Final = "default"
SHIPPED: Final = Path(__file__).with_name("data")

_STRICTER: Final[Mapping[Slot, Any]] = {
    Slot.CONSENT: stricter_model,
    Slot.GPC: stricter_flag,
    Slot.RIGHT: stricter_clocks,
}


@dataclass(frozen=True, slots=True, eq=False)
class Laws:
    """Every law there is. Equal only to itself, so that what was worked out of it can be kept."""

    statutes: Mapping[str, Statute]
    turns: tuple[date, ...] = field(repr=False)
    _kept: dict[tuple[tuple[str, ...], int], Law] = field(default_factory=dict, repr=False)

    def at(self, places: tuple[str, ...], on: date) -> Law:
        """What holds in one of `places.ALL_CELLS` on a day, or the strictest of what holds in several.

        The default, where there is no law of the place's own.
        """
        turn = bisect_right(self.turns, on)
        found = self._kept.get((places, turn))
        if found is None:
            if len(places) == 1:
                found = self._worked_out(places[0], self.turns[turn - 1] if turn else date.min)
            else:
                found = strictest(self.at((place,), on) for place in places)
            # Between two turns nothing changes, and people's places are few, so there are only so many to keep.
            self._kept[places, turn] = found
        return found

    def territories(self) -> Iterator[tuple[Statute, Territory]]:
        """Each law with a place of its own, in the order of the files."""
        for statute in self.statutes.values():
            for territory in statute.territories:
                yield statute, territory

    def _worked_out(self, place: str, on: date) -> Law:
        default = _figures(self.statutes[DEFAULT], place, on)
        found = _applicable(self, place, on)
        if not found:
            return _law(self.statutes[DEFAULT].key, self.statutes[DEFAULT].name, default)
        statute, territory = found[0]
        own = _figures(statute, place, on)
        counted = {
            slot: settled(figure, default[slot], _STRICTER.get(slot[0], stricter_number))
            for slot, figure in own.items()
        }
        return _law(territory.key, territory.name, counted)


@cache
def shipped() -> Laws:
    """The laws that come with the platform."""
    return load()


def load(*folders: Path) -> Laws:
    """Our laws, and over them the operator's: what a later folder says counts before what an earlier one says.

    A file in a later folder either tells of a law of its own, or `amends` one: then it has just the figures that differ.

    Raises:
        LawFileErrors: with every error there is, by file and key.
    """
    documents: list[Document] = []
    errors: list[LawFileError] = []
    for number, folder in enumerate((SHIPPED, *folders)):
        for path in sorted(folder.glob("*.toml")):
            try:
                documents.append(read(path.name, path.read_bytes(), overridden=number > 0))
            except LawFileErrors as refused:
                errors += refused.errors
    if errors:
        raise LawFileErrors(errors)
    return assembled(documents)


def assembled(documents: Sequence[Document]) -> Laws:
    """The laws of some documents, if they answer for every place and day that they claim, and once.

    Raises:
        LawFileErrors: with every error there is, by file and key.
    """
    errors: list[LawFileError] = []
    statutes: dict[str, Statute] = {}
    for one in documents:
        known = statutes.get(one.key)
        if one.amends and known is None:
            errors.append(LawFileError(one.file, "amends", f'there is no law "{one.key}" before it'))
        elif not one.amends and known is not None:
            errors.append(LawFileError(one.file, "key", f'there is a law "{one.key}" already, in {known.where}'))
        elif known is not None:
            statutes[one.key] = Statute(
                key=known.key,
                name=known.name,
                where=known.where,
                territories=known.territories + one.territories,
                layers=(_by_slot(one.entries), *known.layers),
            )
        else:
            statutes[one.key] = Statute(
                key=one.key, name=one.name, where=one.file, territories=one.territories, layers=(_by_slot(one.entries),)
            )
    if DEFAULT not in statutes:
        errors.append(
            LawFileError("default.toml", "", f'there is no law with the key "{DEFAULT}", for everywhere else')
        )
    if errors:
        raise LawFileErrors(errors)
    laws = Laws(statutes=statutes, turns=tuple(sorted(set(_turns(statutes.values())))))
    errors = [*_wrong_in_default(statutes[DEFAULT]), *_wrong_keys(laws), *_gaps(laws), *_two_at_once(laws)]
    if errors:
        raise LawFileErrors(dict.fromkeys(errors))
    return laws


# ---- Looking up ------------------------------------------------------------------------------------------------


def _applicable(laws: Laws, place: str, on: date) -> list[tuple[Statute, Territory]]:
    """Of a region its own law, or else that of its country. More than one is refused when laws are loaded."""
    found: list[tuple[Statute, Territory]] = []
    for wanted in (place, place.partition("-")[0]):
        found = [(s, t) for s, t in laws.territories() if wanted in t.span.places and t.span.holds(wanted, on)]
        if found:
            break
    return found


def _figures(statute: Statute, place: str, on: date) -> dict[SlotOf, Figure[Value]]:
    found = {}
    for slot in SLOTS:
        entries = _candidates(statute, slot, place, on)
        # Checked when laws are loaded: there is one.
        found[slot] = entries[0].figure
    return found


def _by_slot(entries: Iterable[Entry]) -> dict[SlotOf, tuple[Entry, ...]]:
    found: dict[SlotOf, list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.slot, entry.subject), []).append(entry)
    return {slot: tuple(some) for slot, some in found.items()}


def _candidates(statute: Statute, slot: SlotOf, place: str, on: date) -> list[Entry]:
    """The entries that answer: the operator's before ours, and in each what is said of the region before its country before all."""
    wider = ("",) if "-" not in place else (place.partition("-")[0], "")
    for layer in statute.layers:
        for named in (place, *wider):
            found = [entry for entry in layer.get(slot, ()) if entry.span.holds(named, on)]
            if found:
                return found
    return []


def _law(key: str, name: str, figures: Mapping[SlotOf, Figure[Value]]) -> Law:
    def one(slot: Slot, subject: str = "") -> Figure[Any]:
        return cast("Figure[Any]", figures[slot, subject])

    return Law(
        key=key,
        name=name,
        keys=(key,),
        consent={of: one(Slot.CONSENT, of) for of in Capability},
        gpc=one(Slot.GPC),
        guardian_below=one(Slot.GUARDIAN),
        adult_from=one(Slot.ADULT),
        opt_in_below={of: one(Slot.MINORS_OPT_IN, of) for of in Capability},
        forbidden_below={of: one(Slot.MINORS_FORBIDDEN, of) for of in Capability},
        rights={of: one(Slot.RIGHT, of) for of in Right},
        keep_records_months=one(Slot.RECORDS),
    )


# ---- Checking --------------------------------------------------------------------------------------------------


def _turns(statutes: Iterable[Statute]) -> Iterator[date]:
    for statute in statutes:
        for span in [*(t.span for t in statute.territories), *(entry.span for entry in _entries(statute))]:
            yield from (day for day in (span.since, span.until) if day not in (date.min, date.max))


def _entries(statute: Statute) -> Iterator[Entry]:
    for layer in statute.layers:
        for some in layer.values():
            yield from some


def _wrong_in_default(default: Statute) -> Iterator[LawFileError]:
    for territory in default.territories:
        yield LawFileError(
            *_split(territory.where), "the default applies wherever no other law does; it names no places"
        )
    for entry in _entries(default):
        if not entry.figure.confirmed:
            yield LawFileError(*_split(entry.where), "others fall back on the default, so its figures are confirmed")
        if entry.span.places:
            yield LawFileError(*_split(entry.where), "the default says the same of all places")
    for day in (date.min, *sorted(set(_turns([default])))):
        yield from _missing(default, ALL_CELLS[0], day)


def _wrong_keys(laws: Laws) -> Iterator[LawFileError]:
    seen: dict[str, str] = {DEFAULT: laws.statutes[DEFAULT].key}
    for statute, territory in laws.territories():
        if seen.setdefault(territory.key, statute.key) != statute.key:
            yield LawFileError(*_split(territory.where), f'there is a law "{territory.key}" in another file')
    for statute in laws.statutes.values():
        if statute.key != DEFAULT and not statute.territories:
            yield LawFileError(statute.where, "applies", "the law applies nowhere")


def _gaps(laws: Laws) -> Iterator[LawFileError]:
    for statute, territory in laws.territories():
        span = territory.span
        days = [span.since, *(day for day in sorted(set(_turns([statute]))) if span.since < day < span.until)]
        for place in sorted(span.places):
            for cell in sorted(REGIONS.get(place, {place})):
                for day in days:
                    yield from _missing(statute, cell, day)


def _missing(statute: Statute, place: str, day: date) -> Iterator[LawFileError]:
    for slot, subject in SLOTS:
        found = _candidates(statute, (slot, subject), place, day)
        what = f"{slot} of {subject}" if subject else slot.value
        when = f"in {place} from {day}" if day != date.min else f"in {place}"
        if not found:
            yield LawFileError(statute.where, slot.value, f"nothing is said for {what} {when}")
        elif len(found) > 1:
            yield LawFileError(*_split(found[1].where), f"{what} {when} is said already at {_split(found[0].where)[1]}")


def _two_at_once(laws: Laws) -> Iterator[LawFileError]:
    for _, territory in laws.territories():
        for place in sorted(territory.span.places):
            for _, other in laws.territories():
                if other is territory:
                    break
                days = max(territory.span.since, other.span.since), min(territory.span.until, other.span.until)
                if place in other.span.places and days[0] < days[1]:
                    told = f"{place} has another law from {days[0]}, at {other.where}"
                    yield LawFileError(*_split(territory.where), told)


def _split(where: str) -> tuple[str, str]:
    file, _, key = where.partition(": ")
    return file, key
