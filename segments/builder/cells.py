"""What stands beside each condition: how many people it leaves, adds or keeps out, and of how many it is true alone. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from segments.builder.funnel import Narrowing


@dataclass(frozen=True, kw_only=True)
class Cell:
    """``id`` is that of the place on the screen. ``count`` people are left, or out; ``share`` is of those who were there before.

    Where one of several is enough, each ``adds`` people to those before it in its group, and ``count`` are in together.
    """

    id: str
    alone: int | None
    count: int | None
    share: float | None
    is_out: bool
    adds: int | None = None


def cells(found: Mapping[str, Narrowing], places: Mapping[str, str]) -> list[Cell]:
    """The cells of a draft.

    Args:
        found: by place in what was counted, what stands there does.
        places: where each of these places is in the draft.
    """
    return [_cell(places[at], one) for at, one in found.items() if at and at in places]


def _cell(at: str, one: Narrowing) -> Cell:
    # In a group that keeps people out, it tells more how many they are.
    is_out = "/not/any/" in at and one.out is not None
    share = one.share
    group, _, place = at.rpartition("/")
    if not is_out and group.endswith("/any") and one.left is not None:
        # The first has before it who was there before the group: of these it takes in, and keeps none out.
        adds = one.left if place == "0" or one.before is None else one.left - one.before
        return Cell(id=_id(at), alone=one.alone, count=one.left, share=None, is_out=False, adds=adds)
    return Cell(
        id=_id(at),
        alone=one.alone,
        count=one.out if is_out else one.left,
        share=None if share is None else 1 - share if is_out else share,
        is_out=is_out,
    )


def _id(at: str) -> str:
    return f"cnt-n{at.replace('/', '-')}"
