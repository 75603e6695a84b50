"""Global Privacy Control and Do Not Track, as browsers send them, and the document that says we honour the first.

Source: W3C, "Global Privacy Control (GPC)": the header `Sec-GPC` has one valid value, "1"; a site says at
`/.well-known/gpc.json` whether it acts on it. What an opt-out takes away is in `meaning`.
"""

from dataclasses import dataclass
from datetime import date

WELL_KNOWN = "/.well-known/gpc.json"
_SAID_OF_TRACKING = frozenset({"0", "1", "null"})


@dataclass(frozen=True, slots=True)
class BrowserSignal:
    """What a browser asked for with one request.

    Args:
        opts_out: of sale, sharing and targeted advertising; by Global Privacy Control.
        do_not_track: the value of the header `DNT`, if it is one of those it can have. For the record: browsers set it
            without asking, its standard was given up in 2019, and nothing follows from it.
    """

    opts_out: bool
    do_not_track: str | None = None


def read(sec_gpc: str | None, dnt: str | None = None) -> BrowserSignal:
    """What the two headers say.

    Args:
        sec_gpc: the value of `Sec-GPC` as it came; only "1" means anything, and its absence, or another value, is no consent.
        dnt: the value of `DNT` as it came.
    """
    return BrowserSignal(sec_gpc == "1", dnt if dnt in _SAID_OF_TRACKING else None)


def document(last_update: date) -> dict[str, bool | str]:
    """The content of `/.well-known/gpc.json`, for a site that honours the signal.

    Args:
        last_update: the day on which the site's stance last changed, not today.
    """
    return {"gpc": True, "lastUpdate": last_update.isoformat()}
