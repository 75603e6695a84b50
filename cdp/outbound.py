"""HTTP requests to addresses that somebody entered: only to machines outside, each bounded in time and in size.

A name is resolved once, here, and judged; the connection then goes to the very address that was judged, so a name that
means another machine a moment later reaches nobody. Nothing is redirected, no proxy of the environment is asked, and what
TLS must prove is still the name. What is sent, and what an answer means, is the business of whoever sends.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotResolvedInTime
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import httpcore2
from django.conf import settings

from cdp.errors import DomainError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""Name and port → addresses as text. Raises OSError for a name that leads nowhere."""

LONGEST_URL: Final = 2000
USUAL_PORTS: Final = {"http": 80, "https": 443}
ANSWER_BYTES: Final = 64 * 1024
SECONDS: Final = 15.0
CONNECT_SECONDS: Final = 5.0
RESOLVERS: Final = 16

# What `is_global` calls global and yet may lead back inside: addresses that carry an IPv4 address within them, by way of a
# gateway that may stand in our own network, and what only one's own network knows.
NOT_OUTSIDE: Final = tuple(
    ipaddress.ip_network(one)
    for one in (
        "64:ff9b::/96",  # NAT64, RFC 6052
        "64:ff9b:1::/48",  # NAT64 of one's own, RFC 8215
        "2001::/32",  # Teredo, RFC 4380
        "2002::/16",  # 6to4, RFC 3056
        "192.88.99.0/24",  # relays of 6to4, RFC 7526
        "::/96",  # IPv4-compatible, RFC 4291
        "fec0::/10",  # site-local, RFC 3879
        "192.0.0.0/24",  # IETF protocol assignments, RFC 6890
        "168.63.129.16/32",  # the host's own services on Azure, a public number
    )
)
INNER_NAMES: Final = ("localhost", "local", "internal", "localdomain", "home.arpa", "intranet", "lan", "corp", "home")


class Refused(DomainError):
    """An address to which nothing is sent. The message names the rule, never what a name was resolved to."""


class Unreachable(Exception):
    """Nothing usable came back. ``why`` is one of a few words that may be shown and counted."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back: the status, headers in lower case, the first `ANSWER_BYTES` of the body, and whether there was more."""

    status: int
    headers: dict[str, str]
    body: bytes
    is_cut: bool
    ms: int


def checked_url(url: str, *, pointer: str = "/url") -> SplitResult:
    """The parts of a URL that something may be sent to, as far as that shows without asking for its name.

    Raises:
        Refused: with what is wrong with it.
    """

    def refused(code: str, message: str) -> Refused:
        return Refused(code, message, pointer)

    if not url.isascii() or len(url) > LONGEST_URL or any(ord(c) <= 32 or ord(c) == 127 or c == "\\" for c in url):
        raise refused(
            "url_malformed", f"An address is at most {LONGEST_URL} ASCII characters, without spaces or backslashes."
        )
    try:
        parts = urlsplit(url)
        port = parts.port or USUAL_PORTS.get(parts.scheme, 0)
    except ValueError:
        raise refused("url_malformed", "This is no address: expected https://host/path.") from None
    if parts.scheme not in USUAL_PORTS or not parts.hostname:
        raise refused("url_malformed", "This is no address: expected https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise refused("url_with_password", "An address can't hold a user name or password; use a header or a secret.")
    if parts.fragment:
        raise refused("url_with_fragment", "An address can't have a part after “#”: it would never be sent.")
    if is_trusted(parts.hostname):
        return parts
    if parts.scheme != "https":
        raise refused("url_not_https", "Personal data goes over https only.")
    if port < 1024 and port not in USUAL_PORTS.values():
        raise refused("url_port", f"Port {port} belongs to another service than HTTP.")
    _judge_name(parts.hostname, refused)
    return parts


def _judge_name(host: str, refused: Callable[[str, str], Refused]) -> None:
    inside = "This address lies inside a network; only addresses on the internet can be sent to."
    literal = _literal(host)
    if literal is not None:
        if not is_outside(literal):
            raise refused("url_inside", inside)
        return
    # What only looks like a number ("2130706433", "0x7f.1", "127.1") some resolvers read as an address.
    labels = host.rstrip(".").split(".")
    last = labels[-1].lower()
    if last.isdigit() or last.startswith("0x"):
        raise refused("url_malformed", "Write an IPv4 address as four numbers from 0 to 255.")
    if len(labels) == 1 or any(
        host.lower().rstrip(".") == name or host.lower().rstrip(".").endswith(f".{name}") for name in INNER_NAMES
    ):
        raise refused("url_inside", inside)


def is_outside(address: Address) -> bool:
    """Whether this address is on the internet and nowhere else. An IPv4 address in IPv6 clothes is judged as what it is."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if getattr(address, "scope_id", None):
        return False
    if any(address.version == network.version and address in network for network in NOT_OUTSIDE):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def is_trusted(host: str) -> bool:
    """Whether the operator lists this name, or this number's network, in ``CDP_OUTBOUND_ALLOW``: a receiver of their own, inside."""
    literal = _literal(host)
    for entry in settings.OUTBOUND_ALLOW:
        network = _network(entry)
        if network is None and literal is None and entry.lower() == host.lower():
            return True
        if network is not None and literal is not None and literal.version == network.version and literal in network:
            return True
    return False


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _network(entry: str) -> Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


_resolvers: ThreadPoolExecutor | None = None


def ask_system(host: str, port: int) -> list[str]:
    """The addresses that this machine's resolver gives. Asked in a thread: a resolver can't be told to hurry."""
    global _resolvers  # made by the process that uses it, after it was forked
    if _resolvers is None:
        _resolvers = ThreadPoolExecutor(RESOLVERS, thread_name_prefix="resolver")
    found = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        return [str(one[4][0]) for one in found.result(timeout=min(CONNECT_SECONDS, _left(CONNECT_SECONDS)))]
    except NotResolvedInTime:
        found.cancel()
        raise httpcore2.ConnectTimeout from None


# ---- Connecting to what was judged ---------------------------------------------------------------------------

_until: ContextVar[float] = ContextVar("until")


def _left(wanted: float | None) -> float:
    """The seconds that an operation may take, so that all of them together keep the request's time."""
    left = _until.get() - time.monotonic()
    return max(0.0, left if wanted is None else min(wanted, left))


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


class _Stream(httpcore2.NetworkStream):
    """A connection whose every operation ends when the time of the whole request does: an answer that drips is cut off."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self.inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = _left(timeout)
        if not left:
            raise httpcore2.ReadTimeout
        return self.inner.read(max_bytes, left)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        left = _left(timeout)
        if not left:
            raise httpcore2.WriteTimeout
        self.inner.write(buffer, left)

    def close(self) -> None:
        self.inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        return _Stream(self.inner.start_tls(ssl_context, server_hostname, _left(timeout) or 0.001))

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


def judged(host: str, port: int, *, resolve: Resolve, pointer: str = "/url") -> list[str]:
    """The addresses of this name, each of which may be connected to.

    Raises:
        OSError: it leads nowhere.
        Refused: it leads inside a network.
    """
    literal = _literal(host)
    found = [str(literal)] if literal is not None else list(dict.fromkeys(resolve(host, port)))
    if is_trusted(host):
        return found
    # One address inside among others outside is refused as a whole: whoever answers so is up to something.
    if not all(
        (one := _literal(address)) is not None and (is_outside(one) or is_trusted(address)) for address in found
    ):
        raise Refused(
            "address_inside",
            "This name leads inside a network; only addresses on the internet can be sent to.",
            pointer,
        )
    return found


def check_host(host: str, port: int, *, own_port: int, pointer: str) -> None:
    """Whether something other than HTTP may be spoken with this machine, as far as that shows without asking for its name.

    Args:
        own_port: the protocol's; of the others, those below 1024 belong to somebody else.

    Raises:
        Refused: with what is wrong with it.
    """

    def refused(code: str, message: str) -> Refused:
        return Refused(code, message, pointer)

    if (
        not host
        or not host.isascii()
        or len(host) > 253
        or any(ord(c) <= 32 or ord(c) == 127 or c in "\\/@?#" for c in host)
    ):
        raise refused("host_malformed", "A host is a name like files.example.com, or an address.")
    if is_trusted(host):
        return
    if port < 1024 and port != own_port:
        raise refused("port_of_another", f"Port {port} belongs to another service.")
    _judge_name(host, refused)


def connected(
    host: str, port: int, *, own_port: int, seconds: float = CONNECT_SECONDS, resolve: Resolve = ask_system
) -> socket.socket:
    """A connection to the machine of this name, at an address that was judged; for protocols other than HTTP.

    Raises:
        Refused: nothing is sent there.
        Unreachable: nobody took it.
    """
    check_host(host, port, own_port=own_port, pointer="/host")
    with _within(seconds):
        try:
            addresses = judged(host, port, resolve=resolve, pointer="/host")
        except httpcore2.ConnectTimeout:
            raise Unreachable("took_too_long") from None
        except (OSError, UnicodeError):
            raise Unreachable("not_connected") from None
        why = "not_connected"
        for address in addresses:
            try:
                return socket.create_connection((address, port), timeout=_left(seconds) or 0.001)
            except TimeoutError:
                why = "took_too_long"
            except OSError:
                why = "not_connected"
    raise Unreachable(why)


class _Judging(httpcore2.NetworkBackend):
    """Connects to addresses that it has judged, and to no name."""

    def __init__(self, resolve: Resolve) -> None:
        self.resolve = resolve
        self.inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        failed: Exception = httpcore2.ConnectError("no address")
        for address in self._judged(host, port):
            try:
                return _Stream(
                    self.inner.connect_tcp(address, port, _left(timeout) or 0.001, local_address, socket_options)
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore2.NetworkStream:
        raise httpcore2.ConnectError("sockets of this machine are never connected to")

    def _judged(self, host: str, port: int) -> list[str]:
        try:
            return judged(host, port, resolve=self.resolve)
        except (OSError, UnicodeError):
            raise httpcore2.ConnectError("not resolved") from None


class Outbound:
    """Sends requests; one for a process, for any number of threads. Connections are kept open between requests."""

    def __init__(
        self, *, resolve: Resolve = ask_system, ssl_context: ssl.SSLContext | None = None, connections: int = 100
    ) -> None:
        context = ssl_context or ssl.create_default_context(cafile=settings.OUTBOUND_CA_FILE or None)
        self._pool = httpcore2.ConnectionPool(
            ssl_context=context,
            max_connections=connections,
            max_keepalive_connections=connections,
            keepalive_expiry=30,
            network_backend=_Judging(resolve),
        )

    def close(self) -> None:
        self._pool.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        content: bytes | Iterator[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        seconds: float = SECONDS,
        pause: float | None = None,
    ) -> Answer:
        """The answer, whatever its status; a redirect is an answer like others.

        Args:
            seconds: for all of it: finding the name, connecting, sending, and reading.
            pause: for which nothing may move; as long as all of it without one.

        Raises:
            Refused: nothing is sent to this address.
            Unreachable: no answer came, or it took too long.
        """
        checked_url(url)
        began = time.monotonic()
        sent = {"User-Agent": settings.OUTBOUND_USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
        limits = dict.fromkeys(("pool", "read", "write"), min(seconds, pause or seconds)) | {
            "connect": min(seconds, CONNECT_SECONDS)
        }
        with (
            _within(seconds),
            _said_plainly(),
            self._pool.stream(
                method,
                url,
                headers=list(sent.items()),
                content=content,
                extensions={"timeout": limits},
            ) as response,
        ):
            body, is_cut = _start_of(response)
            return Answer(
                status=response.status,
                headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers},
                body=body,
                is_cut=is_cut,
                ms=round((time.monotonic() - began) * 1000),
            )


def _start_of(response: httpcore2.Response) -> tuple[bytes, bool]:
    """The body's first `ANSWER_BYTES`, and whether there is more; that is never read, and its connection is closed."""
    body = bytearray()
    for piece in response.iter_stream():
        body += piece
        if len(body) > ANSWER_BYTES:
            return bytes(body[:ANSWER_BYTES]), True
    return bytes(body), False


@contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except (httpcore2.TimeoutException, TimeoutError):
        raise Unreachable("took_too_long") from None
    except ssl.SSLError:
        raise Unreachable("certificate") from None
    except httpcore2.ConnectError as error:
        cause = error.__cause__ or error.__context__
        raise Unreachable("certificate" if isinstance(cause, ssl.SSLError) else "not_connected") from None
    except (httpcore2.NetworkError, httpcore2.ProtocolError, OSError):
        raise Unreachable("broke_off") from None
