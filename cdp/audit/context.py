"""What surrounds an act without being handed through every call: the request's id."""

from contextvars import ContextVar
from ipaddress import ip_address

request_id_var: ContextVar[str] = ContextVar("request_id", default="")


def ip_prefix(address: str | None) -> str:
    """The network an address belongs to (/24 or /48): enough to see a pattern, too little to single a person out."""
    try:
        ip = ip_address(address or "")
    except ValueError:
        return ""
    kept = 3 if ip.version == 4 else 6
    packed = ip.packed[:kept] + bytes(len(ip.packed) - kept)
    return f"{ip_address(packed)}/{24 if ip.version == 4 else 48}"
