"""Origins whose pages may send with a browser's key, as people write them: one on each line. How they are compared is in `keys`."""

import re
from typing import Any, Final

from django import forms

MOST: Final = 50
# What browsers send: a scheme, a host in small letters, and a port where it isn't the usual one; no path.
ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]{0,30}://([a-z0-9_.-]{1,180}|\[[0-9a-f:.]{2,45}\])(:[0-9]{1,5})?")
USUAL_PORTS: Final = {"http": ":80", "https": ":443"}


class OriginsField(forms.CharField):
    """A list of origins, without repetition, in the way in which browsers write them.

    Each is looked at only when there aren't too many, and only the first that is none is named: what is pasted by mistake
    may be long.
    """

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": "https://shop.example"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> list[str]:  # type: ignore[override]
        written = (super().to_python(value) or "").replace(",", " ").split()
        if len(written) > MOST:
            raise forms.ValidationError(f"{MOST} origins at most; these are {len(written):,}.")
        return list(dict.fromkeys(self._origin(one) for one in written))

    def _origin(self, written: str) -> str:
        origin = written.lower().rstrip("/")
        if not ORIGIN.fullmatch(origin):
            shown = written if len(written) <= 60 else f"{written[:60]}…"
            raise forms.ValidationError(f"“{shown}” is no origin. Write it as https://shop.example, without a path.")
        scheme = origin.partition("://")[0]
        return origin.removesuffix(USUAL_PORTS.get(scheme, " "))
