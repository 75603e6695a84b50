"""Geometry of small charts drawn by the server as SVG. Pure: figures in, attributes out; what they mean stands beside them in words."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta


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
