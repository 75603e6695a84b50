"""How often links may be tried: bad ones per network, writing per link, letters per person. Counted in Valkey; while that is away
nobody is held.

A good link isn't counted per network: the mail programs of thousands of people unsubscribe from a few addresses of their maker.
"""

from time import time
from typing import Final
from uuid import UUID

from django.core.cache import cache
from redis.exceptions import ConnectionError, TimeoutError

from cdp.logs import get_logger

log = get_logger(__name__)

SPAN_SECONDS: Final = 300
# A network (/24 or /48) may be a whole office in which a newsletter with broken links was read.
BAD_PER_NETWORK: Final = 60
USES_PER_LINK: Final = 60
# Whoever has somebody's link could fill their letter box.
LETTERS_PER_PERSON, LETTERS_SECONDS = 5, 3600


def is_held(network: str) -> bool:
    """Whether so many bad links came from there that none is looked at for a while."""
    try:
        return int(cache.get(_bad(network)) or 0) >= BAD_PER_NETWORK
    except (ConnectionError, TimeoutError) as error:
        log.warning("links_not_counted", reason=type(error).__name__)
        return False


def bad_link(network: str) -> None:
    _count(_bad(network))


def is_overused(named: UUID) -> bool:
    """Whether one link has been opened and used so often that it must wait. Each showing leaves a row for ever."""
    return _count(f"links:used:{named.hex}:{_span()}") > USES_PER_LINK


def is_written_to(person: UUID) -> bool:
    """Whether they were sent so many letters within the hour that the next one must wait."""
    hour = int(time() // LETTERS_SECONDS)
    return _count(f"links:letters:{person.hex}:{hour}", seconds=LETTERS_SECONDS) > LETTERS_PER_PERSON


def seconds_left() -> int:
    """Until the next span begins."""
    return int(SPAN_SECONDS - time() % SPAN_SECONDS) + 1


def _count(name: str, *, seconds: int = SPAN_SECONDS) -> int:
    try:
        cache.add(name, 0, timeout=seconds)
        return cache.incr(name)
    except (ConnectionError, TimeoutError) as error:
        log.warning("links_not_counted", reason=type(error).__name__)
        return 0
    except ValueError:  # the span ended between the two calls
        return 1


def _bad(network: str) -> str:
    return f"links:bad:{network}:{_span()}"


def _span() -> int:
    return int(time() // SPAN_SECONDS)
