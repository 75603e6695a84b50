"""Keeps tests on this machine: a connection that Python opens to anywhere else is an error.

A guard against accidents, not a sandbox: libraries in C (libpq) and child processes are not seen.
"""

import ipaddress
import sys
from typing import Any

_allowed_hosts: set[str] = {"localhost", ""}


class OutsideConnection(RuntimeError):
    """A test tried to reach another machine."""


def stay_on_this_machine(*, but: str | None = None) -> None:
    """Refuses outside connections from now on, but for one host (a Valkey that the environment names)."""
    if but:
        _allowed_hosts.add(but)
    # An audit hook rather than a patched socket: nothing of ours is replaced, and nothing can slip past it.
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
    elif event == "socket.getaddrinfo":
        host = (arguments[0] or b"").decode() if isinstance(arguments[0], bytes) else str(arguments[0] or "")
    else:
        return
    if host not in _allowed_hosts and not _is_loopback(host):
        raise OutsideConnection(f"a test reached out to {host!r}; tests use this machine only")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False
