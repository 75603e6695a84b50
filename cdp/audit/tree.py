"""The tree over the audit log's entries: what is stored of it, and proofs that an outsider can check.

Kept are the hash of each leaf and, of each 256 of them, of each 256 of those, and so on, the root: so a proof in a log of
millions reads some thousand hashes. How hashes are made, and what the verifiers need, is in `cdp.audit.verify` and
`cdp.audit.check_proof`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cdp.audit.check_proof import roots_of_consistency
from cdp.audit.verify import EMPTY_ROOT, Frontier, node_hash

__all__ = ["consistency_proof", "full_nodes", "inclusion_proof", "root_of", "roots_of_consistency"]

# Nodes are stored at each eighth level.
LEVELS: Final = 8
WIDTH: Final = 1 << LEVELS


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """The root of `WIDTH ** level` leaves, the first of which has the index `index * WIDTH ** level`."""

    level: int
    index: int
    hash: bytes


class Hashes(Protocol):
    """Where stored hashes are read: level 0 has leaves."""

    def __call__(self, *, level: int, first: int, count: int) -> Sequence[bytes]:
        """So many hashes of the level from the first on; all of them exist."""


def full_nodes(*, size: int, leaves: Sequence[bytes], hashes: Hashes) -> Iterator[Node]:
    """The nodes that become full when the leaves are appended to a tree of this size.

    Args:
        hashes: what is stored so far; it isn't asked for what comes out of this.
    """
    level, first, added = 0, size, list(leaves)
    while added:
        start = first // WIDTH * WIDTH
        before = hashes(level=level, first=start, count=first - start) if first > start else ()
        here = [*before, *added]
        made = [_root_of(here[place : place + WIDTH]) for place in range(0, len(here) - WIDTH + 1, WIDTH)]
        level, first, added = level + 1, start // WIDTH, made
        for number, node in enumerate(made):
            yield Node(level=level, index=first + number, hash=node)


def root_of(size: int, hashes: Hashes) -> bytes:
    """The root over the first `size` leaves."""
    return _range_root(0, size, hashes) if size else EMPTY_ROOT


def inclusion_proof(*, index: int, size: int, hashes: Hashes) -> list[bytes]:
    """What leads from the leaf to the root over the first `size` leaves (RFC 9162, 2.1.3.1).

    Raises:
        ValueError: the leaf isn't among them.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    proof: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            proof.append(_range_root(middle, high, hashes))
            high = middle
        else:
            proof.append(_range_root(low, middle, hashes))
            low = middle
    return proof[::-1]


def consistency_proof(*, first: int, second: int, hashes: Hashes) -> list[bytes]:
    """What shows that the tree of `first` leaves is the beginning of that of `second` (RFC 9162, 2.1.4.1).

    Raises:
        ValueError: sizes out of order.
    """
    if not 0 < first <= second:
        raise ValueError(f"expected sizes with 0 < first <= second; received {first} and {second}")
    proof: list[bytes] = []
    low, high, is_whole = 0, second, True
    while first != high:
        middle = low + _split(high - low)
        if first <= middle:
            proof.append(_range_root(middle, high, hashes))
            high = middle
        else:
            proof.append(_range_root(low, middle, hashes))
            low, is_whole = middle, False
    if not is_whole:
        proof.append(_range_root(low, high, hashes))
    return proof[::-1]


def _split(count: int) -> int:
    """The largest power of two that is smaller."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_root(low: int, high: int, hashes: Hashes) -> bytes:
    """The root over the leaves from low to high, which is a subtree, or the ragged end of the tree."""
    level, width = 0, 1
    while high - low >= width * WIDTH and low % (width * WIDTH) == 0:
        level, width = level + 1, width * WIDTH
    whole = (high - low) // width
    nodes = list(hashes(level=level, first=low // width, count=whole))
    if (rest := low + whole * width) < high:
        # What is left over is narrower than a node of this level: it is a tree of its own, at the right end.
        return _joined(nodes, _range_root(rest, high, hashes))
    return _root_of(nodes)


def _joined(nodes: Sequence[bytes], rest: bytes) -> bytes:
    """The root over equal perfect subtrees and a smaller one after them."""
    if not nodes:
        return rest
    if len(nodes) == 1:
        return node_hash(nodes[0], rest)
    middle = _split(len(nodes) + 1)
    return node_hash(_root_of(nodes[:middle]), _joined(nodes[middle:], rest))


def _root_of(nodes: Sequence[bytes]) -> bytes:
    """The root over equal perfect subtrees."""
    frontier = Frontier()
    for node in nodes:
        frontier.append(node)
    return frontier.root()
