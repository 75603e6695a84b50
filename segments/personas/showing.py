"""A portrait as its screens show it: cards, tables and pictures, and the rows of its file.

What is counted is in `segments.personas.portraying`, what is said of it in `segments.analytics.narrative`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import log
from typing import Final

from cdp.charts import Cell, Column, Figure, Height, Series, Unit, bars, heat_map, written
from segments.analytics.attributes import Apart, Relation
from segments.analytics.factors import STRONG
from segments.analytics.narrative import Sentence, write
from segments.analytics.portraits import DAYS, Breakdown, Measure, Portrait, When
from segments.analytics.portraits import Unit as Of
from segments.personas.analysing import Analysed
from segments.personas.models import Persona, PersonaPortrait

MOST_BARS: Final = 10
HARDLY: Final = 0.1  # standard deviations
NO_IMPORTANCE: Final = 0.005
MOST_RELATIONS: Final = 8
CARD_FIGURES: Final = 3


@dataclass(frozen=True, kw_only=True)
class Line:
    """One figure as a table has it: of the group, of everybody, and how the one stands to the other."""

    label: str
    mine: str
    everyone: str
    compared: str
    people: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Everything that screens, print and file say of one persona."""

    persona: Persona
    portrait: PersonaPortrait | None
    figures: Portrait | None = None
    analysed: Analysed = field(default_factory=Analysed)
    sentences: tuple[Sentence, ...] = ()

    @property
    def is_told(self) -> bool:
        return self.figures is not None and self.figures.people is not None

    @property
    def told(self) -> Portrait:
        """The figures, once `is_told` says there are any."""
        assert self.figures is not None
        return self.figures

    @property
    def share_of_people(self) -> float | None:
        return (self.told.people or 0) / self.told.everybody if self.is_told and self.told.everybody else None

    @property
    def share_of_revenue(self) -> float | None:
        found = self.told.measure("revenue_share") if self.is_told else None
        return found.value if found else None

    @property
    def lines(self) -> list[Line]:
        return [self._line(one) for one in self.told.measures] if self.is_told else []

    @property
    def answers(self) -> list[Line]:
        return [self._line(one) for one in self.told.feedback] if self.is_told else []

    @property
    def distinctive(self) -> list[Line]:
        """The figures that are furthest from everybody's, as ratios."""
        if not self.is_told:
            return []
        with_ratio = [one for one in self.told.measures if one.times]
        with_ratio.sort(key=lambda one: -abs(log(one.times or 1)))
        return [self._line(one) for one in with_ratio[:CARD_FIGURES]]

    def _line(self, one: Measure) -> Line:
        currency = self.told.currency if one.unit is Of.MONEY else ""
        return Line(
            label=one.label,
            mine="" if one.value is None else write(one.value, one.unit, currency),
            everyone="" if one.everyone is None else write(one.everyone, one.unit, currency),
            compared=_compared(one.times),
            people=one.people,
            source=one.source,
        )

    @property
    def tables(self) -> list[Breakdown]:
        """Whatever divides the group, in the order it is read."""
        if not self.is_told:
            return []
        one = self.told
        found = (one.categories, one.prices, one.channels, one.devices, *one.demographics, *one.traits)
        return [each for each in found if each is not None and each.rows]

    @property
    def paragraphs(self) -> list[tuple[str, list[Sentence]]]:
        """Sentences under their headings."""
        found: dict[str, list[Sentence]] = {}
        for one in self.sentences:
            found.setdefault(one.about, []).append(one)
        return list(found.items())

    @property
    def relations(self) -> list[Relation]:
        """What the model goes by, the first most."""
        found = self.analysed.buying.relations if self.analysed.buying else ()
        return [one for one in found if (one.importance or 0.0) >= NO_IMPORTANCE][:MOST_RELATIONS]


def shown(persona: Persona, portrait: PersonaPortrait | None) -> Shown:
    if portrait is None:
        return Shown(persona=persona, portrait=None)
    return Shown(
        persona=persona,
        portrait=portrait,
        figures=Portrait.from_json(portrait.figures),
        analysed=Analysed.from_json(portrait.attributes, portrait.factors),
        sentences=tuple(map(Sentence.from_json, portrait.sentences)),
    )


def portrait_of(persona: Persona) -> PersonaPortrait | None:
    """The newest, if there is one; of a persona that was read with it (`select_related`)."""
    return getattr(persona, "portrait", None)


def _compared(times: float | None) -> str:
    if times is None:
        return ""
    if 0.95 < times < 1.05:
        return "as everybody"
    return f"{times:.1f} times" if times >= 0.1 else "under 0.1 times"


# ---- Pictures --------------------------------------------------------------------------------------------------------


def apart_figure(one: Shown) -> Figure | None:
    """By how many standard deviations the group's means lie from the others'."""
    # Of some it tells already whether they are known at all; a bar of nothing would say nothing about it.
    found = [each for each in one.analysed.apart if abs(each.difference or 0.0) >= HARDLY][:MOST_BARS]
    if not found:
        return None
    about = f"Variables that tell {one.persona.name} from others most, by how far their means lie apart."
    return Figure(
        id="apart",
        title="What sets them apart",
        about=about,
        options=bars(
            categories=[each.label for each in found],
            series=[Series(name="Difference in standard deviations", values=[round(each.difference or 0, 3) for each in found])],
            about=about,
            unit=Unit.NUMBER,
            is_lying=True,
        ),
        columns=[
            Column(label="Variable", is_number=False),
            Column(label="Mean of the group"),
            Column(label="Mean of the others"),
            Column(label="Difference, standard deviations"),
            Column(label="Share of membership it tells"),
        ],
        rows=[
            [
                each.label,
                _mean(one, each, each.mean),
                _mean(one, each, each.other_mean),
                written(each.difference),
                written(each.information, Unit.SHARE),
            ]
            for each in found
        ],
        height=Height.HIGH,
    )  # fmt: skip


def _mean(one: Shown, apart: Apart, value: float | None) -> str:
    unit = Of(apart.unit)
    return "" if value is None else write(value, unit, one.told.currency if unit is Of.MONEY else "")


def when_figure(when: When, name: str) -> Figure:
    """A week's hours, each with its share of all visits."""
    total = when.total or 1
    about = f"When {name} come, by weekday and hour, by the clocks of {when.zone}."
    hours = [f"{hour:02d}" for hour in range(24)]

    def cell(day: int, hour: int) -> Cell | None:
        count = when.visits[day][hour]
        if count is None:
            return None
        place = f"{DAYS[day]}, {hour:02d}:00 to {(hour + 1) % 24:02d}:00"
        return Cell(
            share=count / total, text="", said=f"{place}\n{count:,}, {written(count / total, Unit.SHARE)} of all"
        )

    return Figure(
        id="when",
        title="When they come",
        about=about,
        options=heat_map(
            rows=[day[:3] for day in DAYS],
            columns=hours,
            cells=[[cell(day, hour) for hour in range(24)] for day in range(7)],
            about=about,
        ),
        columns=[Column(label="Hour", is_number=False), *(Column(label=day[:3]) for day in DAYS)],
        rows=[
            [f"{hour:02d}:00", *("under 5 people" if row[hour] is None else f"{row[hour]:,}" for row in when.visits)]
            for hour in range(24)
        ],
        height=Height.MIDDLE,
    )


@dataclass(frozen=True, kw_only=True)
class Trait:
    """One dominant trait of everybody: where the group stands on it, and what it is made of."""

    name: str
    place: float
    explained: float
    made_of: str

    @property
    def strength(self) -> float:
        """From 0 to 1, for a bar: three standard deviations fill it."""
        return min(1.0, abs(self.place) / 3)


def factors_shown(one: Shown) -> list[Trait]:
    """Each by the end at which the group stands."""
    return [
        Trait(
            name=factor.name if place > 0 else factor.opposite,
            place=abs(place),
            explained=factor.explained,
            made_of=made_of(one, number),
        )
        for number, (factor, place) in enumerate(one.analysed.traits)
    ]


def made_of(one: Shown, number: int) -> str:
    """The variables that a factor speaks of, with their loadings."""
    factors = one.analysed.factors
    assert factors is not None
    loadings = sorted(
        zip(factors.features, factors.factors[number].loadings, strict=True), key=lambda pair: -abs(pair[1])
    )
    strong = [pair for pair in loadings if abs(pair[1]) >= STRONG] or loadings[:1]
    return ", ".join(f"{label} {loading:+.2f}" for (_, label), loading in strong)


@dataclass(frozen=True, kw_only=True)
class Square:
    """An hour of the week in a picture that the server draws, for paper: place in per cent, and how strong."""

    x: str
    y: str
    strength: str


def squares(when: When) -> list[Square]:
    most = max((one or 0 for row in when.visits for one in row), default=0) or 1
    return [
        Square(x=f"{hour / 24 * 100:.3f}%", y=f"{day / 7 * 100:.3f}%", strength=f"{(count or 0) / most:.3f}")
        for day, row in enumerate(when.visits)
        for hour, count in enumerate(row)
        if count
    ]


# ---- A file ----------------------------------------------------------------------------------------------------------

HEADER: Final = ("part", "figure", "value of the group", "value of everybody", "people of the group", "source")


def file_rows(one: Shown) -> Iterator[tuple[str, ...]]:
    """Every figure of a portrait: plain numbers, shares from 0 to 1."""
    if not one.is_told:
        return
    told = one.told
    yield ("size", "people", str(told.people), str(told.everybody), str(told.people), "who permits internal analysis")
    for part, measures in (("figures", told.measures), ("feedback", told.feedback)):
        for each in measures:
            yield (part, each.label, _plain(each.value), _plain(each.everyone), str(each.people), each.source)
    for table in (*one.tables, *([told.reach] if told.reach else [])):
        for row in table.rows:
            yield (table.label, row.label, _plain(row.share), _plain(row.everyone), str(row.people), table.source)
    for need in told.needs:
        name = f"{need.category} after {need.after}"
        yield (
            "may want next",
            name,
            _plain(need.chance),
            _plain(need.otherwise),
            str(need.ready),
            "orders of everybody",
        )
    for apart in one.analysed.apart:
        source = f"sample of {one.analysed.members} of the group and {one.analysed.others} others"
        yield ("sets apart", apart.label, _plain(apart.mean), _plain(apart.other_mean), str(apart.people), source)
    for factor, place in one.analysed.traits:
        yield ("dominant traits", factor.name, _plain(place), "0", str(told.people), "factor analysis of a sample")
    if told.when:
        yield from _hours(told.when)


def _hours(when: When) -> Iterable[tuple[str, ...]]:
    for day, (mine, everyone) in enumerate(zip(when.visits, when.everyone, strict=True)):
        for hour in range(24):
            counts = ("" if one is None else str(one) for one in (mine[hour], everyone[hour]))
            yield ("when", f"{DAYS[day]} {hour:02d}:00", *counts, "", when.source)


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
