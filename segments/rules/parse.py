"""A rule read from its JSON document: every error at once, each with its place. Nothing is guessed or repaired.

What operators and windows mean doesn't belong here.
"""

# "return self._refuse(...)" is how a method here says that it has nothing to give, and why.
# mypy: disable-error-code="func-returns-value"

from collections.abc import Callable, Collection
from typing import Final

from segments.rules.catalog import Catalog, Type
from segments.rules.check import check_leaf
from segments.rules.errors import Path, RuleError, RuleErrors, pointer, quoted, received
from segments.rules.kinds import KIND_OF_TYPE, NUMBER, Kind
from segments.rules.nodes import (
    EVER,
    VERSION,
    All,
    Any,
    Comparison,
    Everyone,
    Filter,
    InSegment,
    Measure,
    Not,
    Performed,
    Rule,
    Trait,
)
from segments.rules.operands import Moment, Unreadable, read_duration, read_moment, storable
from segments.rules.operators import OPERATORS, Operator
from segments.rules.shapes import NOTHING
from segments.rules.windows import Between, Rolling, Window

MAX_DEPTH: Final = 20
MAX_LEAVES: Final = 200
MAX_FILTERS: Final = 20
MAX_NAME: Final = 255
MAX_ERRORS: Final = 100

_FORMS: Final = ("all", "any", "not", "trait", "performed", "in_segment", "everyone")
_MAY_HAVE: Final = {
    "trait": {"trait", "op", "value"},
    "performed": {"performed", "measure", "of", "op", "value", "where", "within"},
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


class _TooManyErrors(Exception):
    """Enough was found to refuse the document."""


class _Parser:
    def __init__(self, catalog: Catalog | None) -> None:
        self.catalog = catalog
        self.errors: list[RuleError] = []
        self.leaves = 0

    def document(self, document: object) -> Rule:
        try:
            rule = self._document(document)
        except _TooManyErrors:
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
        leaf: Trait | Performed | InSegment | None
        if form == "trait":
            leaf = self._trait(raw, path)
        elif form == "performed":
            leaf = self._performed(raw, path)
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
        comparison = self._comparison(raw, path, subject=key, declared=info.type if info else None)
        if key is None or comparison is None or (self.catalog is not None and info is None):
            return None
        return Trait(trait=key, comparison=comparison)

    def _performed(self, raw: dict[str, object], path: Path) -> Performed | None:
        before = len(self.errors)
        event = self._name(raw["performed"], (*path, "performed"))
        measure = self._measure(raw.get("measure", "count"), (*path, "measure"))
        of = self._name(raw["of"], (*path, "of")) if "of" in raw else None
        if "of" in raw and measure is Measure.COUNT:
            self._refuse("unknown_key", 'a count is not "of" a property', (*path, "of"))
        amount = self._amount(raw, measure, path)
        where = self._filters(raw["where"], (*path, "where")) if "where" in raw else ()
        within = self._window(raw["within"], (*path, "within")) if "within" in raw else EVER
        if len(self.errors) == before and event and measure and amount and where is not None and within:
            return Performed(event=event, measure=measure, of=of, amount=amount, where=where, within=within)
        # No leaf comes of it, so the catalogue is asked here about the one name in it.
        if event is not None and self.catalog is not None and event not in self.catalog.events:
            self._refuse("unknown_event", f"there is no event {quoted(event)}", (*path, "performed"))
        return None

    def _measure(self, raw: object, path: Path) -> Measure | None:
        if isinstance(raw, str) and raw in tuple(Measure):
            return Measure(raw)
        return self._refuse("unknown_measure", f'expected "count" or "sum"; received {received(raw)}', path)

    def _amount(self, raw: dict[str, object], measure: Measure | None, path: Path) -> Comparison | None:
        if measure is not Measure.SUM and "op" not in raw and "value" not in raw:
            raw = {"op": "gte", "value": 1}
        amounts = [one.key for one in OPERATORS.values() if one.amount is not None]
        amount = self._comparison(raw, path, subject=None, kinds=(NUMBER,), allowed=amounts)
        if amount is not None and measure is Measure.COUNT:
            operands = amount.operand if isinstance(amount.operand, tuple) else (amount.operand,)
            if any(number < 0 or number % 1 for number in operands):  # type: ignore[operator]
                return self._refuse("wrong_type", "a count is a whole number, 0 or more", (*path, "value"))
        return amount

    def _filters(self, raw: object, path: Path) -> tuple[Filter, ...] | None:
        if not isinstance(raw, list):
            return self._refuse("wrong_type", f"expected a list of filters; received {received(raw)}", path)
        if not 1 <= len(raw) <= MAX_FILTERS:
            return self._refuse("list_length", f"expected 1 to {MAX_FILTERS} filters; received {len(raw)}", path)
        filters = [self._filter(one, (*path, position)) for position, one in enumerate(raw)]
        kept = tuple(one for one in filters if one is not None)
        return kept if len(kept) == len(filters) else None

    def _filter(self, raw: object, path: Path) -> Filter | None:
        if not isinstance(raw, dict) or "property" not in raw:
            return self._refuse("wrong_type", f'a filter is an object with "property"; received {received(raw)}', path)
        self._refuse_unknown_keys(raw, {"property", "op", "value"}, path)
        name = self._name(raw["property"], (*path, "property"))
        in_properties = [key for key, one in OPERATORS.items() if any(kind.in_properties for kind in one.kinds)]
        comparison = self._comparison(raw, path, subject=None, allowed=in_properties, in_properties=True)
        return Filter(property=name, comparison=comparison) if name is not None and comparison is not None else None

    def _comparison(
        self,
        raw: dict[str, object],
        path: Path,
        *,
        subject: str | None,
        declared: Type | None = None,
        kinds: Collection[Kind] | None = None,
        allowed: Collection[str] = tuple(OPERATORS),
        in_properties: bool = False,
    ) -> Comparison | None:
        op = raw.get("op")
        if not isinstance(op, str) or op not in allowed:
            came = received(op) if "op" in raw else "none"
            return self._refuse(
                "unknown_operator", f"expected one of {', '.join(allowed)}; received {came}", (*path, "op")
            )
        chosen = OPERATORS[op]
        if chosen.shape is NOTHING and "value" in raw:
            return self._refuse("unknown_key", f'"{op}" takes no value', (*path, "value"))
        if chosen.shape is not NOTHING and "value" not in raw:
            return self._refuse("missing_value", f'"{op}" needs a value', (*path, "value"))
        readable = _readable(chosen, declared, kinds, in_properties)
        says = f"{quoted(subject)} is {declared.noun}" if subject and declared and len(readable) == 1 else None
        says = says or f'"{op}" takes {" or ".join(kind.noun for kind in readable)}'
        found = chosen.shape.read(raw.get("value"), readable, says, self._reporter((*path, "value")))
        if found is None:
            return None
        kind, operand = found
        if problem := chosen.check_text(operand):
            return self._refuse("empty_text", problem, (*path, "value"))
        return Comparison(op=op, kind=kind, operand=operand)

    def _window(self, raw: object, path: Path) -> Window | None:
        if isinstance(raw, dict) and ("from" in raw or "to" in raw):
            self._refuse_unknown_keys(raw, {"from", "to"}, path)
            start, end = (self._moment(raw.get(key), (*path, key)) for key in ("from", "to"))
            if start is None or end is None:
                return None
            if start.start >= end.start:
                return self._refuse("bounds_reversed", '"from" must be before "to"', path)
            return Between(start, end)
        try:
            return Rolling(read_duration(raw))
        except Unreadable as problem:
            return self._refuse(problem.code, problem.message, path)

    def _moment(self, raw: object, path: Path) -> Moment | None:
        try:
            return read_moment(raw)
        except Unreadable as problem:
            return self._refuse(problem.code, problem.message, path)

    def _name(self, raw: object, path: Path) -> str | None:
        if not isinstance(raw, str) or not raw:
            return self._refuse("wrong_type", f"expected a name; received {received(raw)}", path)
        try:
            return storable(raw, limit=MAX_NAME)
        except Unreadable as problem:
            return self._refuse(problem.code, problem.message, path)

    def _refuse_unknown_keys(self, raw: dict[str, object], known: set[str], path: Path) -> None:
        for key in raw:
            if key not in known:
                expected = ", ".join(f'"{one}"' for one in sorted(known))
                self._refuse("unknown_key", f"there is no {quoted(str(key))} here, only {expected}", path)

    def _reporter(self, path: Path) -> Callable[..., None]:
        def report(code: str, message: str, *steps: str | int) -> None:
            self._refuse(code, message, (*path, *steps))

        return report

    def _refuse(self, code: str, message: str, path: Path) -> None:
        self._add(RuleError(code=code, message=message, pointer=pointer(path)))

    def _add(self, error: RuleError) -> None:
        self.errors.append(error)
        if len(self.errors) >= MAX_ERRORS:
            raise _TooManyErrors


def _readable(
    chosen: Operator, declared: Type | None, kinds: Collection[Kind] | None, in_properties: bool
) -> tuple[Kind, ...]:
    """The kinds that fit the place, or all the operator knows when none does: then the check says what is wrong."""
    readable = tuple(kind for kind in chosen.kinds if kind.in_properties) if in_properties else chosen.kinds
    wanted = tuple(kinds) if kinds is not None else (KIND_OF_TYPE[declared],) if declared is not None else readable
    return tuple(kind for kind in readable if kind in wanted) or readable
