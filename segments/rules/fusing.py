"""Conditions that must hold together and look at the same records: fused, so that the records are read once.

"Ordered before, but not in the last 60 days" is one look at the totals, "ordered twice, mostly with a coupon" one pass
over the orders. Only for everybody at once: of given people, leaves are answered by `compile_together`, for many rules.
How the one look is written in SQL is the compiler's.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby

from sqlglot import exp

from segments.rules.comparisons import Where
from segments.rules.nodes import (
    EVER,
    All,
    Compared,
    Leaf,
    Not,
    Performed,
    Rule,
)
from segments.rules.windows import Rolling


@dataclass(frozen=True, kw_only=True, eq=False)
class Fused(Leaf):
    """Leaves on the events of one name that must hold, and others that must not; at least one must.

    Attributes:
        wanted: (leaf, the verdict it must have).
        read: of the leaves' figures the one whose window has the events of all of them.
        from_totals: whether the running totals have all that is asked.
    """

    parts: tuple[tuple[Performed | Compared, bool], ...]
    read: Performed
    from_totals: bool

    def canonical(self) -> list[object]:
        return ["fused", *([leaf.canonical(), wanted] for leaf, wanted in self.parts)]

    @property
    def events(self) -> frozenset[str]:
        return frozenset((self.read.event,))

    @property
    def common(self) -> tuple[Where, ...]:
        """The filters that all of the figures have; none where they differ."""
        shared = {_filters_key(figure.where) for leaf, _ in self.parts for figure in figures(leaf)}
        return self.read.where if len(shared) == 1 else ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Narrowed(Leaf):
    """A comparison of two totals that must hold, or must not, of people whom a condition on one of them narrows down.

    Attributes:
        must: the condition, which must hold.
        by_left: whether it is on the left side; else on the right.
    """

    compared: Compared
    is_wanted: bool
    must: Performed
    by_left: bool

    def canonical(self) -> list[object]:
        return ["narrowed", self.compared.canonical(), self.is_wanted, self.must.canonical(), self.by_left]

    @property
    def events(self) -> frozenset[str]:
        return self.compared.events


def fused(rule: Rule) -> Rule:
    """The rule, positive leaves only, with conditions of one "all" fused where that spares a look."""
    if not isinstance(rule, All):
        return rule
    literals = list(_flat(rule))
    by_event: dict[str, list[tuple[Performed | Compared, bool]]] = {}
    others: list[Rule] = []
    for one in literals:
        leaf, wanted = (one.rule, False) if isinstance(one, Not) else (one, True)
        if isinstance(leaf, Performed | Compared) and (event := _event_of(leaf)) is not None:
            by_event.setdefault(event, []).append((leaf, wanted))
        else:
            others.append(one)
    found: list[Rule] = []
    for position, one in enumerate(others):
        if (narrowed := _narrowed(one, by_event)) is not None:
            del others[position]
            del by_event[narrowed.must.event]
            found.append(_as_rule(narrowed))
            break
    for literals_of_event in by_event.values():
        found += _of_one_event(literals_of_event)
    rules = (*found, *others)
    return rules[0] if len(rules) == 1 else All(rules)


def in_one_look(leaf: Compared) -> Fused | None:
    """Both sides of a comparison as one look, where one look has the events of both."""
    if _event_of(leaf) is None or not _pays([(leaf, True)]):
        return None
    return Fused(parts=((leaf, True),), read=max(figures(leaf), key=_reach), from_totals=False)


def figures(leaf: Performed | Compared) -> tuple[Performed, ...]:
    """What is measured for the leaf."""
    return (leaf,) if isinstance(leaf, Performed) else (leaf.left, leaf.right)


def is_once(leaf: Leaf) -> bool:
    """Whether a single event is enough, whatever it is."""
    if not isinstance(leaf, Performed) or leaf.measure != "count" or leaf.per is not None:
        return False
    return leaf.amount.op == "gte" and leaf.amount.operand == 1


def is_total(leaf: Performed) -> bool:
    """Whether the running totals have what the leaf asks for."""
    return total_of(leaf) is not None


def total_of(leaf: Performed) -> exp.Expr | None:
    """What the running totals have of what the leaf measures; None where they don't have it."""
    is_plain = leaf.within == EVER and leaf.of is None and not leaf.where and leaf.per is None
    return leaf.computed.from_total() if is_plain else None


def _of_one_event(parts: list[tuple[Performed | Compared, bool]]) -> Iterator[Rule]:
    """The leaves on one event's name, fused as far as it pays."""
    told_by_totals = [part for part in parts if _is_told_by_totals(part[0])]
    if len(told_by_totals) > 1 and any(wanted and is_total(leaf) for leaf, wanted in told_by_totals):  # type: ignore[arg-type]
        read = next(
            leaf for leaf, wanted in told_by_totals if wanted and isinstance(leaf, Performed) and is_total(leaf)
        )
        yield _as_rule(Fused(parts=tuple(told_by_totals), read=read, from_totals=True))
        parts = [part for part in parts if part not in told_by_totals]
    by_window = sorted(parts, key=lambda part: _window_key(part[0]))
    for _, group in groupby(by_window, key=lambda part: _window_key(part[0])):
        together = list(group)
        if any(wanted for _, wanted in together) and _pays(together):
            read = max((figure for leaf, _ in together for figure in figures(leaf)), key=_reach)
            yield _as_rule(Fused(parts=tuple(together), read=read, from_totals=False))
        else:
            yield from (leaf if wanted else Not(leaf) for leaf, wanted in together)


def _narrowed(one: Rule, by_event: Mapping[str, list[tuple[Performed | Compared, bool]]]) -> Narrowed | None:
    """The comparison together with the only other condition on the event of one of its sides, where that narrows it down."""
    leaf, is_wanted = (one.rule, False) if isinstance(one, Not) else (one, True)
    if not isinstance(leaf, Compared) or not all(map(is_total, figures(leaf))):
        return None
    for side in figures(leaf):
        match by_event.get(side.event):
            case [(Performed() as must, True)] if is_total(must) and not is_once(must):
                return Narrowed(compared=leaf, is_wanted=is_wanted, must=must, by_left=side is leaf.left)
    return None


def _is_told_by_totals(leaf: Performed | Compared) -> bool:
    """Whether the totals of a person without events ahead tell it: when the last one was says whether it was lately."""
    if not isinstance(leaf, Performed):
        return False
    lately = is_once(leaf) and isinstance(leaf.within, Rolling) and leaf.within.ago is None and not leaf.where
    return is_total(leaf) or lately


def _pays(parts: list[tuple[Performed | Compared, bool]]) -> bool:
    """Whether the widest look reads nothing for the sake of a narrower one that it wouldn't read anyway."""
    all_figures = [figure for leaf, _ in parts for figure in figures(leaf)]
    if len(all_figures) < 2 or any(map(is_total, all_figures)):
        return False
    widest = max(map(_reach, all_figures))
    if any(_reach(one) < widest for one in all_figures):
        # In the index of (name, time) are people and values; for properties each event itself is read.
        reads_events = any(_reads_properties(one) for one in all_figures if _reach(one) == widest)
        same_filters = len({_filters_key(one.where) for one in all_figures}) == 1
        return same_filters and (reads_events or not any(map(_reads_properties, all_figures)))
    return len({_filters_key(one.where) for one in all_figures}) == 1 or all(
        one.measure != "periods" for one in all_figures
    )


def _event_of(leaf: Performed | Compared) -> str | None:
    """The name of the only kind of event that the leaf looks at."""
    return next(iter(leaf.events)) if len(leaf.events) == 1 and _window_key(leaf) else None


def _window_key(leaf: Performed | Compared) -> str:
    """Equal where one look has the events of both; empty where a look can't be shared at all."""
    keys = {_key_of(figure) for figure in figures(leaf)}
    return keys.pop() if len(keys) == 1 else ""


def _key_of(figure: Performed) -> str:
    if figure.within.since is not None:
        return ""
    is_rolling = isinstance(figure.within, Rolling) and figure.within.ago is None
    return "rolling" if is_rolling else str(figure.within.canonical())


def _reach(figure: Performed) -> int:
    return figure.within.duration.seconds if isinstance(figure.within, Rolling) else 0


def _reads_properties(figure: Performed) -> bool:
    return bool(figure.where) or figure.of is not None


def same_filters(one: Collection[Where], other: Collection[Where]) -> bool:
    return _filters_key(one) == _filters_key(other)


def _filters_key(where: Collection[Where]) -> str:
    return str(sorted(str(one.canonical()) for one in where))


def _flat(rule: All) -> Iterator[Rule]:
    for one in rule.rules:
        if isinstance(one, All):
            yield from _flat(one)
        else:
            yield one


def _as_rule(leaf: Fused | Narrowed) -> Rule:
    return leaf  # type: ignore[return-value]  # the compiler's own, never part of a document
