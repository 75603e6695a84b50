"""Origins as people write them."""

import time

import pytest
from django.forms import ValidationError

from cdp.ingestion.origins import MOST, OriginsField

FIELD = OriginsField(required=False)


@pytest.mark.parametrize(
    ("written", "origins"),
    [
        ("", []),
        ("  \n ", []),
        ("https://shop.example", ["https://shop.example"]),
        ("https://Shop.Example/\r\nhttps://shop.example:443, http://x.example:80", ["https://shop.example", "http://x.example"]),
        ("http://localhost:3000\nhttp://[::1]:8000", ["http://localhost:3000", "http://[::1]:8000"]),
        ("capacitor://localhost", ["capacitor://localhost"]),
        ("https://shop.example:8443", ["https://shop.example:8443"]),
    ],
)  # fmt: skip
def test_they_become_what_browsers_send(written: str, origins: list[str]) -> None:
    assert FIELD.clean(written) == origins
    assert FIELD.clean(FIELD.prepare_value(origins)) == origins
    assert not FIELD.has_changed(origins, "\r\n".join(origins))


NONE = ["shop.example", "https://shop.example/path", "https://", "*", "null", "https://a b", "https://ü.example"]


@pytest.mark.parametrize("written", NONE)
def test_what_is_none_is_named(written: str) -> None:
    with pytest.raises(ValidationError, match="is no origin"):
        FIELD.clean(written)


def test_what_is_pasted_by_mistake_is_refused_at_once() -> None:
    began = time.thread_time()
    assert FIELD.clean("," * 100_000) == []
    for written in ("x," * 50_000, "https://" + "a" * 100_000, "a:" * 50_000, "x@a" + ".a" * 50_000):
        with pytest.raises(ValidationError) as refused:
            FIELD.clean(written)
        assert len(str(refused.value)) < 200
    assert time.thread_time() - began < 1
    assert FIELD.clean("\n".join(f"https://{n}.example" for n in range(MOST)))
    with pytest.raises(ValidationError, match="50 origins at most; these are 51"):
        FIELD.clean("\n".join(f"https://{n}.example" for n in range(MOST + 1)))
