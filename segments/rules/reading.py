"""The parts of a rule's JSON that stand in several places: comparisons, filters, windows, names. Every error is kept.

What a whole condition is made of is in `parse`; what operators and windows mean doesn't belong here.
"""

# "return self._refuse(...)" is how a method here says that it has nothing to give, and why.
# mypy: disable-error-code="func-returns-value"

from collections.abc import Callable, Collection
from typing import Final

from segments.rules.calendar import PERIODS
from segments.rules.catalog import Catalog, Type
from segments.rules.comparisons import Comparison, Filter, FilterGroup, Joining, Where
from segments.rules.errors import Path, RuleError, pointer, quoted, received
from segments.rules.kinds import EXACT, KIND_OF_TYPE, Kind
from segments.rules.operands import Duration, Moment, Unreadable, read_duration, read_moment, storable
from segments.rules.operators import OPERATORS, Operator
from segments.rules.shapes import NOTHING
from segments.rules.windows import Between, Calendar, Rolling, Since, Window

MAX_FILTERS: Final = 20
MAX_FILTER_DEPTH: Final = 5
MAX_NAME: Final = 255
MAX_ERRORS: Final = 100


class TooManyErrors(Exception):
    """Enough was found to refuse the document."""


class Reader:
    """Reads parts, and notes what is wrong with each at its place."""

    def __init__(self, catalog: Catalog | None) -> None:
        self.catalog = catalog
        self.errors: list[RuleError] = []

    def _filters(self, raw: object, path: Path, depth: int = 0) -> tuple[Where, ...] | None:
        if not isinstance(raw, list):
            return self._refuse("wrong_type", f"expected a list of filters; received {received(raw)}", path)
        if not 1 <= len(raw) <= MAX_FILTERS:
            return self._refuse("list_length", f"expected 1 to {MAX_FILTERS} filters; received {len(raw)}", path)
        filters = [self._where(one, (*path, position), depth) for position, one in enumerate(raw)]
        kept = tuple(one for one in filters if one is not None)
        return kept if len(kept) == len(filters) else None

    def _where(self, raw: object, path: Path, depth: int) -> Where | None:
        joinings = [one for one in Joining if isinstance(raw, dict) and one in raw]
        if not joinings:
            return self._filter(raw, path)
        if len(joinings) > 1 or not isinstance(raw, dict):
            return self._refuse("unknown_condition", 'expected one of "all", "any" and "not"', path)
        if depth >= MAX_FILTER_DEPTH:
            return self._refuse("too_deep", f"filters may be nested {MAX_FILTER_DEPTH} deep", path)
        (joining,) = joinings
        self._refuse_unknown_keys(raw, {joining.value}, path)
        at = (*path, joining.value)
        if joining is Joining.NOT:
            inner = self._where(raw[joining], at, depth + 1)
            return FilterGroup(joining=joining, parts=(inner,)) if inner is not None else None
        parts = self._filters(raw[joining], at, depth + 1)
        return FilterGroup(joining=joining, parts=parts) if parts is not None else None

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
        if isinstance(raw, str):
            if raw in PERIODS:
                return Calendar(raw)
            return self._refuse(
                "unknown_window", f"expected one of {', '.join(PERIODS)}; received {received(raw)}", path
            )
        if isinstance(raw, dict) and "since" in raw:
            self._refuse_unknown_keys(raw, {"since"}, path)
            event = self._name(raw["since"], (*path, "since"))
            return Since(event) if event is not None else None
        if isinstance(raw, dict) and ("from" in raw or "to" in raw):
            return self._between(raw, path)
        ago: Duration | None = None
        if isinstance(raw, dict) and "ago" in raw:
            ago = self._duration(raw["ago"], (*path, "ago"))
            raw = {key: value for key, value in raw.items() if key != "ago"}
            if ago is None:
                return None
        duration = self._duration(raw, path)
        return Rolling(duration, ago) if duration is not None else None

    def _between(self, raw: dict[str, object], path: Path) -> Window | None:
        before = len(self.errors)
        self._refuse_unknown_keys(raw, {"from", "to"}, path)
        start, end = (self._moment(raw[key], (*path, key)) if key in raw else None for key in ("from", "to"))
        if start is not None and end is not None and start.start >= end.start:
            return self._refuse("bounds_reversed", '"from" must be before "to"', path)
        return Between(start, end) if len(self.errors) == before else None

    def _duration(self, raw: object, path: Path) -> Duration | None:
        try:
            return read_duration(raw)
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
            raise TooManyErrors


def _readable(
    chosen: Operator, declared: Type | None, kinds: Collection[Kind] | None, in_properties: bool
) -> tuple[Kind, ...]:
    """The kinds that fit the place, or all the operator knows when none does: then the check says what is wrong."""
    readable = tuple(kind for kind in chosen.kinds if kind.in_properties) if in_properties else chosen.kinds
    if kinds is None and declared is None:
        # Of one way to write a value the first way to read it: text is meant folded unless it is asked for exactly.
        return tuple(kind for kind in readable if kind is not EXACT)
    wanted = tuple(kinds) if kinds is not None else (KIND_OF_TYPE[declared],) if declared is not None else readable
    return tuple(kind for kind in readable if kind in wanted) or readable
