"""The limits of an API key, read and checked: for which purposes, from where, until when. What it may do are its scopes."""

from collections.abc import Sequence
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from django.apps import apps
from django.utils import timezone

from cdp.errors import DomainError

MOST_NETWORKS = 50


def allows(networks: Sequence[str], address: str) -> bool:
    """Whether the address lies in one of these networks. Without any everybody is let in; an unreadable address only then."""
    if not networks:
        return True
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if found.version == 6 and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in ip_network(network) for network in networks)


def read_networks(given: Sequence[str]) -> list[str]:
    """The networks as they are kept: each once, a single address as the network of itself.

    Raises:
        DomainError: one is no network, or there are too many.
    """
    if len(given) > MOST_NETWORKS:
        raise DomainError("too_many_networks", f"An API key has at most {MOST_NETWORKS} networks.", "/networks")
    found: dict[str, None] = {}
    for position, text in enumerate(given):
        try:
            found[str(ip_network(text.strip()))] = None
        except ValueError:
            raise DomainError(
                "network_unreadable",
                f"{text[:60]!r} is no network: write it like 203.0.113.0/24 or 2001:db8::/32, without bits beyond its length.",
                f"/networks/{position}",
            ) from None
    return list(found)


def lie_within(networks: Sequence[str], outer: Sequence[str]) -> bool:
    """Whether these let nobody in whom the outer ones keep out."""
    if not outer:
        return True
    around = [ip_network(one) for one in outer]
    return bool(networks) and all(any(_is_inside(ip_network(one), other) for other in around) for one in networks)


def _is_inside(network: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(network, IPv4Network) and isinstance(other, IPv4Network):
        return network.subnet_of(other)
    return isinstance(network, IPv6Network) and isinstance(other, IPv6Network) and network.subnet_of(other)


def read_purposes(given: Sequence[str]) -> list[str]:
    """The keys of purposes, in order and each once.

    Raises:
        DomainError: there is no such purpose.
    """
    # By name: purposes belong to an app above this one.
    known = set(apps.get_model("consent", "Purpose").objects.values_list("key", flat=True)) if given else set()
    if set(given) - known:
        raise DomainError("purpose_unknown", f"purposes are some of {', '.join(sorted(known))}.", "/purposes")
    return sorted(set(given))


def read_expiry(given: datetime | None) -> datetime | None:
    """The moment, if it lies ahead.

    Raises:
        DomainError: it is over.
    """
    if given is not None and given <= timezone.now():
        raise DomainError("expiry_past", "An API key ends in the future; to end it at once, revoke it.", "/expires_at")
    return given
