"""Requests to addresses that somebody entered reach machines outside and nobody else, and end in time.

Receivers here are real servers on the loopback; a resolver of the test's says which names lead to them, and the operator's
list, where a test wants one reached. Whether something connected is asked of the server, not of the client.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from cdp.outbound import ANSWER_BYTES, Outbound, Refused, Unreachable, checked_url, is_outside

INSIDE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",  # noqa: S104
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16", "192.88.99.1",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b:1::1", "2001::7f00:1", "2002:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1",
    "ff02::1", "2001:db8::1",
]  # fmt: skip


class Receiver:
    """A server that answers each connection with the same bytes, and counts them."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.answer, self.heard = answer, list[bytes]()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with closing(connection):
                self.heard.append(connection.recv(65536))
                try:
                    self.answer(connection)
                except OSError:
                    continue  # whoever asked went away


def said(text: bytes, *, status: bytes = b"200 OK", more: bytes = b"") -> Callable[[socket.socket], None]:
    head = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%sConnection: close\r\n\r\n" % (status, len(text), more)
    return lambda connection: connection.sendall(head + text)


@pytest.fixture
def receiver() -> Iterator[Callable[[Callable[[socket.socket], None]], Receiver]]:
    made: list[Receiver] = []

    def make(answer: Callable[[socket.socket], None]) -> Receiver:
        made.append(Receiver(answer))
        return made[-1]

    yield make
    for one in made:
        one.listener.close()


@pytest.fixture
def outbound() -> Iterator[Outbound]:
    client = Outbound()
    yield client
    client.close()


@pytest.fixture
def trusted(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]


@pytest.mark.parametrize("address", INSIDE)
def test_no_inner_address_is_outside(address: str) -> None:
    assert not is_outside(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_on_the_internet_are_outside(address: str) -> None:
    assert is_outside(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", [one for one in INSIDE if "%" not in one])
def test_an_inner_address_is_refused_when_it_is_entered(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused) as refused:
        checked_url(f"https://{host}/hook")
    assert refused.value.code == "url_inside"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("https://2130706433/", "url_malformed"),
        ("https://0x7f000001/", "url_malformed"),
        ("https://0177.0.0.1/", "url_malformed"),
        ("https://127.1/", "url_malformed"),
        ("https://localhost/", "url_inside"),
        ("https://a.localhost/", "url_inside"),
        ("https://metadata.google.internal/", "url_inside"),
        ("https://printer.local./", "url_inside"),
        ("https://intranet/", "url_inside"),
        ("http://hooks.example.com/", "url_not_https"),
        ("ftp://hooks.example.com/", "url_malformed"),
        ("file:///etc/passwd", "url_malformed"),
        ("https://hooks.example.com:22/", "url_port"),
        ("https://hooks.example.com:99999/", "url_malformed"),
        ("https://me:secret@hooks.example.com/", "url_with_password"),
        ("https://hooks.example.com/#here", "url_with_fragment"),
        ("https://hooks.example.com\\@127.0.0.1/", "url_malformed"),
        ("https://hooks.example.com/\r\nHost: 127.0.0.1", "url_malformed"),
        ("https://[::1", "url_malformed"),
        ("https:///hook", "url_malformed"),
        ("https://example.com/" + "x" * 2000, "url_malformed"),
    ],
)
def test_what_is_no_address_outside_says_why(url: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        checked_url(url)
    assert refused.value.code == code
    assert refused.value.pointer == "/url"


@pytest.mark.parametrize(
    "url", ["https://hooks.example.com/a?b=c", "https://hooks.example.com:8443/", "https://8.8.8.8/"]
)
def test_an_address_outside_is_taken(url: str) -> None:
    assert checked_url(url).geturl() == url


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_a_name_that_leads_inside_is_never_connected_to(receiver, address: str) -> None:  # type: ignore[no-untyped-def]
    server = receiver(said(b"inside"))
    client = Outbound(resolve=lambda host, port: [address])
    with pytest.raises(Refused) as refused:
        client.send("POST", f"https://hooks.example.com:{server.port}/")
    assert refused.value.code == "address_inside" and address not in str(refused.value)
    assert server.heard == []


def test_one_inner_address_among_others_refuses_the_name(receiver) -> None:  # type: ignore[no-untyped-def]
    server = receiver(said(b"inside"))
    client = Outbound(resolve=lambda host, port: ["8.8.8.8", "127.0.0.1"])
    with pytest.raises(Refused):
        client.send("POST", f"https://hooks.example.com:{server.port}/")
    assert server.heard == []


def test_a_name_is_connected_to_as_it_was_judged_though_it_means_another_machine_by_then(
    receiver, settings: Any
) -> None:  # type: ignore[no-untyped-def]
    """DNS rebinding: one that may be reached when it is judged, an inner one when it is connected to. There is no second look."""
    settings.OUTBOUND_ALLOW = ["127.0.0.2"]
    inner, answers = receiver(said(b"inside")), iter([["127.0.0.2"], ["127.0.0.1"]])
    looked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        looked.append(host)
        return next(answers)

    client = Outbound(resolve=resolve)
    with pytest.raises(Unreachable) as missed:
        client.send("POST", f"https://hooks.example.com:{inner.port}/", seconds=2)
    assert missed.value.why == "not_connected", "nobody listens on 127.0.0.2"
    with pytest.raises(Refused):
        client.send("POST", f"https://hooks.example.com:{inner.port}/", seconds=2)
    assert len(looked) == 2, "one look for each request"
    assert inner.heard == []


def test_a_receiver_inside_is_reached_where_the_operator_lists_it(trusted: None, outbound: Outbound, receiver) -> None:  # type: ignore[no-untyped-def]
    server = receiver(said(b"thanks", more=b"X-Seen: yes\r\n"))
    answer = outbound.send("POST", f"http://127.0.0.1:{server.port}/hook?a=1", content=b"{}", headers={"X-Id": "7"})
    assert (answer.status, answer.body, answer.is_cut, answer.headers["x-seen"]) == (200, b"thanks", False, "yes")
    assert server.heard[0].startswith(b"POST /hook?a=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % server.port)
    assert b"X-Id: 7\r\n" in server.heard[0]


def test_a_listed_name_is_trusted_and_its_neighbours_are_not(settings: Any, receiver) -> None:  # type: ignore[no-untyped-def]
    settings.OUTBOUND_ALLOW = ["crm.internal"]
    server = receiver(said(b"ok"))
    client = Outbound(resolve=lambda host, port: ["127.0.0.1"])
    assert client.send("POST", f"http://crm.internal:{server.port}/").status == 200
    with pytest.raises(Refused):
        client.send("POST", f"http://other.internal:{server.port}/")


def test_a_redirect_is_an_answer_and_is_not_followed(trusted: None, outbound: Outbound, receiver) -> None:  # type: ignore[no-untyped-def]
    target = receiver(said(b"secret"))
    server = receiver(said(b"", status=b"302 Found", more=b"Location: http://127.0.0.1:%d/\r\n" % target.port))
    assert outbound.send("POST", f"http://127.0.0.1:{server.port}/").status == 302
    assert target.heard == []


def test_proxies_of_the_environment_are_not_asked(trusted, outbound, receiver, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    proxy, server = receiver(said(b"proxied")), receiver(said(b"direct"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert outbound.send("GET", f"http://127.0.0.1:{server.port}/").body == b"direct"
    assert proxy.heard == []


def test_a_long_answer_is_read_to_its_limit(trusted: None, outbound: Outbound, receiver) -> None:  # type: ignore[no-untyped-def]
    server = receiver(said(b"x" * (ANSWER_BYTES * 3)))
    answer = outbound.send("GET", f"http://127.0.0.1:{server.port}/")
    assert answer.is_cut and len(answer.body) == ANSWER_BYTES


def test_an_answer_that_drips_ends_when_its_time_is_over(trusted: None, outbound: Outbound, receiver) -> None:  # type: ignore[no-untyped-def]
    stopped = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while not stopped.wait(0.05):
            connection.sendall(b"X-More: and more\r\n")

    server = receiver(drip)
    with pytest.raises(Unreachable) as missed:
        outbound.send("GET", f"http://127.0.0.1:{server.port}/", seconds=0.4)
    stopped.set()
    assert missed.value.why == "took_too_long"


def test_a_closed_door_and_a_broken_answer_are_told_apart(trusted: None, outbound: Outbound, receiver) -> None:  # type: ignore[no-untyped-def]
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(Unreachable) as missed:
        outbound.send("GET", f"http://127.0.0.1:{port}/", seconds=1)
    assert missed.value.why == "not_connected"
    server = receiver(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))
    with pytest.raises(Unreachable) as missed:
        outbound.send("GET", f"http://127.0.0.1:{server.port}/", seconds=1)
    assert missed.value.why == "broke_off"


def test_who_cannot_prove_their_name_is_not_talked_to(trusted: None, outbound: Outbound, receiver) -> None:  # type: ignore[no-untyped-def]
    server = receiver(said(b"plain"))
    with pytest.raises(Unreachable):
        outbound.send("GET", f"https://127.0.0.1:{server.port}/", seconds=1)
    assert b"GET" not in server.heard[0], "only the start of TLS was seen, none of the request"
