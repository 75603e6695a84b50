"""An act as bytes that never change: canonical JSON (RFC 8785), which is stored, hashed and signed as it is.

Pure. What the verifier reads of it stands in `cdp.audit.verify`.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import rfc8785

from cdp.audit.verify import COLUMNS, moment_text

# Beyond these two programs may read a JSON number as two different ones.
MOST_EXACT: Final = 2**53 - 1
VERSION: Final = "1"


def told(value: Any) -> Any:
    """The value as envelopes can hold it: large integers and decimals as text.

    Raises:
        TypeError: it has something that JSON doesn't, such as NaN, or a name that is no text.
    """
    match value:
        case None | bool():
            return value
        case str():
            # Members of an enumeration are text; here they become plain text.
            return str.__str__(value)
        case int():
            return value if -MOST_EXACT <= value <= MOST_EXACT else str(int(value))
        case float() if isfinite(value):
            return value
        case Decimal() if value.is_finite():
            return str(value)
        case Mapping():
            if any(not isinstance(name, str) for name in value):
                raise TypeError("names in an audit entry are text")
            return {str(name): told(inner) for name, inner in value.items()}
        case list() | tuple():
            return [told(inner) for inner in value]
        case _:
            raise TypeError(f"an audit entry can't hold {type(value).__name__}, nor a number that isn't one")


def envelope(columns: Mapping[str, Any]) -> bytes:
    """The bytes of an entry with these columns; `detail` as `told` gives it."""
    moment = columns["recorded_at"]
    assert isinstance(moment, datetime)
    said = {name: columns[name] for name in COLUMNS} | {"v": VERSION, "recorded_at": moment_text(moment)}
    return rfc8785.dumps(said)
