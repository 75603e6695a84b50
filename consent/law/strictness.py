"""Which of two answers is the stricter, figure by figure. Everything that is unknown is settled by it.

It is a join: the order and grouping of what is joined make no difference, and joining more never allows more.
"""

from collections.abc import Callable, Iterable
from functools import reduce
from typing import TypeVar

from consent.law.terms import Capability, Clock, Clocks, Figure, Law, Model, Right

T = TypeVar("T")
K = TypeVar("K")


def strictest(laws: Iterable[Law]) -> Law:
    """One law that demands what any of these demands: of whom we don't know which law protects them.

    Each figure keeps the sources of the laws that it comes from.

    Raises:
        ValueError: there is none. Nothing is demanded by no law, so that can't be an answer.
    """
    distinct: list[Law] = []
    for law in laws:
        # One law may say different things in different places, so its key doesn't tell.
        if law not in distinct:
            distinct.append(law)
    if not distinct:
        raise ValueError("the strictest of no laws would demand nothing")
    return reduce(_both, distinct)


def stricter_model(one: Model, other: Model) -> Model:
    return Model.OPT_IN if Model.OPT_IN in (one, other) else Model.OPT_OUT


def stricter_flag(one: bool, other: bool) -> bool:
    return one or other


def stricter_number(one: int, other: int) -> int:
    return max(one, other)


def stricter_clocks(one: Clocks, other: Clocks) -> Clocks:
    """All clocks run. A right that one of two laws gives, is given."""
    return tuple(sorted({*one, *other}, key=_by_length))


def joined(one: Figure[T], other: Figure[T], stricter: Callable[[T, T], T]) -> Figure[T]:
    """One figure with the stricter value, and what is known of those it comes from."""
    value = stricter(one.value, other.value)
    if one.value == other.value == value:
        behind = [one, other]
    else:
        behind = [figure for figure in (one, other) if figure.value == value] or [one, other]
    return Figure(
        value=value,
        entered=stricter(one.entered, other.entered),
        sources=_each([source for figure in behind for source in figure.sources]),
        confirmed=all(figure.confirmed for figure in behind),
        check=_sentence(figure.check for figure in behind),
        law_says=_sentence(figure.law_says for figure in behind),
        note=_sentence(figure.note for figure in behind),
        overridden=any(figure.overridden for figure in behind),
    )


def settled(figure: Figure[T], fallback: Figure[T] | None, stricter: Callable[[T, T], T]) -> Figure[T]:
    """The figure as it counts: what isn't confirmed can't allow more than the default does."""
    if figure.confirmed or fallback is None:
        return figure
    value = stricter(figure.entered, fallback.value)
    own = () if value == fallback.value else figure.sources
    sources = _each([*own, *(fallback.sources if value != figure.entered else ())]) or figure.sources
    return Figure(
        value=value,
        entered=figure.entered,
        sources=sources,
        confirmed=False,
        check=figure.check,
        law_says=figure.law_says,
        note=figure.note,
        overridden=figure.overridden,
    )


def _both(one: Law, other: Law) -> Law:
    keys = tuple(sorted({*one.keys, *other.keys}))
    return Law(
        key="+".join(keys),
        name="the strictest of " + ", ".join(keys),
        keys=keys,
        consent={of: joined(one.consent[of], other.consent[of], stricter_model) for of in Capability},
        gpc=joined(one.gpc, other.gpc, stricter_flag),
        guardian_below=joined(one.guardian_below, other.guardian_below, stricter_number),
        adult_from=joined(one.adult_from, other.adult_from, stricter_number),
        opt_in_below={of: joined(one.opt_in_below[of], other.opt_in_below[of], stricter_number) for of in Capability},
        forbidden_below={
            of: joined(one.forbidden_below[of], other.forbidden_below[of], stricter_number) for of in Capability
        },
        rights={of: joined(one.rights[of], other.rights[of], stricter_clocks) for of in Right},
        keep_records_months=joined(one.keep_records_months, other.keep_records_months, stricter_number),
    )


def _by_length(clock: Clock) -> tuple[str, ...]:
    return (
        f"{clock.within.unit} {clock.within.count:04}",
        str(clock.extension or ""),
        str(clock.acknowledge or ""),
        clock.weekend,
    )


def _each(items: Iterable[K]) -> tuple[K, ...]:
    return tuple(dict.fromkeys(items))


def _sentence(texts: Iterable[str]) -> str:
    return "; ".join(_each(text for text in texts if text))
