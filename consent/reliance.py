"""Who relies on a purpose, and on whom it takes in. The apps above say it; this one can't know them."""

from collections.abc import Callable

# Names, as people know them, of whatever would break without this purpose, by its key.
Reliant = Callable[[str], list[str]]
# What is done when a purpose, by its key, has another mode; in the transaction that changes it.
Follower = Callable[[str], None]
_reliant: list[Reliant] = []
_followers: list[Follower] = []


def ask_before_deleting(reliant: Reliant) -> None:
    """Has purposes kept as long as this names anything."""
    _reliant.append(reliant)


def relying_on(key: str) -> list[str]:
    return [name for reliant in _reliant for name in reliant(key)]


def follow_modes(follower: Follower) -> None:
    """Has this called whenever a purpose takes in others than before."""
    _followers.append(follower)


def tell_of_new_mode(key: str) -> None:
    for follower in _followers:
        follower(key)
