"""The tracking API as client libraries speak it: every address, every form of the key, every limit, every answer."""

import base64
import gzip
import http.client
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cdp.ingestion import inbox, keys
from cdp.ingestion.models import InboxMessage, Quarantined, Source, SourceKind
from cdp.ingestion.quarantine import discard, replay
from cdp.pipeline import process_batch
from cdp.profiles import catalogue
from cdp.profiles.models import Event, EventName
from tests.factories import BY, Tracker, tracker
from tests.harness.processes import Processes

SHOP = "https://shop.example"
TRACK = {"event": "Looked", "userId": "ann"}
JSON = "application/json"


def basic(key: str, colon: str = ":") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{key}{colon}".encode()).decode()}


@pytest.fixture
def server(db: None) -> Tracker:
    return tracker()


@pytest.fixture
def browser(db: None) -> Tracker:
    made = tracker(SourceKind.BROWSER)
    Source.objects.filter(pk=made.source_id).update(allowed_origins=[SHOP])
    keys.forget()
    return made


def post(client: Client, call: str, body: Any, *, kind: str = JSON, **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/v1/{call}", data, content_type=kind, headers=headers)


def assert_taken(response: Any) -> None:
    """One library takes nothing else for success."""
    assert (response.status_code, response.json()) == (200, {"success": True})
    assert response["Content-Type"] == JSON


def assert_refused(response: Any, status: int, code: str) -> None:
    answer = response.json()
    assert (response.status_code, answer["code"], answer["success"]) == (status, code, False)
    assert answer["message"]
    assert not InboxMessage.objects.exists(), "what is refused is not kept"


# ---- Over a real socket --------------------------------------------------------------------------------------

CALLS = {
    "identify": {"userId": "u1", "traits": {"city": "Bern"}},
    "track": {"userId": "u1", "event": "Looked"},
    "page": {"userId": "u1", "name": "Home"},
    "screen": {"userId": "u1", "name": "Main"},
    "group": {"userId": "u1", "groupId": "g1"},
    "alias": {"userId": "u1", "previousId": "x1"},
    "batch": {"batch": [{"type": "track", "event": "In batch", "userId": "u1"}, {"type": "page", "userId": "u1"}]},
    "import": {"batch": [{"type": "track", "event": "Imported", "userId": "u1", "timestamp": "2020-01-01T00:00:00Z"}]},
}
SHORT = {"identify": "i", "track": "t", "page": "p", "screen": "s", "group": "g", "alias": "a", "batch": "b"}


def test_each_address_takes_its_call_over_a_real_socket(processes: Processes) -> None:
    key = tracker().key
    wire = http.client.HTTPConnection(urlsplit(processes.web()).netloc, timeout=20)

    def ask(
        method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        # What is too large is answered before all of it was read; the answer lies there all the same.
        with suppress(BrokenPipeError):
            wire.request(method, path, body, headers)
        response = wire.getresponse()
        return response.status, response.headers, response.read()

    sent = 0
    for name, call in CALLS.items():
        for path in filter(None, (name, SHORT.get(name))):
            for slash in ("", "/"):
                status, _, answer = ask("POST", f"/v1/{path}{slash}", json.dumps(call).encode(), **basic(key))
                assert (status, answer) == (200, b'{"success":true}'), path
                sent += len(call.get("batch", [1]))
    assert ask("POST", "/v1/m", b'{"series":[]}')[::2] == (200, b'{"success":true}')

    # As a browser sends it: as text, the key in the body only.
    in_body = json.dumps({"writeKey": key, "event": "Looked", "anonymousId": "x1"}).encode()
    assert ask("POST", "/v1/track", in_body, **{"Content-Type": "text/plain"})[0] == 200
    packed = {"Content-Encoding": "gzip", "Content-Type": JSON}
    assert ask("POST", "/v1/track", gzip.compress(in_body), **packed)[0] == 200
    data = base64.urlsafe_b64encode(in_body).decode().rstrip("=")
    status, headers, picture = ask("GET", f"/v1/pixel/track?data={data}")
    assert (status, headers["Content-Type"], picture[:6]) == (200, "image/gif", b"GIF89a")
    sent += 3

    status, headers, answer = ask("GET", f"/v1/projects/{key}/settings")
    assert status == 200 and headers["Content-Type"] == JSON
    assert json.loads(answer)["integrations"]["Segment.io"]["apiKey"] == key
    status, headers, script = ask("GET", f"/analytics.js/v1/{key}/analytics.min.js")
    assert status == 200 and "javascript" in headers["Content-Type"] and len(script) > 50_000

    status, _, answer = ask("POST", "/v1/batch", b'{"batch":["' + b"x" * 600_000 + b'"]}', **basic(key))
    assert (status, json.loads(answer)["code"]) == (400, "batch_too_large")
    wire.close()

    while process_batch().requests:
        pass
    assert Event.objects.count() == sent
    assert not Quarantined.objects.exists()


def test_a_database_that_is_away_asks_to_come_again(processes: Processes) -> None:
    processes.environ |= {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    wire = http.client.HTTPConnection(urlsplit(processes.web()).netloc, timeout=20)
    wire.request("POST", "/v1/track", json.dumps(TRACK).encode(), basic("wk_some"))
    answer = wire.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (503, "not_durable")
    assert int(answer.headers["Retry-After"]) > 0
    wire.close()


# ---- Keys ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form", ["body", "basic", "basic without colon", "bearer", "bearer and body", "wrong basic, right body"]
)
def test_each_form_of_the_key_is_taken(client: Client, server: Tracker, form: str) -> None:
    key = server.key
    body = TRACK | ({"writeKey": key} if "body" in form else {})
    headers = {
        "body": {},
        "basic": basic(key),
        "basic without colon": basic(key, colon=""),
        "bearer": {"Authorization": f"Bearer {key}"},
        "bearer and body": {"Authorization": "Bearer some-oauth-token"},
        "wrong basic, right body": basic("old-key"),
    }[form]
    assert_taken(post(client, "track", body, **headers))
    batch = {"batch": [TRACK | {"type": "track"}]} | ({"writeKey": key} if "body" in form else {})
    assert_taken(post(client, "batch", batch, **headers))
    assert InboxMessage.objects.filter(source_id=server.source_id).count() == 2


@pytest.mark.parametrize(
    ("key", "code"),
    [(None, "write_key_missing"), ("", "write_key_missing"), ("wk_nobody", "write_key_unknown"), ("k" * 5000, "write_key_unknown"),
     (7, "write_key_missing"), (["wk"], "write_key_missing"), ("\x00", "write_key_unknown")],
)  # fmt: skip
def test_nobody_sends_without_a_good_key(client: Client, server: Tracker, key: Any, code: str) -> None:
    assert_refused(post(client, "track", TRACK | {"writeKey": key}), 401, code)


def test_a_revoked_key_and_a_disabled_source_are_refused(client: Client, server: Tracker) -> None:
    other = tracker()
    Source.objects.filter(pk=server.source_id).update(is_enabled=False)
    keys.revoke_write_key(key=Source.objects.get(pk=other.source_id).write_keys.get(), by=BY)
    keys.forget()
    for gone in (server, other):
        assert_refused(post(client, "track", TRACK, **basic(gone.key)), 401, "write_key_unknown")


def test_a_wrong_key_is_not_remembered_for_ever() -> None:
    assert keys.sender_of("x" * (keys.KEY_LIMIT + 1)) is None
    assert not keys._cache


# ---- Limits and answers --------------------------------------------------------------------------------------


def test_an_event_of_33_kb_alone_is_refused_and_in_a_batch_quarantined(client: Client, server: Tracker) -> None:
    large = TRACK | {"type": "track", "properties": {"x": "y" * 33_000}}
    assert_refused(post(client, "track", large, **basic(server.key)), 400, "event_too_large")
    assert_taken(post(client, "batch", {"batch": [large, TRACK | {"type": "track"}]}, **basic(server.key)))
    report = process_batch()
    assert (report.stored, report.quarantined) == (1, 1)
    assert Quarantined.objects.get().code == "event_too_large"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"batch": [{"type": "track", "x": "y" * 501 * 1024}]}, "batch_too_large"),
        ({"batch": [{}] * 2501}, "batch_too_long"),
        (b"nothing", "invalid_json"),
        (b"", "invalid_json"),
        ({"messages": []}, "invalid_json"),
    ],
)
def test_a_batch_that_cannot_be_taken_is_refused_with_a_code(
    client: Client, server: Tracker, body: Any, code: str
) -> None:
    assert_refused(post(client, "batch", body, **basic(server.key)), 400, code)


def test_a_second_part_of_a_gzip_body_is_not_dropped_without_a_word(client: Client, server: Tracker) -> None:
    body = json.dumps({"batch": [{"type": "track", "event": "Looked", "userId": "u1"}]}).encode()
    for more in (gzip.compress(body), b"and more"):
        packed = gzip.compress(body) + more
        response = post(client, "batch", packed, **basic(server.key), **{"Content-Encoding": "gzip"})
        assert (response.status_code, response.json()["code"]) == (400, "invalid_gzip")
    assert not InboxMessage.objects.exists()


def test_a_gzip_bomb_is_refused(client: Client, server: Tracker) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    response = post(client, "batch", bomb, **basic(server.key), **{"Content-Encoding": "gzip"})
    assert_refused(response, 400, "batch_too_large")


@pytest.mark.parametrize(
    ("encoding", "code"), [("gzip", "invalid_gzip"), ("br", "unknown_encoding"), ("zstd", "unknown_encoding")]
)
def test_a_body_that_cannot_be_unpacked_is_refused(client: Client, server: Tracker, encoding: str, code: str) -> None:
    response = post(client, "track", TRACK, **basic(server.key), **{"Content-Encoding": encoding})
    assert_refused(response, 400, code)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
def test_events_come_by_post_only(client: Client, db: None, method: str) -> None:
    response = client.generic(method, "/v1/track")
    assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")
    assert method == "HEAD" or response.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize("call", ["buy", "identify2", "x"])
def test_an_unknown_call_is_not_found(client: Client, server: Tracker, call: str) -> None:
    assert_refused(post(client, call, TRACK, **basic(server.key)), 404, "unknown_call")


def test_an_empty_batch_is_taken_and_nothing_waits(client: Client, server: Tracker) -> None:
    assert_taken(post(client, "batch", {"batch": []}, **basic(server.key)))
    assert not InboxMessage.objects.exists()


def test_metrics_are_taken_and_not_kept(client: Client, db: None) -> None:
    assert_taken(post(client, "m", b'{"series":[{"type":"Counter"}]}', kind="text/plain"))
    assert not InboxMessage.objects.exists()


# ---- Back-pressure -------------------------------------------------------------------------------------------


def test_a_full_inbox_asks_to_come_again_and_takes_nothing(client: Client, server: Tracker, settings: Any) -> None:
    for _ in range(5):
        assert_taken(post(client, "track", TRACK | {"x": "y" * 1000}, **basic(server.key)))
    settings.INBOX_LIMIT_BYTES = 5000
    inbox.gauge.forget()
    response = post(client, "track", TRACK, **basic(server.key), Origin=SHOP)
    assert (response.status_code, response.json()["code"]) == (429, "inbox_full")
    assert int(response["Retry-After"]) > 0
    assert response["Access-Control-Expose-Headers"] == "Retry-After"
    assert InboxMessage.objects.count() == 5

    process_batch()
    inbox.gauge.forget()
    assert_taken(post(client, "track", TRACK, **basic(server.key)))
    inbox.gauge.forget()


def test_the_gauge_asks_the_database_once_a_second(
    client: Client, server: Tracker, django_assert_num_queries: Any
) -> None:
    inbox.gauge.forget()
    post(client, "track", TRACK, **basic(server.key))
    with django_assert_num_queries(1):  # the insert itself
        post(client, "track", TRACK, **basic(server.key))


def test_a_large_inbox_is_estimated_from_a_sample(server: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"x" * 1500
    InboxMessage.objects.bulk_create(
        InboxMessage(source_id=1, received_at=datetime.now(UTC), endpoint="track", message_count=1, body=body)
        for _ in range(2000)
    )
    exact = inbox.waiting_bytes()
    assert exact == 2000 * (1500 + 64)
    monkeypatch.setattr(inbox, "GAUGE_PAGES", 100)
    assert inbox.waiting_bytes() == pytest.approx(exact, rel=0.25)


# ---- Browsers ------------------------------------------------------------------------------------------------


def preflight(client: Client, origin: str, path: str = "/v1/t") -> Any:
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
    }
    return client.options(path, headers={"Origin": origin, **asked})


def test_a_preflight_of_an_allowed_page_is_answered(client: Client, browser: Tracker) -> None:
    response = preflight(client, SHOP)
    assert response.status_code == 204
    assert response["Access-Control-Allow-Origin"] == SHOP
    allowed = {name.strip().lower() for name in response["Access-Control-Allow-Headers"].split(",")}
    assert {"authorization", "x-retry-count", "content-type"} <= allowed
    assert "POST" in response["Access-Control-Allow-Methods"] and response["Vary"] == "Origin"


def test_a_preflight_asks_the_database_only_now_and_then(
    client: Client, browser: Tracker, django_assert_num_queries: Any
) -> None:
    preflight(client, SHOP)
    with django_assert_num_queries(0):
        preflight(client, SHOP)
        preflight(client, "https://evil.example")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://shop.example", SHOP + ".evil.example", ""])
def test_a_preflight_of_any_other_page_allows_nothing(client: Client, browser: Tracker, origin: str) -> None:
    assert not preflight(client, origin).has_header("Access-Control-Allow-Origin")


def test_an_allowed_page_sends_and_reads_the_answer(client: Client, browser: Tracker) -> None:
    response = post(client, "t", TRACK | {"writeKey": browser.key}, kind="text/plain", Origin=SHOP)
    assert_taken(response)
    assert response["Access-Control-Allow-Origin"] == SHOP


def test_any_other_page_is_refused_even_without_asking_first(client: Client, browser: Tracker) -> None:
    """A request of plain text needs no preflight, so refusing only there would stop nobody."""
    response = post(client, "t", TRACK | {"writeKey": browser.key}, kind="text/plain", Origin="https://evil.example")
    assert_refused(response, 403, "origin_not_allowed")


def test_an_app_that_names_no_page_sends_with_a_browser_key(client: Client, browser: Tracker) -> None:
    assert_taken(post(client, "t", TRACK, **basic(browser.key)))


def test_the_settings_lead_the_library_back_here(client: Client, browser: Tracker) -> None:
    response = client.get(f"/v1/projects/{browser.key}/settings", headers={"Origin": SHOP})
    mine = response.json()["integrations"]["Segment.io"]
    assert (mine["apiKey"], mine["apiHost"], mine["protocol"]) == (browser.key, "testserver/v1", "http")
    assert response.json()["metrics"] == {"sampleRate": 0}
    assert response["Access-Control-Allow-Origin"] == SHOP and response["Vary"] == "Origin"
    other = client.get(f"/v1/projects/{browser.key}/settings", headers={"Origin": "https://evil.example"})
    assert not other.has_header("Access-Control-Allow-Origin")


def test_settings_and_script_of_an_unknown_key_are_not_found(client: Client, db: None) -> None:
    response = client.get("/v1/projects/wk_nobody/settings")
    assert (response.status_code, response.json()["code"]) == (404, "write_key_unknown")
    assert client.get("/analytics.js/v1/wk_nobody/analytics.min.js").status_code == 404
    assert client.get("/analytics-next/bundles/..%2f..%2fmodels.py").status_code == 404


def test_the_script_names_this_server_before_the_library_begins(client: Client, browser: Tracker) -> None:
    script = client.get(f"/analytics.js/v1/{browser.key}/analytics.min.js").content
    assert script.startswith(
        b'(window.analytics=window.analytics||[])._cdn=window.analytics._cdn||"http://testserver";\n'
    )


# ---- The pixel -----------------------------------------------------------------------------------------------


def pixel(client: Client, call: str, data: str, **headers: str) -> None:
    response = client.get(f"/v1/pixel/{call}?data={quote(data)}", headers=headers)
    assert (response.status_code, response["Content-Type"], response["Cache-Control"]) == (200, "image/gif", "no-store")
    assert response.content[:6] == b"GIF89a"


def coded(message: Any) -> str:
    return base64.b64encode(message if isinstance(message, bytes) else json.dumps(message).encode()).decode()


@pytest.mark.parametrize("call", ["track", "t", "track.gif"])
def test_a_pixel_sends_one_message(client: Client, server: Tracker, call: str) -> None:
    pixel(client, call, coded(TRACK | {"writeKey": server.key, "properties": {"x": "»ü?>~~"}}))
    assert process_batch().stored == 1


@pytest.mark.parametrize(
    "data", ["", "%%%", "é", coded(b"nothing"), coded({"event": "x"}), coded({"writeKey": "wk_nobody"})]
)
def test_a_pixel_that_nobody_can_be_held_to_is_a_picture_and_no_more(
    client: Client, server: Tracker, data: str
) -> None:
    pixel(client, "track", data)
    assert not InboxMessage.objects.exists() and not Quarantined.objects.exists()


@pytest.mark.parametrize(
    ("call", "message", "code"),
    [
        ("buy", TRACK, "unknown_type"),
        ("batch", {"batch": [TRACK]}, "unknown_type"),
        ("track", b"nothing", "invalid_json"),
        ("track", {"x": "y" * 33_000}, "event_too_large"),
    ],
)
def test_a_pixel_that_cannot_be_taken_is_quarantined_when_its_key_is_good(
    client: Client, server: Tracker, call: str, message: Any, code: str
) -> None:
    pixel(client, call, coded(message), **basic(server.key))
    kept = Quarantined.objects.get()
    assert (kept.code, kept.source_id) == (code, server.source_id)


def test_looking_at_a_pixel_without_fetching_it_sends_nothing(client: Client, server: Tracker) -> None:
    response = client.head(f"/v1/pixel/track?data={quote(coded(TRACK | {'writeKey': server.key}))}")
    assert response.status_code == 200 and not InboxMessage.objects.exists()


# ---- Quarantine and the way back -----------------------------------------------------------------------------


def test_a_replayed_message_keeps_what_its_batch_said(client: Client, server: Tracker) -> None:
    """Its clock, its context, its consent: read without them it would be another message."""
    received = datetime.now(UTC)
    sent = received + timedelta(hours=3)
    item = {"type": "buy", "event": "Looked", "userId": "ann", "timestamp": (sent - timedelta(minutes=5)).isoformat()}
    body = {"batch": [item], "context": {"ip": "10.0.0.1"}, "sentAt": sent.isoformat()}
    assert_taken(post(client, "batch", body, **basic(server.key)))
    process_batch()
    kept = Quarantined.objects.get()
    assert (kept.code, kept.pointer, json.loads(bytes(kept.body))) == ("unknown_type", "/type", item)

    Quarantined.objects.update(body=json.dumps(item | {"type": "track"}).encode())
    replay(message=kept, by=BY)
    left = Quarantined.objects.get()
    assert (bytes(left.body), bytes(left.shared)) == (b"", b""), "what was replayed is kept once, in its event"
    assert process_batch().stored == 1
    event = Event.objects.get()
    assert event.context == {"ip": "10.0.0.1"}
    assert abs(event.occurred_at - (received - timedelta(minutes=5))) < timedelta(seconds=30)


def test_a_lone_call_is_replayed_as_what_it_was(
    client: Client, server: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its body has no type: only the address said that it is a track call. Nor is it a repeat when it comes back."""
    monkeypatch.setattr(catalogue, "MAX_EVENT_NAMES", EventName.objects.count())
    assert_taken(post(client, "track", TRACK | {"messageId": "m1"}, **basic(server.key)))
    assert process_batch().quarantined == 1
    kept = Quarantined.objects.get()
    assert (kept.code, kept.endpoint) == ("too_many_event_names", "track")

    monkeypatch.setattr(catalogue, "MAX_EVENT_NAMES", 5000)
    replay(message=kept, by=BY)
    report = process_batch()
    assert (report.stored, report.repeats) == (1, 0)


def test_a_discarded_message_is_emptied(client: Client, server: Tracker) -> None:
    post(client, "batch", {"batch": [{"type": "buy"}], "context": {"traits": {"email": "a@b.ch"}}}, **basic(server.key))
    process_batch()
    discard(message=Quarantined.objects.get(), by=BY)
    left = Quarantined.objects.get()
    assert (bytes(left.body), bytes(left.shared)) == (b"", b"")
    assert left.code == "unknown_type"


def test_one_bad_shared_part_is_named_for_each_of_its_messages(client: Client, server: Tracker) -> None:
    body = {"batch": [TRACK | {"type": "track"}] * 3, "context": ["x"]}
    assert_taken(post(client, "batch", body, **basic(server.key)))
    assert process_batch().quarantined == 3
    assert set(Quarantined.objects.values_list("code", "pointer")) == {("wrong_type", "/context")}


def test_taking_a_request_costs_one_statement(client: Client, server: Tracker) -> None:
    post(client, "track", TRACK, **basic(server.key))
    with CaptureQueriesContext(connection) as queries:
        post(client, "track", TRACK, **basic(server.key))
    assert [q["sql"].split()[0] for q in queries] == ["INSERT"]
