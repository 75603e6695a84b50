"""Who relies on a trait being of the type it is. The apps above say it; this one can't know them."""

from collections.abc import Callable

# Names, as people know them, of whatever would break if this trait, by its key, were of another type.
Reliant = Callable[[str], list[str]]
_reliant: list[Reliant] = []


def ask_before_retyping(reliant: Reliant) -> None:
    """Has the trait's type kept as long as this names anything."""
    _reliant.append(reliant)


def relying_on(key: str) -> list[str]:
    return [name for reliant in _reliant for name in reliant(key)]
