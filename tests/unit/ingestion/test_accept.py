"""Before anything is kept: sizes, packing, JSON, and the write key in each of its forms."""

import base64
import gzip
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.errors import DomainError
from cdp.ingestion.accept import gunzip, mended, peek
from cdp.ingestion.keys import Sender, key_in_header
from cdp.ingestion.limits import BATCH_LIMIT, EVENT_LIMIT


def refused(endpoint: str, body: bytes) -> str:
    with pytest.raises(DomainError) as error:
        peek(endpoint, body)
    assert error.value.message and error.value.status == 400
    return error.value.code


@pytest.mark.parametrize(
    ("endpoint", "body", "code"),
    [
        ("track", b"", "invalid_json"),
        ("track", b"{", "invalid_json"),
        ("track", b"{} {}", "invalid_json"),
        ("track", b"[]", "invalid_json"),
        ("track", b'"x"', "invalid_json"),
        ("track", b"\xef\xbb\xbf{}", "invalid_json"),
        ("track", b'{"x":NaN}', "invalid_json"),
        ("track", b'{"x":Infinity}', "invalid_json"),
        ("track", b"{'x':1}", "invalid_json"),
        ("track", b'{"x":"\x00"}', "invalid_json"),
        ("track", b'{"x":' + b"[" * 16_000 + b"]" * 16_000 + b"}", "invalid_json"),
        ("track", b'{"x":"' + b"y" * EVENT_LIMIT + b'"}', "event_too_large"),
        ("batch", b"{}", "invalid_json"),
        ("batch", b'{"batch":null}', "invalid_json"),
        ("batch", b'{"batch":{}}', "invalid_json"),
        ("batch", b'{"batch":[' + b"{}," * 2500 + b"{}]}", "batch_too_long"),
        ("batch", b'{"batch":["' + b"y" * BATCH_LIMIT + b'"]}', "batch_too_large"),
    ],
)
def test_a_request_that_cannot_be_taken_apart_is_refused(endpoint: str, body: bytes, code: str) -> None:
    assert refused(endpoint, body) == code


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'{"batch":[]}', 0),
        (b'{"batch":[1,null,"x",[],{}]}', 5),
        (b'{"batch":[{}],"context":7,"sentAt":[],"writeKey":5}', 1),
        (b'{"batch":[' + b"{}," * 2499 + b"{}]}", 2500),
        (b'{"batch":["\xff", 1e400]}', 2),
    ],
)
def test_what_is_wrong_inside_is_for_quarantine(body: bytes, count: int) -> None:
    peeked = peek("batch", body)
    assert (peeked.message_count, peeked.write_key) == (count, None)


def test_a_body_of_the_largest_size_is_taken() -> None:
    around = len(b'{"writeKey":"k","x":""}')
    body = b'{"writeKey":"k","x":"' + b"y" * (EVENT_LIMIT - around) + b'"}'
    assert len(body) == EVENT_LIMIT and peek("track", body).write_key == "k"
    assert refused("track", body + b" ") == "event_too_large"


def test_the_last_of_two_equal_names_counts() -> None:
    assert peek("track", b'{"writeKey":"a","writeKey":"b"}').write_key == "b"


# ---- Half characters -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        (rb'"\ud800"', rb'"\ufffd"'),
        (rb'"\uDFFFx"', rb'"\ufffdx"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\\ud800"', rb'"\\ud800"'),  # a backslash and five characters
        (rb'"\\\ud800"', rb'"\\\ufffd"'),
        (rb'"\u00e9\n\""', rb'"\u00e9\n\""'),
    ],
)
def test_half_a_character_becomes_the_replacement_character(body: bytes, whole: bytes) -> None:
    assert mended(body) == whole


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_that_python_can_write_can_be_read_once_mended(text: str) -> None:
    body = json.dumps({"writeKey": text}).encode()
    read = peek("track", mended(body)).write_key
    assert read == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") or "\ufffd" in (read or "")


# ---- Gzip ----------------------------------------------------------------------------------------------------


def test_gzip_is_unpacked_up_to_the_limit_of_a_batch() -> None:
    assert gunzip(gzip.compress(b'{"a":1}')) == b'{"a":1}'
    assert len(gunzip(gzip.compress(b"x" * BATCH_LIMIT))) == BATCH_LIMIT


def test_a_gzip_bomb_is_refused_without_being_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 300_000_000, compresslevel=1)
    tracemalloc.start()
    with pytest.raises(DomainError) as error:
        gunzip(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.value.code == "batch_too_large"
    assert peak < 5 * BATCH_LIMIT


@pytest.mark.parametrize("body", [b"", b"{}", gzip.compress(b'{"a":1}', mtime=0)[:-4], b"\x1f\x8b\x08\x00junk"])
def test_broken_gzip_is_refused(body: bytes) -> None:
    with pytest.raises(DomainError) as error:
        gunzip(body)
    assert error.value.code == "invalid_gzip"


# ---- Keys ----------------------------------------------------------------------------------------------------


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (basic("wk_1:"), "wk_1"),
        (basic("wk_1"), "wk_1"),
        (basic("wk_1:secret"), "wk_1"),
        (basic("wk_1:").rstrip("="), "wk_1"),
        ("basic " + basic("wk_1:").removeprefix("Basic "), "wk_1"),
        ("Bearer wk_1", "wk_1"),
        ("bearer  wk_1 ", "wk_1"),
        ("", None),
        ("Bearer", None),
        ("Basic", None),
        ("Basic !!!", None),
        ("Basic " + base64.b64encode(b"\xff\xfe").decode(), None),
        (basic(":"), None),
        ("Digest abc", None),
    ],
)
def test_the_write_key_is_found_in_each_form_of_the_header(header: str, key: str | None) -> None:
    assert key_in_header(header) == key


@given(st.text())
def test_any_header_is_read_or_ignored(header: str) -> None:
    assert key_in_header(header) is None or key_in_header(header)


def test_a_browser_key_is_bound_to_its_pages_and_a_secret_one_to_nothing() -> None:
    browser = Sender(1, is_trusted=False, allowed_origins=frozenset({"https://shop.example"}))
    assert browser.may_send_from("https://shop.example") and browser.may_send_from("")
    assert not any(
        map(browser.may_send_from, ["https://evil.example", "null", "http://shop.example", "https://shop.example.evil"])
    )
    assert Sender(2, is_trusted=True, allowed_origins=frozenset()).may_send_from("https://any.example")
