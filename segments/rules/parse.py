"""A rule read from its JSON document: every error at once, each with its place. Nothing is guessed or repaired.

What operators and windows mean doesn't belong here.
"""

# "return self._refuse(...)" is how a method here says that it has nothing to give, and why.
# mypy: disable-error-code="func-returns-value"

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from segments.rules.catalog import Catalog
from segments.rules.check import check_leaf
from segments.rules.comparisons import Comparison
from segments.rules.errors import Path, RuleErrors, quoted, received
from segments.rules.kinds import EXACT, KIND_OF_TYPE, NUMBER, TEXT
from segments.rules.measures import MAX_PERIODS, MEASURES, RATES, Measure
from segments.rules.nodes import (
    EVER,
    ORDERS,
    VERSION,
    All,
    Any,
    Compared,
    Everyone,
    InSegment,
    Not,
    Performed,
    PositiveLeaf,
    Ranked,
    Rule,
    Sequence,
    Step,
    Trait,
)
from segments.rules.operands import Duration, Unreadable, read_number, read_percentile
from segments.rules.operators import OPERATORS
from segments.rules.parse_standing import STANDING_FORMS, STANDING_KEYS, StandingReader
from segments.rules.reading import TooManyErrors
from segments.rules.windows import Rolling, Since, Window

MAX_DEPTH: Final = 20
MAX_LEAVES: Final = 200
MAX_STEPS: Final = 5

_FORMS: Final = ("all", "any", "not", "trait", "performed", "sequence", "in_segment", "everyone", *STANDING_FORMS)
_MAY_HAVE: Final = {
    "trait": {"trait", "op", "value", "exact"},
    "performed": {"performed", "measure", "of", "op", "value", "where", "within", "per", "each", "than", "times"},
    "sequence": {"sequence", "same", "within"},
    **STANDING_KEYS,
}


def parse(document: object) -> Rule:
    """The rule of a JSON document, as `json.loads` gives it. It isn't known yet whether what it names exists.

    Raises:
        RuleErrors: all that is wrong with the document.
    """
    return _Parser(None).document(document)


def load(document: object, catalog: Catalog) -> Rule:
    """The rule of a JSON document, fit to run with the catalogue.

    Raises:
        RuleErrors: all that is wrong with the document, and all it names that doesn't exist or doesn't fit.
    """
    return _Parser(catalog).document(document)


class _Parser(StandingReader):
    def __init__(self, catalog: Catalog | None) -> None:
        super().__init__(catalog)
        self.leaves = 0

    def document(self, document: object) -> Rule:
        try:
            rule = self._document(document)
        except TooManyErrors:
            rule = None
        if rule is None or self.errors:
            raise RuleErrors(self.errors)
        return rule

    def _document(self, document: object) -> Rule | None:
        if not isinstance(document, dict):
            return self._refuse("wrong_type", f"a rule is an object; received {received(document)}", ())
        version = document.get("version")
        if isinstance(version, bool) or version != VERSION or not isinstance(version, int):
            came = received(version) if "version" in document else "none"
            self._refuse("unknown_version", f"expected version {VERSION}; received {came}", ("version",))
        return self._rule({key: value for key, value in document.items() if key != "version"}, ())

    def _rule(self, raw: object, path: Path) -> Rule | None:
        if len([step for step in path if isinstance(step, str)]) >= MAX_DEPTH:
            return self._refuse("too_deep", f"conditions may be nested {MAX_DEPTH} deep", path)
        if not isinstance(raw, dict):
            return self._refuse("wrong_type", f"a condition is an object; received {received(raw)}", path)
        forms = [form for form in _FORMS if form in raw]
        if len(forms) != 1:
            came = " and ".join(f'"{form}"' for form in forms) or "none of them"
            expected = ", ".join(f'"{form}"' for form in _FORMS)
            return self._refuse("unknown_condition", f"expected exactly one of {expected}; received {came}", path)
        (form,) = forms
        self._refuse_unknown_keys(raw, _MAY_HAVE.get(form, {form}), path)
        match form:
            case "all":
                rules = self._group(raw["all"], (*path, "all"))
                return All(rules) if rules else None
            case "any":
                rules = self._group(raw["any"], (*path, "any"))
                return Any(rules) if rules else None
            case "not":
                inner = self._rule(raw["not"], (*path, "not"))
                return Not(inner) if inner else None
        return self._leaf(form, raw, path)

    def _group(self, raw: object, path: Path) -> tuple[Rule, ...] | None:
        if not isinstance(raw, list):
            return self._refuse("wrong_type", f"expected a list of conditions; received {received(raw)}", path)
        if not raw:
            # Taken literally, "all of nothing" is true of everybody.
            return self._refuse("empty_group", "a group needs at least one condition", path)
        rules = [self._rule(one, (*path, position)) for position, one in enumerate(raw)]
        kept = tuple(rule for rule in rules if rule is not None)
        return kept if len(kept) == len(rules) else None

    def _leaf(self, form: str, raw: dict[str, object], path: Path) -> Rule | None:
        self.leaves += 1
        if self.leaves > MAX_LEAVES:
            if self.leaves == MAX_LEAVES + 1:
                self._refuse("too_many_conditions", f"a rule may have {MAX_LEAVES} conditions", path)
            return None
        if form == "everyone":
            if raw["everyone"] is not True:
                came = received(raw["everyone"])
                return self._refuse("wrong_type", f"expected true; received {came}", (*path, "everyone"))
            return Everyone()
        leaf: PositiveLeaf | None
        than = raw.get("than")
        if form == "trait":
            leaf = self._trait(raw, path)
        elif form == "performed" and isinstance(than, dict) and "percentile" in than:
            leaf = self._ranked(raw, than, path)
        elif form == "performed" and "than" in raw:
            leaf = self._compared(raw, path)
        elif form == "performed":
            leaf = self._performed(raw, path)
        elif form == "sequence":
            leaf = self._sequence(raw, path)
        elif form in STANDING_FORMS:
            leaf = self._standing(form, raw, path)
        else:
            key = self._name(raw["in_segment"], (*path, "in_segment"))
            leaf = InSegment(segment=key) if key is not None else None
        if leaf is not None and self.catalog is not None:
            for error in check_leaf(leaf, self.catalog, path):
                self._add(error)
        return leaf

    def _trait(self, raw: dict[str, object], path: Path) -> Trait | None:
        key = self._name(raw["trait"], (*path, "trait"))
        info = self.catalog.traits.get(key) if self.catalog is not None and key is not None else None
        if self.catalog is not None and key is not None and info is None:
            self._refuse("unknown_trait", f"there is no trait {quoted(key)}", (*path, "trait"))
        exact = raw.get("exact", False)
        if not isinstance(exact, bool):
            self._refuse("wrong_type", f"expected true or false; received {received(exact)}", (*path, "exact"))
        texts = [one.key for one in OPERATORS.values() if EXACT in one.kinds]
        comparison = self._comparison(
            raw,
            path,
            subject=key,
            declared=info.type if info else None,
            **({"kinds": (EXACT,), "allowed": texts} if exact is True else {}),  # type: ignore[arg-type]
        )
        if exact is True and info is not None and KIND_OF_TYPE[info.type] is not TEXT:
            self._refuse(
                "wrong_type",
                f"only text is compared letter for letter; {quoted(info.key)} is {info.type.noun}",
                (*path, "exact"),
            )
        if key is None or comparison is None or (self.catalog is not None and info is None):
            return None
        return Trait(trait=key, comparison=comparison)

    def _performed(self, raw: dict[str, object], path: Path) -> Performed | None:
        before = len(self.errors)
        event = self._name(raw["performed"], (*path, "performed"))
        measure = self._measure(raw.get("measure", "count"), (*path, "measure"))
        of = self._name(raw["of"], (*path, "of")) if "of" in raw else None
        if measure is not None and "of" in raw and not measure.takes_property:
            self._refuse("unknown_key", f'"{measure.key}" is not "of" a property', (*path, "of"))
        if measure is not None and "of" not in raw and measure.needs_property:
            self._refuse("missing_key", f'"{measure.key}" needs "of": the name of a property', (*path, "of"))
        where = self._filters(raw["where"], (*path, "where")) if "where" in raw else ()
        within = self._window(raw["within"], (*path, "within")) if "within" in raw else EVER
        per = self._rate(raw, measure, within, path)
        each = self._each(raw, measure, within, path)
        amount = self._amount(raw, measure, path, is_rate="per" in raw)
        if len(self.errors) == before and event and measure and amount and where is not None and within:
            return Performed(
                event=event, measure=measure.key, of=of, amount=amount, where=where, within=within, per=per, each=each
            )
        # No leaf comes of it, so the catalogue is asked here about the one name in it.
        self._refuse_unknown_event(event, (*path, "performed"))
        return None

    def _compared(self, raw: dict[str, object], path: Path) -> Compared | None:
        before = len(self.errors)
        self._refuse_keys(raw, ("value", "per", "each"), "where one figure is compared with another", path)
        op = self._order(raw, path)
        times = Decimal(1)
        if "times" in raw:
            try:
                times = read_number(raw["times"])
                if times <= 0:
                    self._refuse("number_out_of_range", "a factor is more than 0", (*path, "times"))
            except Unreadable as problem:
                self._refuse(problem.code, problem.message, (*path, "times"))
        left = self._figure(raw, path)
        right = self._figure(raw["than"], (*path, "than"))
        if len(self.errors) > before or left is None or right is None or op is None:
            return None
        return Compared(left=left, op=op, right=right, times=times)

    def _ranked(self, raw: dict[str, object], than: dict[str, object], path: Path) -> Ranked | None:
        before = len(self.errors)
        self._refuse_keys(raw, ("value", "per", "each", "times"), "where a figure is compared with a percentile", path)
        self._refuse_unknown_keys(than, {"percentile"}, (*path, "than"))
        op = self._order(raw, path)
        percentile: Decimal | None = None
        try:
            percentile = read_percentile(than["percentile"])
        except Unreadable as problem:
            self._refuse(problem.code, problem.message, (*path, "than", "percentile"))
        figure = self._figure(raw, path)
        if len(self.errors) > before or figure is None or op is None or percentile is None:
            return None
        return Ranked(figure=figure, op=op, percentile=percentile)

    def _order(self, raw: dict[str, object], path: Path) -> str | None:
        op = raw.get("op")
        if isinstance(op, str) and op in ORDERS:
            return op
        came = received(op) if "op" in raw else "none"
        return self._refuse("unknown_operator", f"expected one of {', '.join(ORDERS)}; received {came}", (*path, "op"))

    def _refuse_keys(self, raw: dict[str, object], keys: Iterable[str], where: str, path: Path) -> None:
        for key in keys:
            if key in raw:
                self._refuse("unknown_key", f'there is no "{key}" {where}', (*path, key))

    def _figure(self, raw: object, path: Path) -> Performed | None:
        """What is measured, without anything that it is compared with."""
        known = {"performed", "measure", "of", "where", "within"}
        if not isinstance(raw, dict) or "performed" not in raw:
            return self._refuse("wrong_type", f'expected an object with "performed"; received {received(raw)}', path)
        if path[-1:] == ("than",):
            self._refuse_unknown_keys(raw, known, path)
        measure = raw.get("measure", "count")
        if isinstance(measure, str) and measure in MEASURES and not _is_figure(MEASURES[measure]):
            expected = ", ".join(f'"{one.key}"' for one in MEASURES.values() if _is_figure(one))
            return self._refuse("unknown_measure", f"expected one of {expected}", (*path, "measure"))
        # Any amount will do: it says nothing here.
        return self._performed({key: raw[key] for key in known & raw.keys()} | {"op": "gte", "value": 1}, path)

    def _refuse_unknown_event(self, event: str | None, path: Path) -> None:
        if event is not None and self.catalog is not None and event not in self.catalog.events:
            self._refuse("unknown_event", f"there is no event {quoted(event)}", path)

    def _measure(self, raw: object, path: Path) -> Measure | None:
        if isinstance(raw, str) and raw in MEASURES:
            return MEASURES[raw]
        expected = ", ".join(f'"{key}"' for key in MEASURES)
        return self._refuse("unknown_measure", f"expected one of {expected}; received {received(raw)}", path)

    def _rate(self, raw: dict[str, object], measure: Measure | None, within: Window | None, path: Path) -> str | None:
        if "per" not in raw:
            return None
        per, at = raw["per"], (*path, "per")
        if measure is not None and measure.key != "count":
            return self._refuse("unknown_key", f'"{measure.key}" has no rate', at)
        if not isinstance(per, str) or per not in RATES:
            expected = " or ".join(f'"{one}"' for one in RATES)
            return self._refuse("wrong_type", f"expected {expected}; received {received(per)}", at)
        if within is not None and not isinstance(within, Rolling):
            return self._refuse("window_not_rolling", 'a rate needs a window such as "within": {"days": 30}', at)
        return per

    def _each(
        self, raw: dict[str, object], measure: Measure | None, within: Window | None, path: Path
    ) -> Duration | None:
        at = (*path, "each")
        if measure is None or (measure.key != "periods" and "each" not in raw):
            return None
        if measure.key != "periods":
            return self._refuse("unknown_key", f'"{measure.key}" has no periods', at)
        if "each" not in raw:
            return self._refuse("missing_key", '"periods" needs "each": how long one is', at)
        each = self._duration(raw["each"], at)
        if each is None or within is None:
            return None
        if not isinstance(within, Rolling):
            return self._refuse("window_not_rolling", 'periods need a window such as "within": {"weeks": 4}', at)
        how_many, rest = divmod(within.duration.seconds, each.seconds)
        if rest or not 1 <= how_many <= MAX_PERIODS:
            message = f"the window must be 1 to {MAX_PERIODS} whole periods long"
            return self._refuse("periods_do_not_fit", message, at)
        return each

    def _amount(
        self, raw: dict[str, object], measure: Measure | None, path: Path, *, is_rate: bool
    ) -> Comparison | None:
        if (measure is None or measure.is_whole) and "op" not in raw and "value" not in raw:
            raw = {"op": "gte", "value": 1}
        kinds = measure.kinds if measure is not None else MEASURES["count"].kinds
        if kinds == MEASURES["count"].kinds:
            allowed = [one.key for one in OPERATORS.values() if one.amount is not None]
        else:
            allowed = [one.key for one in OPERATORS.values() if set(one.kinds) & set(kinds)]
        amount = self._comparison(raw, path, subject=None, kinds=kinds, allowed=allowed)
        if amount is not None and (measure is None or measure.is_whole):
            operands = amount.operand if isinstance(amount.operand, tuple) else (amount.operand,)
            if any(number < 0 or (number % 1 and not is_rate) for number in operands):  # type: ignore[operator]
                return self._refuse("wrong_type", "a count is a whole number, 0 or more", (*path, "value"))
        return amount

    def _sequence(self, raw: dict[str, object], path: Path) -> Sequence | None:
        before = len(self.errors)
        steps = self._steps(raw["sequence"], (*path, "sequence"))
        same = self._name(raw["same"], (*path, "same")) if "same" in raw else None
        within = self._window(raw["within"], (*path, "within")) if "within" in raw else EVER
        if isinstance(within, Since):
            self._refuse("unknown_window", "the first step of a sequence has no event before it", (*path, "within"))
        if len(self.errors) > before or steps is None or within is None:
            return None
        *done, (last, last_is_missing) = steps
        return Sequence(
            steps=tuple(step for step, _ in done) + (() if last_is_missing else (last,)),
            missing=last if last_is_missing else None,
            same=same,
            within=within,
        )

    def _steps(self, raw: object, path: Path) -> list[tuple[Step, bool]] | None:
        if not isinstance(raw, list):
            return self._refuse("wrong_type", f"expected a list of steps; received {received(raw)}", path)
        if not 2 <= len(raw) <= MAX_STEPS:
            return self._refuse("list_length", f"a sequence has 2 to {MAX_STEPS} steps; received {len(raw)}", path)
        steps = [self._step(one, (*path, number), number, len(raw)) for number, one in enumerate(raw)]
        kept = [step for step in steps if step is not None]
        return kept if len(kept) == len(steps) else None

    def _step(self, raw: object, path: Path, number: int, of: int) -> tuple[Step, bool] | None:
        forms = [form for form in ("performed", "not_performed") if isinstance(raw, dict) and form in raw]
        if not isinstance(raw, dict) or len(forms) != 1:
            return self._refuse(
                "wrong_type", f'a step is an object with "performed" or "not_performed"; received {received(raw)}', path
            )
        (form,) = forms
        before = len(self.errors)
        self._refuse_unknown_keys(raw, {form, "where", *(("within",) if number else ())}, path)
        event = self._name(raw[form], (*path, form))
        where = self._filters(raw["where"], (*path, "where")) if "where" in raw else ()
        within = self._duration(raw["within"], (*path, "within")) if number and "within" in raw else None
        if form == "not_performed" and number < of - 1:
            self._refuse("misplaced_step", "only the last step may be one that did not follow", (*path, form))
        elif form == "not_performed" and "within" not in raw:
            self._refuse(
                "missing_key", 'a step that did not follow needs "within": how long to wait', (*path, "within")
            )
        if len(self.errors) > before or event is None or where is None:
            self._refuse_unknown_event(event, (*path, form))
            return None
        return Step(event=event, where=where, within=within), form == "not_performed"


def _is_figure(measure: Measure) -> bool:
    return measure.kinds == (NUMBER,) and measure.key != "periods"
