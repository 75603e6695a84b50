"""The tables of the guide for compliance staff, made from the laws themselves. Prose doesn't belong here.

`python -m consent.law.reference docs/guides/compliance.md` brings the guide up to date; a test says when it isn't.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, TypeVar

from consent.law.library import DEFAULT, Laws, shipped
from consent.law.places import REGIONS
from consent.law.terms import Capability, Clocks, Figure, Law, Model, Right

BEGIN: Final = "<!-- made by consent.law.reference: begin -->"
END: Final = "<!-- made by consent.law.reference: end -->"

AS_OF: Final = date(2026, 11, 22)
"""The day that the tables tell of; of a law that begins later, its first day."""

_ASKED: Final[Mapping[str, tuple[Capability, ...]]] = {
    "email": (Capability.MARKETING_EMAIL,),
    "SMS": (Capability.MARKETING_SMS,),
    "analytics cookies": (Capability.ANALYTICS_COOKIES,),
    "targeted ads": (Capability.TARGETED_ADS,),
    "sale, sharing": (Capability.SALE, Capability.SHARING),
}
_MODELS: Final = {Model.OPT_IN: "yes first", Model.OPT_OUT: "unless no"}

T = TypeVar("T")


def tables(laws: Laws | None = None) -> str:
    """Markdown: what each law asks first, by when it wants answers, and from which age people consent by themselves."""
    laws = laws or shipped()
    rows = _rows(laws)
    asked = [
        f"| law | where | from | {' | '.join(_ASKED)} | GPC counts | minors, ads and sale |",
        "|---|---|---|" + "---|" * (len(_ASKED) + 2),
    ]
    times = [
        "| law | access | erasure | opt-out of sale | not given | receipt confirmed | records kept |",
        "|---|---|---|---|---|---|---|",
    ]
    ages = ["| where | guardian consents below | adult from | source |", "|---|---|---|---|"]
    for row in rows:
        found = row.laws
        models = " | ".join(
            _cell([law.consent[of] for of in kinds for law in found], _MODELS.__getitem__) for kinds in _ASKED.values()
        )
        gpc = _cell([law.gpc for law in found], lambda value: "yes" if value else "no")
        asked.append(f"| {row.name} | {row.places} | {row.since} | {models} | {gpc} | {_minors(found)} |")
        answers = " | ".join(
            _cell([law.rights[of] for law in found], _time)
            for of in (Right.ACCESS, Right.ERASURE, Right.OPT_OUT_OF_SALE)
        )
        absent = ", ".join(str(of).replace("_", " ") for of in Right if not any(law.rights[of].value for law in found))
        receipt = _cell([law.rights[Right.ACCESS] for law in found], _receipt)
        records = _cell([law.keep_records_months for law in found], lambda value: f"{value} months" if value else "–")
        times.append(f"| {row.name} | {answers} | {absent or '–'} | {receipt} | {records} |")
    for where, law in _by_age(rows):
        sources = "; ".join(f"[{source}]({source.url})" for source in law.guardian_below.sources)
        adult = _cell([law.adult_from], str)
        ages.append(f"| {where} | {_age(law.guardian_below)} | {adult} | {sources} |")
    return "\n".join(
        [
            f"As of {AS_OF}; of a law that begins later, as of its first day. An asterisk: not confirmed yet, so the default's",
            "figure counts too, and the stricter of the two holds. Where two times stand, the one that ends first counts, and it",
            "can be extended only if both can.\n",
            "#### What is asked first\n",
            *asked,
            "\n#### By when\n",
            *times,
            "\n#### From which age\n",
            *ages,
        ]
    )


def brought_up_to_date(guide: str) -> str:
    """The guide with its tables made anew."""
    before, _, rest = guide.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


@dataclass(frozen=True, slots=True)
class _Row:
    """A law with its first day, and what it says in each of its places."""

    name: str
    since: str
    at: list[tuple[str, Law]]

    @property
    def places(self) -> str:
        return _places(cell for cell, _ in self.at)

    @property
    def laws(self) -> list[Law]:
        return [law for _, law in self.at]


def _rows(laws: Laws) -> list[_Row]:
    found: dict[str, _Row] = {}
    for _, territory in laws.territories():
        if territory.span.until <= AS_OF:
            continue
        day = max(AS_OF, territory.span.since)
        for place in sorted(territory.span.places):
            for cell in sorted(REGIONS.get(place, {place})):
                law = laws.at((cell,), day)
                if law.key == territory.key:
                    row = found.setdefault(law.key, _Row(law.name, str(territory.span.since), []))
                    row.at.append((cell, law))
    # Antarctica has nobody who could make a law of its own.
    default = laws.at(("AQ",), AS_OF)
    assert default.key == DEFAULT
    return [*found.values(), _Row("Everywhere else", "–", [("everywhere else", default)])]


def _by_age(rows: Iterable[_Row]) -> list[tuple[str, Law]]:
    """Places where the same ages hold, for the same reasons."""
    merged: dict[object, tuple[list[str], Law]] = {}
    for row in rows:
        for cell, law in row.at:
            one, other = law.guardian_below, law.adult_from
            key = one.value, one.entered, one.confirmed, one.sources, other.value, other.confirmed
            merged.setdefault(key, ([], law))[0].append(cell)
    return [(_places(cells), law) for cells, law in merged.values()]


def _places(cells: Iterable[str]) -> str:
    return ", ".join(sorted(set(cells)))


def _minors(found: list[Law]) -> str:
    ads = (Capability.TARGETED_ADS, Capability.SALE)
    told = [
        f"{words} below {_cell([law_figures[of] for law_figures in figures for of in ads], str, skip=0)}"
        for words, figures in (
            ("never", [law.forbidden_below for law in found]),
            ("own yes", [law.opt_in_below for law in found]),
        )
        if any(one[of].value for one in figures for of in ads)
    ]
    return "; ".join(told) or "–"


def _age(figure: Figure[int]) -> str:
    if figure.confirmed:
        return str(figure.value)
    return f"{figure.value} *" + (f" ({figure.entered} once confirmed)" if figure.entered != figure.value else "")


def _time(clocks: Clocks) -> str:
    if not clocks:
        return "not given"
    return ", ".join(
        f"{clock.within}" + (f" + {clock.extension}" if clock.extension is not None else "") for clock in clocks
    )


def _receipt(clocks: Clocks) -> str:
    return ", ".join(str(clock.acknowledge) for clock in clocks if clock.acknowledge is not None) or "–"


def _cell(figures: list[Figure[T]], told: Callable[[T], str], *, skip: T | None = None) -> str:
    """The different values of one figure, each once, with an asterisk where one isn't confirmed."""
    texts = dict.fromkeys(
        told(figure.value) + ("" if figure.confirmed else " *")
        for figure in sorted(figures, key=lambda figure: told(figure.value))
        if figure.value != skip
    )
    return " / ".join(texts)


if __name__ == "__main__":
    guide = Path(sys.argv[1])
    guide.write_text(brought_up_to_date(guide.read_text("utf-8")), "utf-8")
