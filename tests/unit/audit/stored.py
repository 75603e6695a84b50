"""A tree of which all hashes are in memory, as the database keeps them."""

from collections.abc import Sequence

from cdp.audit.tree import full_nodes, root_of
from cdp.audit.verify import Frontier, leaf_hash


class Stored:
    """Grows by chunks; remembers leaves and full nodes, and refuses to be asked for what it doesn't have."""

    def __init__(self) -> None:
        self.levels: dict[int, list[bytes]] = {0: []}
        self.frontier = Frontier()
        self.asked = 0

    def __call__(self, *, level: int, first: int, count: int) -> Sequence[bytes]:
        found = self.levels.get(level, [])[first : first + count]
        assert len(found) == count, "asked for hashes that aren't stored"
        self.asked += count
        return found

    @property
    def size(self) -> int:
        return len(self.levels[0])

    def append(self, envelopes: Sequence[bytes]) -> None:
        leaves = [leaf_hash(one) for one in envelopes]
        for node in list(full_nodes(size=self.size, leaves=leaves, hashes=self)):
            level = self.levels.setdefault(node.level, [])
            assert node.index == len(level)
            level.append(node.hash)
        self.levels[0] += leaves
        for leaf in leaves:
            self.frontier.append(leaf)

    def root(self) -> bytes:
        return root_of(self.size, self)
