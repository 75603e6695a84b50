"""Several workers at once, each on a thread with a database connection of its own, as consumers and workers have."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

from django.db import connections

Work = Callable[[], None]


class Crew:
    """Threads that keep their connections from one round to the next."""

    def __init__(self, size: int, pool: ThreadPoolExecutor) -> None:
        self.size, self.pool = size, pool

    def race(self, works: Sequence[Work]) -> None:
        """Does all of it at once, begun at the same moment; raises what the first of them raised."""
        assert len(works) <= self.size, "each needs a thread, or the barrier never opens"
        start = Barrier(len(works))

        def run(work: Work) -> None:
            start.wait(30)
            work()

        for future in [self.pool.submit(run, work) for work in works]:
            future.result(120)


@contextmanager
def crew(size: int) -> Iterator[Crew]:
    with ThreadPoolExecutor(size) as pool:
        members = Crew(size, pool)
        try:
            yield members
        finally:
            members.race([connections.close_all] * size)


def seeded(name: str, number: int) -> random.Random:
    """Chance that comes again: a failing round is named by its number."""
    return random.Random(f"{name} {number}")
