"""Waiting for changes within a request: some at a time, so that who waits doesn't keep out who works."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

# Of the threads that a web process answers with; granian is started with four.
MOST_WAITING: Final = 2
LOOK_SECONDS: Final = 0.1
_places = threading.BoundedSemaphore(MOST_WAITING)


@contextmanager
def place() -> Iterator[bool]:
    """Whether there is a place to wait, kept while the block runs."""
    has_place = _places.acquire(blocking=False)
    try:
        yield has_place
    finally:
        if has_place:
            _places.release()


def wait_until(is_there: Callable[[], bool], *, seconds: float) -> bool:
    """Whether it came within this time."""
    end = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() >= end:
            return False
        time.sleep(min(LOOK_SECONDS, max(0.0, end - time.monotonic())))
    return True
