"""Geometry of small charts drawn by the server as SVG. Pure: figures in, attributes out; what they mean stands beside them in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import takewhile


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar in percent of the chart's width and of its height; ``y`` counts from the top."""

    day: date
    count: int
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, kw_only=True)
class DayChart:
    bars: list[Bar]
    labels: list[tuple[str, str]]
    highest: int
    total: int


def day_chart(counts: dict[date, int], *, last: date, days: int) -> DayChart:
    """A bar for each of the ``days`` up to and including ``last``; a day without a count is an empty place."""
    first = last - timedelta(days=days - 1)
    series = [(first + timedelta(days=n), counts.get(first + timedelta(days=n), 0)) for n in range(days)]
    highest = max((count for _, count in series), default=0)
    step = 100 / days
    bars = [
        Bar(
            day=day,
            count=count,
            x=f"{n * step + step * 0.14:.3f}%",
            width=f"{step * 0.72:.3f}%",
            y=f"{100 - _height(count, highest):.2f}%",
            height=f"{_height(count, highest):.2f}%",
        )
        for n, (day, count) in enumerate(series)
    ]
    every = max(1, round(days / 5))
    labels = [
        (f"{(n + 0.5) * step:.2f}%", f"{day.day} {day:%b}")
        for n, (day, _) in enumerate(series)
        if n % every == every // 2
    ]
    return DayChart(bars=bars, labels=labels, highest=highest, total=sum(count for _, count in series))


def _height(count: int, highest: int) -> float:
    """Percent of the height; something that happened is never drawn as nothing."""
    return max(2.0, count / highest * 100) if count else 0.0


@dataclass(frozen=True, kw_only=True)
class Share:
    """A share of a week, with the interval that it lies in; ``share`` None where nobody was asked."""

    begins: date
    share: float | None
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ShareChart:
    """Lines and bands over a field of 1000 by 100, y counted from the top; a week without a share interrupts both.

    ``dots`` are (x, y, title); ``labels`` (x in percent, text).
    """

    lines: list[str]
    bands: list[str]
    dots: list[tuple[str, str, str]]
    labels: list[tuple[str, str]]


def share_chart(shares: Sequence[Share]) -> ShareChart:
    """The shares of consecutive weeks, from 0 at the bottom to 1 at the top."""
    step = 1000 / max(1, len(shares))
    runs: list[list[tuple[float, Share]]] = [[]]
    for n, one in enumerate(shares):
        if one.share is None:
            runs.append([])
        else:
            runs[-1].append(((n + 0.5) * step, one))
    runs = [run for run in runs if run]
    lines = [" ".join(f"{x:.1f},{_y(one.share)}" for x, one in run) for run in runs]
    bands = [
        " ".join([f"{x:.1f},{_y(one.high)}" for x, one in run] + [f"{x:.1f},{_y(one.low)}" for x, one in reversed(run)])
        for run in runs
    ]
    dots = [
        (f"{x / 10:.2f}%", f"{_y(one.share)}%", f"{one.begins:%-d %b %Y}: {(one.share or 0) * 100:.0f}%")
        for run in runs
        for x, one in run
    ]
    every = max(1, round(len(shares) / 5))
    labels = [
        (f"{(n + 0.5) * step / 10:.2f}%", f"{one.begins.day} {one.begins:%b}")
        for n, one in enumerate(shares)
        if n % every == every // 2
    ]
    return ShareChart(lines=lines, bands=bands, dots=dots, labels=labels)


@dataclass(frozen=True, kw_only=True)
class WeekBar:
    """The bar of a week in percent of the chart's width and height; ``y`` counts from the top."""

    x: str
    y: str
    width: str
    height: str
    title: str


def week_bars(counts: Sequence[tuple[date, int]]) -> list[WeekBar]:
    """A bar for each week in which something happened, at the place of its dot in `share_chart`."""
    step, highest = 100 / max(1, len(counts)), max((count for _, count in counts), default=0)
    return [
        WeekBar(
            x=f"{(n + 0.35) * step:.2f}%",
            width=f"{step * 0.3:.2f}%",
            y=f"{100 - _height(count, highest):.2f}%",
            height=f"{_height(count, highest):.2f}%",
            title=f"{begins:%-d %b %Y}: {count:,}",
        )
        for n, (begins, count) in enumerate(counts)
        if count
    ]


def _y(share: float | None) -> str:
    return f"{100 - (share or 0.0) * 100:.2f}"


def place(moment: datetime, first: datetime, last: datetime) -> str:
    """Where a moment lies between two others, in percent."""
    return f"{min(1.0, max(0.0, (moment - first) / (last - first))) * 100:.3f}%"


# Lengths between two labels, from the shortest on; the last ones in months.
EVERY = [timedelta(minutes=15), timedelta(hours=1), timedelta(hours=6), timedelta(days=1), timedelta(days=7)]
EVERY_MONTHS = [1, 3, 6, 12, 24, 60, 120]


def ticks(first: datetime, last: datetime, *, most: int = 7) -> list[tuple[str, str]]:
    """Labels of an axis of time, at round moments of the zone in which both are: (x in percent, text)."""
    length = last - first
    if every := next((one for one in EVERY if length / one <= most), None):
        day = first.replace(hour=0, minute=0, second=0, microsecond=0)
        steps = (day + n * every for n in range(1, 2 + int((last - day) / every)))
        shown = [(at, f"{at:%H:%M}" if every < timedelta(days=1) and at.hour + at.minute else _day(at)) for at in steps]
    else:
        months = next((one for one in EVERY_MONTHS if length / timedelta(days=30 * one) <= most), EVERY_MONTHS[-1])
        begins = (_month(first.year * 12 // months * months + n * months, first) for n in range(2 + 12_000 // months))
        shown = [(at, f"{at:%Y}" if at.month == 1 else f"{at:%b}") for at in takewhile(lambda at: at <= last, begins)]
    return [(place(at, first, last), text) for at, text in shown if first <= at <= last]


def _month(number: int, like: datetime) -> datetime:
    return like.replace(year=number // 12, month=number % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0)


def _day(at: datetime) -> str:
    return f"{at.day} {at:%b}"


def sparkline(sizes: Sequence[int], *, width: int = 96, height: int = 24) -> str:
    """The ``points`` of a polyline through the sizes; a level line when nothing changed."""
    if len(sizes) < 2:
        return ""
    low, high = min(sizes), max(sizes)
    span = high - low or 1
    step = width / (len(sizes) - 1)
    return " ".join(
        f"{n * step:.1f},{(height / 2 if high == low else height - 2 - (size - low) / span * (height - 4)):.1f}"
        for n, size in enumerate(sizes)
    )
