"""How large a rule may be, so that reading, compiling and planning it takes bounded time and memory, whatever it says.

What a rule costs to run depends on the data and is asked of the planner by whoever runs it; that doesn't belong here.
"""

from collections.abc import Iterator
from typing import Final

from segments.rules.algebra import leaves
from segments.rules.compile import look_place
from segments.rules.errors import Path, RuleError, pointer
from segments.rules.nodes import All, Any, Everyone, Not, Rule

MAX_DEPTH: Final = 50
MAX_LEAVES: Final = 1_000
# A look at records is a scan in the plan, of each month's events: conditions on the same records share one.
MAX_LOOKS: Final = 200
# Of the whole rule, wherever they stand; how many there may be in one list is said where lists are read.
MAX_FILTERS: Final = 500
MAX_VALUES: Final = 10_000
# Of the JSON text, in characters, without the space between its parts.
MAX_SIZE: Final = 500_000
# Lists and objects within each other: two for each level of groups, and the most that a condition needs.
MAX_NESTING: Final = 2 * MAX_DEPTH + 28


def outsized(document: object) -> RuleError | None:
    """What is wrong with the size of a document as `json.loads` gives it, found without recursion and before it is read."""
    size = 0
    path: list[str | int] = []
    ahead = [iter([document])] if not isinstance(document, dict | list) else [_members(document)]
    keys = [_steps(document)]
    while ahead:
        value = next(ahead[-1], ahead)
        if value is ahead:
            ahead.pop(), keys.pop()
            if path:
                path.pop()
            continue
        step = next(keys[-1])
        size += _size(value) + (len(step) + 4 if isinstance(step, str) else 1)
        if size > MAX_SIZE:
            said = f"a rule may have {MAX_SIZE:,} characters"
            return RuleError(code="too_large", message=said, pointer="")
        if isinstance(value, dict | list):
            path.append(step)
            if len(path) >= MAX_NESTING:
                said = f"lists and objects may be nested {MAX_NESTING} deep"
                return RuleError(code="too_deep", message=said, pointer=pointer(tuple(path)))
            ahead.append(_members(value))
            keys.append(_steps(value))
    return None


def _members(value: dict[str, object] | list[object]) -> Iterator[object]:
    return iter(value.values() if isinstance(value, dict) else value)


def _steps(value: object) -> Iterator[str | int]:
    if isinstance(value, dict):
        return map(str, value)
    return iter(range(len(value) if isinstance(value, list) else 1))


def _size(value: object) -> int:
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, int):
        return 1 + value.bit_length() // 3  # printing a huge number takes long
    return 2 if isinstance(value, dict | list) else 8


def too_many_looks(rule: Rule) -> RuleError | None:
    """The first condition that would be one look at records too many."""
    seen = set[str]()
    for path, leaf in _placed(rule, ()):
        seen |= {look_place(one) for one in leaves(leaf)}
        if len(seen) > MAX_LOOKS:
            said = (
                f"the conditions of a rule may take {MAX_LOOKS} looks at what is recorded;"
                " those on one trait, or on events of one name, filter and window, share one"
            )
            return RuleError(code="too_many_looks", message=said, pointer=pointer(path))
    return None


def _placed(rule: Rule, path: Path) -> Iterator[tuple[Path, Rule]]:
    match rule:
        case All(rules) | Any(rules):
            name = "all" if isinstance(rule, All) else "any"
            for position, one in enumerate(rules):
                yield from _placed(one, (*path, name, position))
        case Not(inner):
            yield from _placed(inner, (*path, "not"))
        case Everyone():
            return
        case _:
            yield path, rule
