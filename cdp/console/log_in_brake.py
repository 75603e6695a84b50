"""Slows guessing of passwords: after so many refused log-ins to one account, or from one network, none is tried for a while.

Counted in Valkey; while that is away nobody is held back. Who logs in, and what of it is audited, is in `cdp.admin_site`.
"""

import unicodedata
from dataclasses import dataclass
from time import time
from typing import Final

from django.core.cache import cache
from django.utils.crypto import salted_hmac
from redis.exceptions import ConnectionError, TimeoutError

from cdp.logs import get_logger

log = get_logger(__name__)

SPAN_SECONDS: Final = 300
# Enough for somebody who mistypes; a guesser gets 2,880 tries a day.
PER_ACCOUNT: Final = 10
# A network (/24 or /48) may be a whole office behind one address.
PER_NETWORK: Final = 50


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try, counted before the password is looked at: so many at once can't slip past together."""

    names: tuple[str, ...]
    is_held: bool
    # Whether it is the first that this span holds back: one entry in the audit log is enough.
    is_first_held: bool

    def succeeded(self) -> None:
        """Takes the try back, and forgets the account's refused ones."""
        account, network = self.names
        try:
            cache.delete(account)
            cache.decr(network)
        except (ConnectionError, TimeoutError) as error:
            log.warning("log_ins_not_counted", reason=type(error).__name__)
        except ValueError:
            pass  # the span ended meanwhile


def attempt(*, account: str, network: str) -> Attempt:
    """The try, on its way to the password unless it is held."""
    span = int(time() // SPAN_SECONDS)
    # As the log-in form itself reads it, or a full-width “ａdmin” would be another count for the same account.
    meant = unicodedata.normalize("NFKC", account).strip().casefold()
    # What was typed as an account may be a mistyped password, so it is kept as little as in the audit log.
    hidden = salted_hmac("log-in", meant.encode(errors="replace"), algorithm="sha256").hexdigest()[:32]
    names = (f"log-in:account:{hidden}:{span}", f"log-in:network:{network}:{span}")
    try:
        over = [_counted(name) - limit for name, limit in zip(names, (PER_ACCOUNT, PER_NETWORK), strict=True)]
    except (ConnectionError, TimeoutError) as error:
        log.warning("log_ins_not_counted", reason=type(error).__name__)
        over = [0]
    return Attempt(names=names, is_held=max(over) > 0, is_first_held=max(over) == 1)


def _counted(name: str) -> int:
    cache.add(name, 0, timeout=SPAN_SECONDS)
    try:
        return cache.incr(name)
    except ValueError:  # the span ended between the two calls
        return 1


def seconds_left() -> int:
    """Until the next try is looked at again."""
    return int(SPAN_SECONDS - time() % SPAN_SECONDS) + 1
