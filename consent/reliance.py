"""Who relies on a purpose, and on whom it takes in. The apps above say it; this one can't know them."""

from collections.abc import Callable, Collection

from cdp.audit.actors import Actor

# Names, as people know them, of whatever would break without this purpose, by its key.
Reliant = Callable[[str], list[str]]
# What is done when a purpose, by its key, has another mode; in the transaction that changes it.
Follower = Callable[[str], None]
# What is done when something else may hold for these (profile id, purpose id); in the transaction that says so.
Judge = Callable[[Collection[tuple[int, int]]], None]
# What is done when something is halted for people, by its kind, whatever purposes there are; in the transaction that halts it.
Halter = Callable[[Collection[int], str, Actor], None]
_reliant: list[Reliant] = []
_followers: list[Follower] = []
_judges: list[Judge] = []
_halters: list[Halter] = []


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


def follow_decisions(judge: Judge) -> None:
    """Has this called whenever people have decided, outside of the pipeline, which judges whom its batch concerns."""
    _judges.append(judge)


def tell_of_decisions(changed: Collection[tuple[int, int]]) -> None:
    """All the people are locked by the caller, who locks nobody more afterwards."""
    for judge in _judges:
        judge(changed)


def follow_stops(halter: Halter) -> None:
    """Has this called whenever a stop begins for people, also where one follows them into another profile."""
    _halters.append(halter)


def tell_of_stop(profile_ids: Collection[int], kind: str, *, by: Actor) -> None:
    """All the people are locked by the caller."""
    for halter in _halters:
        halter(profile_ids, kind, by)
