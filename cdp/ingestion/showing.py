"""How many showings of a banner one network may report. Each leaves a row that nobody can delete, and the key is public."""

from time import time
from typing import Final

from django.core.cache import cache
from redis.exceptions import ConnectionError, TimeoutError

from cdp.ingestion.accept import Busy
from cdp.logs import get_logger

log = get_logger(__name__)

SPAN_SECONDS: Final = 60
# A network (/24 or /48) may be a whole office, or a carrier's.
PER_NETWORK: Final = 600


def count_showing(network: str) -> None:
    """Nothing, for one that may be kept.

    Raises:
        Busy: there were too many; a choice that names none is still recorded, without what was shown.
    """
    name = f"banner:shown:{network}:{int(time() // SPAN_SECONDS)}"
    try:
        cache.add(name, 0, timeout=SPAN_SECONDS)
        count = cache.incr(name)
    except (ConnectionError, TimeoutError) as error:
        log.warning("showings_not_counted", reason=type(error).__name__)
        return
    except ValueError:  # the span ended between the two calls
        return
    if count > PER_NETWORK:
        raise Busy("too_many_showings", "Too many showings were reported from this network; come again in a minute.")
