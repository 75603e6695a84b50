"""How many requests one caller may make. Counted in Valkey; while that is away nobody is held back."""

import math
import time
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from django.core.cache import cache
from django.core.cache.backends.redis import RedisCacheClient
from redis import Redis
from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from cdp.logs import get_logger
from cdp.rest.models import ApiKey

if TYPE_CHECKING:  # DRF reads this module while it makes its views
    from rest_framework.views import APIView

log = get_logger(__name__)

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parsed_rate(rate: str) -> tuple[int, int]:
    """(requests, seconds) of a rate such as ``1200/min``."""
    number, _, period = rate.partition("/")
    return int(number), SECONDS[period[:1]]


# One more, which ends with its span. A script is one command, so none is counted without an end.
COUNT: Final = (
    "local n = redis.call('INCR', KEYS[1]) if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end return n"
)
# Django would make a client for each command, which takes longer than the command.
_clients: WeakKeyDictionary[RedisCacheClient, Redis] = WeakKeyDictionary()


def _valkey() -> Redis | None:
    """A client on the cache's own connections; None where the cache is no Valkey."""
    backend = getattr(cache, "_cache", None)
    if not isinstance(backend, RedisCacheClient):
        return None
    if (client := _clients.get(backend)) is None:
        client = _clients[backend] = backend.get_client(None, write=True)
    return client


class PerKeyThrottle(BaseThrottle):
    """So many requests per API key, person or (for who has neither) address, in each fixed span of time.

    A count per span is one atomic increment, however many processes answer; DRF's own throttle reads and writes the
    times of all requests.

    Attributes:
        told: headers for the answer; none while nothing is counted.
    """

    def __init__(self) -> None:
        self.told: dict[str, str] = {}

    def allow_request(self, request: Request, view: "APIView") -> bool:
        limit, self.span_seconds = parsed_rate(str(api_settings.DEFAULT_THROTTLE_RATES["per_key"]))
        span = int(time.time() // self.span_seconds)
        name = f"rate:{self._caller(request)}:{span}"
        try:
            made = self._count(name)
        except RedisError as error:  # away, full, or a store that lets nobody run scripts
            log.warning("requests_not_counted", reason=type(error).__name__)
            return True
        except ValueError:  # the span ended between the two calls
            return True
        self.told = {
            "RateLimit-Limit": str(limit),
            "RateLimit-Remaining": str(max(0, limit - made)),
            "RateLimit-Reset": str(self.wait()),
        }
        return made <= limit

    def _count(self, name: str) -> int:
        if (client := _valkey()) is not None:
            return int(client.eval(COUNT, 1, cache.make_key(name), self.span_seconds))
        try:
            return int(cache.incr(name))
        except ValueError:  # nobody has asked in this span
            cache.add(name, 0, timeout=self.span_seconds)
            return int(cache.incr(name))

    def wait(self) -> int:
        """Whole seconds until the next span begins."""
        return math.ceil(self.span_seconds - time.time() % self.span_seconds)

    @staticmethod
    def _caller(request: Request) -> str:
        if isinstance(request.auth, ApiKey):
            return f"key:{request.auth.pk}"
        if request.user is not None and request.user.is_authenticated:
            return f"user:{request.user.pk}"
        return f"address:{request.META.get('REMOTE_ADDR', '')}"
