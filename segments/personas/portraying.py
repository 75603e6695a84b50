"""From counts to portraits: of each group, its figures beside everybody's.

The statements are in `segments.personas.counting`; what the figures mean, and how it is said, in `segments.analytics`.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from cdp.profiles.catalogue import in_words
from cdp.profiles.masking import PERSONAL_PROPERTY
from cdp.profiles.models import EventName, Profile, Trait, TraitCategory, TraitType, Workspace
from consent.models import Purpose
from consent.querysets import permitted, purposes_for_lists
from segments.analytics.portraits import FEWEST, Breakdown, Measure, Need, Portrait, Share, Unit, When
from segments.features.catalogue import CHANNEL_LABELS
from segments.fields.personal import PERSONAL_TYPES
from segments.personas.counting import CHANNELS, DEVICES, EVERYBODY, MOST_CATEGORIES, WINDOW, Counting
from segments.queries import ids_of
from segments.rules.countries import COUNTRIES

MOST_ROWS: Final = 8
MOST_NEEDS: Final = 3
# A transition is told when it is commoner than after any first purchase by this much, and rests on so many people.
LIFT: Final = 1.1
FEWEST_WENT_ON: Final = 20
# GDPR Art. 9: never part of a portrait, whatever somebody has put into a trait.
SENSITIVE: Final = re.compile(
    r"health|illness|diagnos|disab|pregnan|religio|faith|belief|politic|party_member|ethnic|race(_|$)|racial|union"
    r"|sexual|orientation|genetic|biometric|criminal|convict"
)
ANSWERED: Final = re.compile(
    r"\b(review|rating|rated|nps|survey|feedback|csat|satisf|ticket closed|support)", re.IGNORECASE
)
ANSWERS: Final = ("rating", "score", "stars", "nps", "satisfaction", "csat")
ANSWER_TRAIT: Final = re.compile(r"(^|_)(nps|csat|satisfaction|rating)(_|$)")

YEAR: Final = f"the last {WINDOW.days} days"
ORDERS: Final = f"events Order Completed of {YEAR}"
REVENUE: Final = f"events Revenue Booked of {YEAR}, orders minus refunds"
LINES: Final = f"lines of the orders of {YEAR}"
SESSIONS: Final = f"sessions of {YEAR}"
Step = Callable[[str], None]


def draw(counting: Counting, keys: Sequence[str], *, step: Step) -> dict[str, Portrait]:
    """By the key of each group, its portrait; of one with fewer than five people only that it is so.

    Args:
        step: told the name of each phase before it begins; may end the work by raising.
    """
    workspace = Workspace.current()
    step("purchases and visits")
    sums = counting.personal()
    everybody = sums.get(EVERYBODY, {}).get("people", 0)
    step("categories and prices")
    categories = _categories(counting)
    prices = counting.prices()
    step("what is bought next")
    needs = _needs(counting, categories)
    step("channels and hours")
    channels = _breakdowns(
        counting.rows(CHANNELS), "channel", "Main channel", f"{SESSIONS}, by their campaign tags", _channel
    )
    devices = _breakdowns(
        counting.rows(DEVICES), "device", "Main device", f"events of devices in {YEAR}", lambda value: value
    )
    when = _when(counting, sums)
    step("traits")
    demographics, traits = _traits(counting)
    step("feedback and reach")
    feedback = _feedback(counting)
    reach = _reach(counting, {key: one["people"] for key, one in sums.items()})

    found = {}
    for key in keys:
        mine = sums.get(key)
        base = {
            "everybody": everybody,
            "currency": workspace.reporting_currency,
            "window_days": WINDOW.days,
            "zone": counting.zone,
        }
        if mine is None or mine["people"] < FEWEST:
            found[key] = Portrait(people=None, **base)
            continue
        found[key] = Portrait(
            people=mine["people"],
            **base,
            measures=tuple(_measures(mine, sums[EVERYBODY], prices, key)),
            demographics=tuple(demographics.get(key, ())),
            traits=tuple(traits.get(key, ())),
            categories=categories.get(key),
            channels=channels.get(key),
            devices=devices.get(key),
            prices=_bands(prices, key, workspace.reporting_currency),
            reach=reach.get(key),
            when=when.get(key),
            needs=tuple(needs.get(key, ())),
            feedback=tuple(feedback.get(key, ())),
        )
    return found


# ---- Single figures ------------------------------------------------------------------------------------------------


def _measures(mine: Mapping[str, Any], all_: Mapping[str, Any], prices: Sequence[Any], key: str) -> Iterable[Measure]:
    """The figures that five people of the group or more stand behind."""

    def ratio(sums: Mapping[str, Any], of: str, by: str) -> float | None:
        return float(sums[of]) / float(sums[by]) if sums[by] else None

    def measure(name: str, label: str, unit: Unit, of: str, by: str, people: str, source: str) -> Measure:
        return Measure(
            key=name,
            label=label,
            unit=unit,
            value=ratio(mine, of, by),
            everyone=ratio(all_, of, by),
            people=mine[people],
            source=source,
        )

    total = float(all_["revenue"])
    share = float(mine["revenue"]) / total if total > 0 else None
    visitors = f"{SESSIONS}; who never came counts as none"
    median, usual = mine["recency_days"], all_["recency_days"]
    found = [
        measure("buyers_share", "Bought something", Unit.SHARE, "buyers", "people", "buyers", ORDERS),
        Measure(
            key="revenue_share",
            label="Share of revenue",
            unit=Unit.SHARE,
            value=share,
            everyone=None,
            people=mine["buyers"],
            source=REVENUE,
        ),
        measure("revenue", "Revenue per person", Unit.MONEY, "revenue", "people", "buyers", REVENUE),
        measure("orders_per_buyer", "Orders per buyer", Unit.NUMBER, "orders", "buyers", "buyers", ORDERS),
        measure("order_value", "Average order value", Unit.MONEY, "revenue", "orders", "buyers", f"{REVENUE}; {ORDERS}"),
        Measure(
            key="recency_days",
            label="Days since the last order, median",
            unit=Unit.DAYS,
            value=None if median is None else float(median),
            everyone=None if usual is None else float(usual),
            people=mine["buyers"],
            source=ORDERS,
        ),
        _price(prices, key),
        measure("reduced_share", "Orders with a discount", Unit.SHARE, "reduced", "orders", "reducers", ORDERS),
        measure(
            "refund_share", "Refunds per order", Unit.SHARE, "refunds", "orders", "refunders",
            f"events Order Refunded of {YEAR}",
        ),
        measure("sessions", "Visits per person", Unit.NUMBER, "visits", "people", "visitors", visitors),
        measure("session_minutes", "Minutes per visit", Unit.NUMBER, "minutes", "visits", "visitors", SESSIONS),
        measure(
            "views", "Products looked at per person", Unit.NUMBER, "views", "people", "viewers",
            f"events Product Viewed of {YEAR}",
        ),
        measure("openers_share", "Opened an email", Unit.SHARE, "openers", "people", "openers", f"opens of {YEAR}"),
        measure("clickers_share", "Clicked in an email", Unit.SHARE, "clickers", "people", "clickers", f"clicks of {YEAR}"),
    ]  # fmt: skip
    return [one for one in found if one is not None and one.value is not None and one.people >= FEWEST]


def _price(prices: Sequence[Any], key: str) -> Measure | None:
    by_key = {row[0]: row for row in prices}
    if key not in by_key or EVERYBODY not in by_key:
        return None
    return Measure(
        key="item_price",
        label="Price of an item, median",
        unit=Unit.MONEY,
        value=float(by_key[key][3]),
        everyone=float(by_key[EVERYBODY][3]),
        people=by_key[key][1],
        source=LINES,
    )


def _bands(prices: Sequence[Any], key: str, currency: str) -> Breakdown | None:
    """Of what they bought, how much belongs to the cheapest, the middle and the dearest third of all that everybody bought."""
    by_key = {row[0]: row for row in prices}
    if key not in by_key or by_key[key][1] < FEWEST:
        return None
    mine, usual = by_key[key], by_key[EVERYBODY]
    low, high = float(mine[10]), float(mine[11])
    labels = (
        f"Low, up to {low:,.2f} {currency}",
        f"Middle, up to {high:,.2f} {currency}",
        f"High, above {high:,.2f} {currency}",
    )
    rows = [
        Share(key=name, label=label, people=mine[5 + 2 * n], share=mine[4 + 2 * n] / mine[2], everyone=usual[4 + 2 * n] / usual[2])
        for n, (name, label) in enumerate(zip(("low", "middle", "high"), labels, strict=True))
        if mine[5 + 2 * n] >= FEWEST
    ]  # fmt: skip
    source = f"{LINES}; thirds of all that everybody bought"
    return Breakdown(
        key="price", label="Price level", known=mine[1], source=source, rows=tuple(rows), is_exclusive=False
    )


# ---- Breakdowns ----------------------------------------------------------------------------------------------------


def _shares(
    counts: Mapping[str, int], known: int, usual: Mapping[str, int], usual_known: int, label: Callable[[str], str]
) -> tuple[Share, ...]:
    """The commonest first; nothing that fewer than five people stand for."""
    rows = [
        Share(
            key=value,
            label=label(value),
            people=people,
            share=people / known,
            everyone=usual.get(value, 0) / usual_known if usual_known else None,
        )
        for value, people in counts.items()
        if people >= FEWEST
    ]
    return tuple(sorted(rows, key=lambda one: (-one.people, one.label))[:MOST_ROWS])


def _breakdowns(
    rows: Iterable[tuple[str, str, int]], name: str, label: str, source: str, say: Callable[[str], str]
) -> dict[str, Breakdown]:
    """Of rows (key, value, people) in which each person has one value."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for key, value, people in rows:
        counts[key][value] = people
    usual = counts.get(EVERYBODY, {})
    found = {}
    for key, mine in counts.items():
        known = sum(mine.values())
        if shares := _shares(mine, known, usual, sum(usual.values()), say):
            found[key] = Breakdown(key=name, label=label, known=known, source=source, rows=shares)
    return found


def _channel(channel: str) -> str:
    """ "direct" as "Direct visits": as the features of people call it."""
    return CHANNEL_LABELS[channel].removeprefix("Visits from ").removeprefix("Visits ").capitalize()


def _categories(counting: Counting) -> dict[str, Breakdown]:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    known: dict[str, int] = {}
    for key, category, people in counting.categories():
        if category is None:
            known[key] = people
        else:
            counts[key][category] = people
    usual, usual_known = counts.get(EVERYBODY, {}), known.get(EVERYBODY, 0)
    found = {}
    for key, mine in counts.items():
        shares = _shares(mine, known[key], usual, usual_known, str)
        found[key] = Breakdown(
            key="category", label="Categories", known=known[key], source=LINES, rows=shares, is_exclusive=False
        )
    return found


def _traits(counting: Counting) -> tuple[dict[str, list[Breakdown]], dict[str, list[Breakdown]]]:
    """By key, what is known of demographic traits, and of the others; nothing personal and nothing sensitive."""
    told = [one for one in Trait.objects.order_by("pk") if _is_told(one)]
    spoken = {one.pk: one for one in told if one.type not in (TraitType.NUMBER, TraitType.DATE)}
    counts: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
    known: dict[tuple[str, int], int] = {}
    for key, trait, value, people in counting.values(list(spoken)):
        if value is None:
            known[key, trait] = people
        else:
            counts[key, trait][value] = people
    demographics: dict[str, list[Breakdown]] = defaultdict(list)
    others: dict[str, list[Breakdown]] = defaultdict(list)
    for (key, number), mine in counts.items():
        trait = spoken[number]
        usual, usual_known = counts.get((EVERYBODY, number), {}), known.get((EVERYBODY, number), 0)
        say = _country if trait.type == TraitType.COUNTRY else str
        shares = _shares(mine, known[key, number], usual, usual_known, say)
        if not shares:
            continue
        place = demographics if trait.category == TraitCategory.DEMOGRAPHIC else others
        place[key].append(
            Breakdown(
                key=trait.key,
                label=trait.label,
                known=known[key, number],
                source=f"the trait {trait.key}",
                rows=shares,
                is_exclusive=trait.type != TraitType.LIST,
            )
        )
    for found in (*demographics.values(), *others.values()):
        found.sort(key=lambda one: (-one.known, one.label))
    return demographics, others


def _country(code: str) -> str:
    return COUNTRIES.get(code.upper(), code)


def _is_told(trait: Trait) -> bool:
    is_personal = trait.is_pii or trait.type in PERSONAL_TYPES or PERSONAL_PROPERTY.search(in_words(trait.key))
    return not (is_personal or is_sensitive(trait.key))


def is_sensitive(trait: str) -> bool:
    """Whether a trait by this name speaks of what no portrait tells."""
    return bool(SENSITIVE.search(in_words(trait)))


def _reach(counting: Counting, sizes: Mapping[str, int]) -> dict[str, Breakdown]:
    """By key, how many may be reached by which channel: whoever permits a purpose of it."""
    rows: dict[str, list[tuple[Purpose, int]]] = defaultdict(list)
    for purpose in purposes_for_lists().exclude(channel="").order_by("label"):
        for key, people in counting.permitting(ids_of(permitted(Profile.objects.all(), purpose))).items():
            rows[key].append((purpose, people))
    usual = {purpose.pk: people for purpose, people in rows.get(EVERYBODY, ())}
    everybody = sizes.get(EVERYBODY, 0)
    found = {}
    for key, mine in rows.items():
        shares = [
            Share(
                key=purpose.key,
                label=f"{purpose.label} ({purpose.get_channel_display().lower()})",
                people=people,
                share=people / sizes[key],
                everyone=usual.get(purpose.pk, 0) / everybody if everybody else None,
            )
            for purpose, people in mine
            if people >= FEWEST
        ]
        shares.sort(key=lambda one: (-one.people, one.label))
        found[key] = Breakdown(
            key="reach",
            label="May be reached",
            known=sizes[key],
            source="what they permit now",
            rows=tuple(shares),
            is_exclusive=False,
        )
    return found


# ---- When, what next, what they say ----------------------------------------------------------------------------------


def _when(counting: Counting, sums: Mapping[str, Mapping[str, Any]]) -> dict[str, When]:
    source, rows = counting.moments()
    is_visits = source.startswith("visits")
    who = "visitors" if is_visits else "buyers"
    visits: dict[str, list[list[int | None]]] = defaultdict(lambda: [[0] * 24 for _ in range(7)])
    for key, day, hour, times, people in rows:
        visits[key][day][hour] = times if people >= FEWEST else None
    usual = _frozen(visits[EVERYBODY])
    return {
        key: When(
            what="visits" if is_visits else "orders",
            zone=counting.zone,
            source=f"{source} of {YEAR}",
            people=sums[key][who],
            visits=_frozen(mine),
            everyone=usual,
        )
        for key, mine in visits.items()
        if key in sums and sums[key][who] >= FEWEST
    }


def _frozen(rows: Sequence[Sequence[int | None]]) -> tuple[tuple[int | None, ...], ...]:
    return tuple(tuple(row) for row in rows)


def _needs(counting: Counting, categories: Mapping[str, Breakdown]) -> dict[str, list[Need]]:
    """By key, what people who bought what this group buys went on to buy, where that is commoner than after any purchase."""
    usual = categories.get(EVERYBODY)
    names = sorted({one.key for found in categories.values() for one in found.rows})[:MOST_CATEGORIES]
    if usual is None or len(names) < 2:
        return {}
    both: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
    later: dict[tuple[str, str], int] = {}
    for key, one, other, people, after in counting.followed(names):
        both[key][one, other] = people
        if key == EVERYBODY:
            later[one, other] = after
    returned = {category: (people, buyers) for category, people, buyers in counting.returned(names)}
    bought = both[EVERYBODY]
    found: dict[str, list[Need]] = {}
    for key, mine in both.items():
        if key == EVERYBODY:
            continue
        possible = []
        for one in [row.key for row in categories[key].rows[:MOST_NEEDS]] if key in categories else []:
            for other in names:
                went_on, ready = later.get((one, other), 0), mine.get((one, one), 0) - mine.get((one, other), 0)
                if other == one or went_on < FEWEST_WENT_ON or ready < FEWEST or other not in returned:
                    continue
                need = Need(
                    category=other,
                    after=one,
                    bought=bought[one, one],
                    went_on=went_on,
                    buyers=returned[other][1],
                    otherwise=returned[other][0] / returned[other][1],
                    ready=ready,
                )
                if (need.lift or 0) >= LIFT:
                    possible.append(need)
        possible.sort(key=lambda need: (-(need.lift or 0), -need.went_on, need.category))
        # Each category once: by way of what leads to it most.
        best: dict[str, Need] = {}
        for need in possible:
            best.setdefault(need.category, need)
        found[key] = list(best.values())[:MOST_NEEDS]
    return found


def _feedback(counting: Counting) -> dict[str, list[Measure]]:
    """By key, the means of what they answered, where there is anything that looks like an answer."""
    events = {one.pk: one for one in EventName.objects.order_by("pk") if ANSWERED.search(one.name)}
    traits = {
        one.pk: one
        for one in Trait.objects.filter(type=TraitType.NUMBER).order_by("pk")
        if ANSWER_TRAIT.search(in_words(one.key)) and _is_told(one)
    }
    means: dict[tuple[str, str, str], dict[str, tuple[int, float]]] = defaultdict(dict)
    for key, event, name, people, mean in counting.answers(list(events), list(ANSWERS)):
        label = f"{events[event].label} ({name})"
        means[f"{event}.{name}", label, f"the property {name} of {events[event].name}, {YEAR}"][key] = (
            people,
            float(mean),
        )
    for key, trait, people, mean in counting.means(list(traits)):
        means[traits[trait].key, traits[trait].label, f"the trait {traits[trait].key}"][key] = people, float(mean)
    found: dict[str, list[Measure]] = defaultdict(list)
    for (name, label, source), by_key in sorted(means.items()):
        for key, (people, mean) in by_key.items():
            usual = by_key.get(EVERYBODY)
            if people >= FEWEST:
                found[key].append(
                    Measure(
                        key=name,
                        label=label,
                        unit=Unit.NUMBER,
                        value=mean,
                        everyone=usual[1] if usual else None,
                        people=people,
                        source=source,
                    )
                )
    return found
