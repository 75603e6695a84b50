"""Sentences about a group of people, written from templates: each carries the figures it is made of, and says nothing beyond them.

The words speak of tendencies. Nothing is inferred of anybody: what isn't counted isn't said.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from string import Formatter
from typing import Any, Final

from segments.analytics.attributes import Apart, Buying
from segments.analytics.factors import Factor
from segments.analytics.portraits import DAYS, FEWEST, Breakdown, Measure, Portrait, Unit, When

COMPARED: Final = "a sample of the group, compared with one of the others"
DIGIT: Final = re.compile(r"\d")
# From here on a figure of the group is said to differ from everybody's.
NOTABLE: Final = 1.15
# Standard deviations from which on a group is said to stand out on a factor; and on a variable.
STANDS_OUT: Final = 0.3
# What fewer than this part of a group have in common is no trait of the group.
COMMON: Final = 0.1
MOST_TRAITS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One value that a sentence is made of: what it is, in which unit, of how many people, and where it was counted."""

    name: str
    value: float | str
    unit: Unit
    people: int
    source: str
    currency: str = ""

    @property
    def written(self) -> str:
        return write(self.value, self.unit, self.currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """What is said, under which heading, and all the figures in it."""

    about: str
    text: str
    figures: tuple[Figure, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Sentence":
        figures = tuple(Figure(**{**one, "unit": Unit(one["unit"])}) for one in found["figures"])
        return cls(about=found["about"], text=found["text"], figures=figures)


def write(value: float | str, unit: Unit, currency: str = "") -> str:
    """A value as sentences have it."""
    if isinstance(value, str):
        return value
    match unit:
        case Unit.PEOPLE:
            return f"{value:,.0f} {'person' if value == 1 else 'people'}"
        case Unit.COUNT:
            return f"{value:,.0f}"
        case Unit.SHARE:
            percent = value * 100
            return f"{percent:.0f}%" if percent >= 10 or percent == 0 else f"{percent:.2g}%"
        case Unit.MONEY:
            return f"{value:,.2f} {currency}".strip() if abs(value) < 1000 else f"{value:,.0f} {currency}".strip()
        case Unit.DAYS:
            return f"{value:,.0f} {'day' if round(value) == 1 else 'days'}"
        case Unit.MINUTES:
            return f"{value:,.0f} {'minute' if round(value) == 1 else 'minutes'}"
        case Unit.HOUR:
            return f"{int(value):02d}:00"
        case Unit.TIMES:
            return f"{value:.1f} times"
        case _:
            return f"{value:,.2f}".rstrip("0").rstrip(".")


def say(about: str, template: str, **figures: Figure) -> Sentence | None:
    """The sentence; None when a figure in it would stand for fewer than five people.

    Raises:
        ValueError: the template has a digit of its own, or doesn't use just these figures: then somebody could read a number
            that nothing stands behind.
    """
    parts = list(Formatter().parse(template))
    used = {name for _, name, _, _ in parts if name is not None}
    if used != figures.keys() or not figures:
        raise ValueError(f"a template names its figures, all of them and no others: {template!r}")
    if any(DIGIT.search(literal) for literal, _, _, _ in parts):
        raise ValueError(f"a template has no digits but those of its figures: {template!r}")
    if any(one.people < FEWEST for one in figures.values()):
        return None
    text = template.format(**{name: one.written for name, one in figures.items()})
    return Sentence(about=about, text=text[:1].upper() + text[1:], figures=tuple(figures.values()))


# ---- What is said of a portrait --------------------------------------------------------------------------------------


def tell(
    portrait: Portrait,
    *,
    apart: Sequence[Apart] = (),
    buying: Buying | None = None,
    traits: Sequence[tuple[Factor, float]] = (),
) -> tuple[Sentence, ...]:
    """All that can be said of a group, in the order it is read; nothing of one with fewer than five people.

    Args:
        traits: the factors of everybody, each with where the group stands on it, in standard deviations.
    """
    if portrait.people is None:
        return ()
    teller = _Teller(portrait, portrait.people)
    said: Iterable[Sentence | None] = [
        teller.size(),
        teller.buying_little(),
        teller.orders(),
        teller.recency(),
        teller.prices(),
        teller.categories(),
        teller.visits(),
        teller.channel(),
        teller.device(),
        *(teller.timing() if portrait.when else ()),
        *(teller.lived(one) for one in portrait.demographics[:MOST_TRAITS]),
        *(teller.stands_out(factor, place) for factor, place in _strongest(traits)),
        teller.sets_apart(apart),
        teller.foretells(buying),
        *(teller.next_need(place) for place in range(min(2, len(portrait.needs)))),
        *(teller.heard(one) for one in portrait.feedback),
    ]
    return tuple(one for one in said if one is not None)


@dataclass(frozen=True, slots=True)
class _Teller:
    """The templates, each over what one part of a portrait says."""

    portrait: Portrait
    people: int

    # ---- Figures

    def of(self, measure: Measure) -> Figure:
        assert measure.value is not None
        return Figure(
            name=measure.label,
            value=measure.value,
            unit=measure.unit,
            people=measure.people,
            source=measure.source,
            currency=self.portrait.currency if measure.unit is Unit.MONEY else "",
        )

    def everyone(self, measure: Measure) -> Figure:
        assert measure.everyone is not None
        return Figure(
            name=f"{measure.label}, everybody",
            value=measure.everyone,
            unit=measure.unit,
            people=self.portrait.everybody,
            source=measure.source,
            currency=self.portrait.currency if measure.unit is Unit.MONEY else "",
        )

    def figure(self, name: str, value: float | str, unit: Unit, source: str, people: int | None = None) -> Figure:
        return Figure(
            name=name, value=value, unit=unit, people=self.people if people is None else people, source=source
        )

    def window(self) -> Figure:
        return self.figure("Looked back", self.portrait.window_days, Unit.DAYS, "the span of a portrait")

    # ---- Sentences

    def size(self) -> Sentence | None:
        counted = self.figure("People", self.people, Unit.PEOPLE, "who permits it and is in the group")
        share = self.figure(
            "Share of people", self.people / max(1, self.portrait.everybody), Unit.SHARE, "of everybody who permits it"
        )
        money = self.portrait.measure("revenue_share")
        if money is None or money.value is None or money.value < 0:
            return say("Who they are", "These are {people}, {share} of everybody.", people=counted, share=share)
        verb = "bring" if money.value >= share.value else "bring only"  # type: ignore[operator]  # a share is a number
        return say(
            "Who they are",
            f"These are {{people}}, {{share}} of everybody, and {verb} {{money}} of revenue.",
            people=counted,
            share=share,
            money=self.of(money),
        )

    def buying_little(self) -> Sentence | None:
        buyers = self.portrait.measure("buyers_share")
        if buyers is None or buyers.value is None or buyers.everyone is None:
            return None
        return say(
            "What they buy",
            "{buyers} of them bought something in the last {window}; of everybody, {everyone} did.",
            buyers=self.of(buyers),
            everyone=self.everyone(buyers),
            window=self.window(),
        )

    def orders(self) -> Sentence | None:
        often, worth = self.portrait.measure("orders_per_buyer"), self.portrait.measure("order_value")
        if often is None or worth is None or None in (often.value, worth.value, often.everyone, worth.everyone):
            return None
        return say(
            "What they buy",
            "Their buyers ordered {often} times on average and left {worth} an order; everybody's buyers ordered {usual} times "
            "and left {usual_worth}.",
            often=self.of(often),
            worth=self.of(worth),
            usual=self.everyone(often),
            usual_worth=self.everyone(worth),
        )

    def recency(self) -> Sentence | None:
        last = self.portrait.measure("recency_days")
        if last is None or last.value is None or last.everyone is None:
            return None
        return say(
            "What they buy",
            "Half of the buyers ordered within the last {last}; among everybody's buyers it is {everyone}.",
            last=self.of(last),
            everyone=self.everyone(last),
        )

    def prices(self) -> Sentence | None:
        price = self.portrait.measure("item_price")
        if price is None or price.value is None or price.everyone is None:
            return None
        return say(
            "What they buy",
            f"The middle one of the prices they pay is {{price}}, {_compared(price)} everybody's {{everyone}}.",
            price=self.of(price),
            everyone=self.everyone(price),
        )

    def categories(self) -> Sentence | None:
        found = self.portrait.categories
        if found is None or found.first is None:
            return None
        first = found.first
        name, share = self._named(found, "Category")
        if first.everyone is not None and first.times is not None and first.times >= NOTABLE:
            return say(
                "What they buy",
                "They most often buy from {name}: {share} of the buyers did, against {everyone} of all buyers.",
                name=name,
                share=share,
                everyone=self._usual(found, "Share of all buyers"),
            )
        return say(
            "What they buy", "They most often buy from {name}: {share} of the buyers did.", name=name, share=share
        )

    def visits(self) -> Sentence | None:
        visits = self.portrait.measure("sessions")
        if visits is None or visits.value is None or visits.everyone is None:
            return None
        return say(
            "How they engage",
            f"They visit {{visits}} times in {{window}} on average, {_compared(visits)} everybody's {{everyone}}.",
            visits=self.of(visits),
            everyone=self.everyone(visits),
            window=self.window(),
        )

    def channel(self) -> Sentence | None:
        found = self.portrait.channels
        if found is None or found.first is None:
            return None
        name, share = self._named(found, "Channel")
        return say(
            "How they engage",
            "Main channel: {name}, for {share} of those who visit.",
            name=name,
            share=share,
        )

    def device(self) -> Sentence | None:
        found = self.portrait.devices
        if found is None or found.first is None:
            return None
        name, share = self._named(found, "Device")
        return say(
            "How they engage", "Main device: {name}, for {share} of those it is known of.", name=name, share=share
        )

    def timing(self) -> tuple[Sentence | None, ...]:
        when = self.portrait.when
        if when is None or not when.total:
            return ()
        return (_on_days(self, when), _at_hours(self, when))

    def lived(self, found: Breakdown) -> Sentence | None:
        """What is commoner among them than among everybody; nothing, where nothing is."""
        notable = [one for one in found.rows if one.share >= COMMON and (one.times or 0) >= NOTABLE]
        if not notable:
            return None
        row = max(notable, key=lambda one: one.times or 0)
        return say(
            "Who they are",
            "{label}: {name} for {share} of those it is known of, against {everyone} of everybody.",
            label=self.figure("Trait", found.label, Unit.NAME, found.source, found.known),
            name=self.figure("Value", row.label, Unit.NAME, found.source, row.people),
            share=self.figure("Share of them", row.share, Unit.SHARE, found.source, row.people),
            everyone=self.figure(
                "Share of everybody it is known of",
                row.everyone or 0.0,
                Unit.SHARE,
                found.source,
                self.portrait.everybody,
            ),
        )

    def stands_out(self, factor: Factor, place: float) -> Sentence | None:
        name = factor.name if place > 0 else factor.opposite
        source = "factor analysis of what is counted of everybody"
        return say(
            "What sets them apart",
            "Dominant trait: {name}. On average they stand {place} standard deviations from everybody on it.",
            name=self.figure("Trait", name, Unit.NAME, source),
            place=self.figure("Distance", abs(place), Unit.NUMBER, source),
        )

    def sets_apart(self, apart: Sequence[Apart]) -> Sentence | None:
        first = next((one for one in apart if one.difference is not None and abs(one.difference) >= STANDS_OUT), None)
        if first is None or first.difference is None or first.mean is None or first.other_mean is None:
            return None
        source = COMPARED
        return say(
            "What sets them apart",
            f"What tells them from the others most is {{name}}: {{mean}} on average, others {{others}}, "
            f"{'more' if first.difference > 0 else 'less'} by {{difference}} standard deviations.",
            name=self.figure("Variable", first.label, Unit.NAME, source, first.people),
            mean=self._mean("Mean", first.mean, first, first.people),
            others=self._mean("Mean of the others", first.other_mean, first, first.other_people),
            difference=self.figure("Difference", abs(first.difference), Unit.NUMBER, source, first.people),
        )

    def foretells(self, buying: Buying | None) -> Sentence | None:
        if buying is None or not buying.is_predictive or not buying.relations or buying.score is None:
            return None
        first = buying.relations[0]
        source = "a model of what was known before, asked about people it had not seen"
        return say(
            "What sets them apart",
            "Among them, {name} goes along with buying most. The model that says so ranks a buyer above somebody who didn't buy "
            "in {score} of pairs; guessing gets half of them.",
            name=self.figure("Variable", first.label, Unit.NAME, source, buying.people),
            score=self.figure("Area under the curve", buying.score, Unit.SHARE, source, buying.people),
        )

    def next_need(self, number: int) -> Sentence | None:
        need = self.portrait.needs[number]
        source = "orders of everybody, in the order they came"
        return say(
            "What they may want next",
            "Of {bought} anywhere who bought from {after}, {chance} later bought from {category}, too; of all buyers, "
            "{otherwise} did after their first purchase. In this group, {ready} have bought from the one and not from the other.",
            bought=self.figure("Bought from it", need.bought, Unit.PEOPLE, source, need.bought),
            after=self.figure("First category", need.after, Unit.NAME, source, need.bought),
            chance=self.figure("Bought from the next one later", need.chance, Unit.SHARE, source, need.went_on),
            category=self.figure("Next category", need.category, Unit.NAME, source, need.went_on),
            otherwise=self.figure("Of all buyers", need.otherwise, Unit.SHARE, source, need.buyers),
            ready=self.figure("Not from the next one yet", need.ready, Unit.PEOPLE, source, need.ready),
        )

    def heard(self, one: Measure) -> Sentence | None:
        if one.value is None:
            return None
        name = self.figure("Of what", one.label, Unit.NAME, one.source, one.people)
        if one.everyone is None:
            return say(
                "What they say",
                "{name}: {value} on average, from {people}.",
                name=name,
                value=self.of(one),
                people=self.figure("People", one.people, Unit.PEOPLE, one.source, one.people),
            )
        return say(
            "What they say",
            "{name}: {value} on average, from {people}; everybody gives {everyone}.",
            name=name,
            value=self.of(one),
            people=self.figure("People", one.people, Unit.PEOPLE, one.source, one.people),
            everyone=self.everyone(one),
        )

    # ---- Shared

    def _mean(self, name: str, value: float, apart: Apart, people: int) -> Figure:
        unit = Unit(apart.unit)
        currency = self.portrait.currency if unit is Unit.MONEY else ""
        return Figure(name=name, value=value, unit=unit, people=people, source=COMPARED, currency=currency)

    def _named(self, found: Breakdown, name: str) -> tuple[Figure, Figure]:
        first = found.rows[0]
        return (
            self.figure(name, first.label, Unit.NAME, found.source, first.people),
            self.figure("Share of them", first.share, Unit.SHARE, found.source, first.people),
        )

    def _usual(self, found: Breakdown, name: str) -> Figure:
        first = found.rows[0]
        assert first.everyone is not None
        return self.figure(name, first.everyone, Unit.SHARE, found.source, self.portrait.everybody)


def _strongest(traits: Sequence[tuple[Factor, float]]) -> list[tuple[Factor, float]]:
    """Those on which the group stands furthest from everybody."""
    found = [(factor, place) for factor, place in traits if abs(place) >= STANDS_OUT]
    return sorted(found, key=lambda one: -abs(one[1]))[:MOST_TRAITS]


def _compared(measure: Measure) -> str:
    """Above, below or near, in words: how far is for the figures to say."""
    times = measure.times
    if times is None or 1 / NOTABLE < times < NOTABLE:
        return "near"
    return "above" if times > 1 else "below"


def _on_days(teller: _Teller, when: When) -> Sentence | None:
    total, by_day = when.total, when.by_day
    day = max(range(7), key=lambda number: by_day[number])
    share = by_day[day] / total
    if share < NOTABLE / 7:
        return None
    return say(
        "When they come",
        f"Their busiest day is {{day}}, with {{share}} of their {when.what}; spread evenly it would be {{even}}.",
        day=teller.figure("Weekday", DAYS[day], Unit.NAME, when.source, when.people),
        share=teller.figure(f"Share of {when.what}", share, Unit.SHARE, when.source, when.people),
        even=teller.figure("Share of a day", 1 / 7, Unit.SHARE, "one day of seven", when.people),
    )


def _at_hours(teller: _Teller, when: When) -> Sentence | None:
    """The three hours on end, across midnight too, in which most comes."""
    total, by_hour = when.total, when.by_hour
    most, begins = max((sum(by_hour[(hour + n) % 24] for n in range(3)), -hour) for hour in range(24))
    begins = -begins
    return say(
        "When they come",
        f"Most comes between {{begins}} and {{ends}}: {{share}} of their {when.what}, by the clocks of {{zone}}.",
        begins=teller.figure("From", begins, Unit.HOUR, when.source, when.people),
        ends=teller.figure("Until", (begins + 3) % 24, Unit.HOUR, when.source, when.people),
        share=teller.figure(f"Share of {when.what}", most / total, Unit.SHARE, when.source, when.people),
        zone=teller.figure("Time zone", when.zone, Unit.NAME, "the workspace's", when.people),
    )
