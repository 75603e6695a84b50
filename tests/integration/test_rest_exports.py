"""Exports over REST: asking, following, fetching, by whoever may; planning them; and where they are handed over to."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cdp.activation.models import Audience
from cdp.audit.models import AuditEntry
from cdp.exports.models import Destination, Export
from cdp.rest.models import Scope
from cdp.rest.services import create_api_key
from segments.models import Segment
from segments.sharing import share_segment
from tests.factories import BY
from tests.integration.callers import Caller, found, key, problem
from tests.integration.exporting import EMAIL, people_of_a_shop, rows, work
from tests.integration.storage import sftp_server, taking

EVERYTHING = ("view_segment", "view_members", "export_members")


@pytest.fixture(autouse=True)
def folder(own_database: Any, settings: Any, tmp_path: Path) -> Path:
    settings.EXPORT_DIR = str(tmp_path / "exports")
    settings.EXPORT_FOLDERS = str(tmp_path / "folders")
    settings.EXPORT_RETRY_SECONDS = [0.01]
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    (tmp_path / "folders").mkdir()
    return tmp_path


@pytest.fixture
def audience(folder: Path) -> Audience:
    return people_of_a_shop("ann", "bob")


def crm(*scopes: str, rights: tuple[str, ...] = EVERYTHING) -> Caller:
    caller = key(*(scopes or (Scope.EXPORTS_READ, Scope.EXPORTS_WRITE)))
    share_segment(segment=Segment.objects.get(key="buyers"), user=caller.user, by=BY, permissions=rights)
    return caller


def asked(caller: Caller, audience: Audience, **wanted: Any) -> dict[str, Any]:
    return found(caller.post("exports/", {"audience": audience.key, **wanted}), 202)


def done(uuid: str) -> Export:
    return work(Export.objects.get(uuid=uuid))


def test_a_system_asks_for_a_file_follows_it_and_has_it_with_its_manifest(audience: Audience) -> None:
    caller = crm()
    export = asked(caller, audience, format="ndjson", fields=["entered_at", "trait:city"])
    assert (export["state"], export["kind"], export["purpose"]) == ("queued", "full", EMAIL)
    problem(caller.get(f"exports/{export['uuid']}/file/"), 409)
    done(export["uuid"])
    shown = found(caller.get(f"exports/{export['uuid']}/"))
    assert (shown["state"], shown["rows"], shown["error"]) == ("succeeded", 2, None)
    answer = caller.get(f"exports/{export['uuid']}/file/")
    raw = b"".join(answer.streaming_content)  # type: ignore[attr-defined]
    answer.close()
    assert hashlib.sha256(raw).hexdigest() == shown["sha256"]
    assert [json.loads(line)["trait:city"] for line in raw.decode().splitlines()] == ["Bern", "Bern"]
    manifest = found(caller.get(f"exports/{export['uuid']}/manifest/"))
    assert (manifest["sha256"], manifest["rows"], manifest["purpose"]) == (shown["sha256"], 2, EMAIL)
    assert manifest["fields"] == ["profile", "entered_at", "trait:city"]
    assert [one["uuid"] for one in found(caller.get("exports/", audience=audience.key))["results"]] == [export["uuid"]]


def test_a_link_opens_the_file_without_a_key(audience: Audience, client: Any) -> None:
    caller = crm()
    uuid = asked(caller, audience)["uuid"]
    done(uuid)
    link = found(caller.post(f"exports/{uuid}/link/", {"hours": 2}))
    answer = client.get(link["url"])
    assert answer.status_code == 200
    assert b"".join(answer.streaming_content).startswith(b"profile,entered_at\n")
    answer.close()
    assert answer["Content-Disposition"].startswith('attachment; filename="')
    assert client.get(link["url"][:-2]).status_code == 404
    caller.delete(f"exports/{uuid}/")
    assert client.get(link["url"]).status_code == 410
    problem(caller.get(f"exports/{uuid}/file/"), 410)


def test_the_right_to_read_members_is_not_the_right_to_take_them_out(audience: Audience) -> None:
    reader = crm(rights=("view_segment", "view_members"))
    assert problem(reader.post("exports/", {"audience": audience.key}), 403)["code"] == "permission_missing"
    uuid = asked(crm(), audience)["uuid"]
    done(uuid)
    found(reader.get(f"exports/{uuid}/"))
    problem(reader.get(f"exports/{uuid}/file/"), 403)
    stranger = key(Scope.EXPORTS_READ, Scope.EXPORTS_WRITE)
    for path in ("", "file/", "manifest/"):
        problem(stranger.get(f"exports/{uuid}/{path}"), 404)
    problem(stranger.post("exports/", {"audience": audience.key}), 404)


def test_a_key_takes_people_out_only_for_its_purposes(audience: Audience) -> None:
    made, secret = create_api_key(name="Ads", scopes=[Scope.EXPORTS_READ, Scope.EXPORTS_WRITE], purposes=["sms"], by=BY)
    share_segment(segment=Segment.objects.get(key="buyers"), user=made.user, by=BY, permissions=EVERYTHING)
    ads = Caller(made.user, {"Authorization": f"Bearer {secret}"}, key=made)
    assert problem(ads.post("exports/", {"audience": audience.key}), 403)["code"] == "purpose_missing"


def test_personal_fields_take_the_scope_to_reveal(audience: Audience) -> None:
    fields = ["entered_at", "identifier:user_id"]
    refused = problem(crm().post("exports/", {"audience": audience.key, "fields": fields}), 403)
    assert refused["code"] == "field_personal"
    mighty = crm(Scope.EXPORTS_READ, Scope.EXPORTS_WRITE, Scope.PROFILES_REVEAL)
    export = asked(mighty, audience, fields=fields)
    assert export["has_personal_data"]
    done(export["uuid"])
    problem(crm().get(f"exports/{export['uuid']}/file/"), 403)
    known = {one["key"]: one for one in found_list(crm().get("exports/fields/"))}
    assert (known["identifier:user_id"]["is_allowed"], known["entered_at"]["is_allowed"]) == (False, True)


def found_list(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.content
    return response.json()  # type: ignore[no-any-return]


def test_an_export_can_be_cancelled_until_it_is_done(audience: Audience) -> None:
    caller = crm()
    uuid = asked(caller, audience)["uuid"]
    assert found(caller.post(f"exports/{uuid}/cancel/"))["state"] == "cancelled"
    assert done(uuid).file == ""
    problem(caller.post(f"exports/{uuid}/cancel/"), 409)


def test_a_schedule_is_planned_changed_and_taken_away(audience: Audience) -> None:
    caller = crm()
    plan = {"audience": audience.key, "name": "Nightly", "every": "week", "hour": 3, "weekday": 6, "is_delta": True}
    made = found(caller.post("export-schedules/", plan), 201)
    assert (made["is_on"], made["next_at"] is not None) == (True, True)
    path = f"export-schedules/{made['uuid']}/"
    assert found(caller.patch(path, {"is_on": False}))["off_reason"] == "asked"
    assert found(caller.get(path))["next_at"] is None
    assert problem(caller.patch(path, {"hour": 24}), 400)["errors"][0]["pointer"] == "/hour"
    problem(crm(rights=("view_segment",)).patch(path, {"is_on": True}), 403)
    assert caller.delete(path).status_code == 204
    problem(caller.get(path), 404)


# ---- Destinations ----------------------------------------------------------------------------------------------------


def destination(caller: Caller, place: str, **values: str) -> dict[str, Any]:
    return found(caller.post("export-destinations/", {"name": f"Our {place}", "place": place, "values": values}), 201)


def test_a_file_is_handed_over_with_its_manifest_and_no_copy_is_kept(audience: Audience, folder: Path) -> None:
    caller = crm()
    with taking() as store:
        place = destination(caller, "http", url=f"{store.url}/in", token="t0ken")
        assert found(caller.post(f"export-destinations/{place['uuid']}/try/")) == {"is_reached": True, "failure": ""}
        export = done(asked(caller, audience, destination=place["uuid"])["uuid"])
        assert export.finished_at is not None
        raw = store.objects[f"/in/{export.name}"]
        assert hashlib.sha256(raw).hexdigest() == export.sha256
        assert json.loads(store.objects[f"/in/{export.name}.manifest.json"])["sha256"] == export.sha256
    assert list((folder / "exports").iterdir()) == []
    problem(caller.get(f"exports/{export.uuid}/file/"), 410)


def test_a_destination_that_fails_is_tried_again_and_then_told(audience: Audience) -> None:
    caller = crm()
    with taking() as store:
        place = destination(caller, "http", url=f"{store.url}/in")
        store.status = 503
        export = done(asked(caller, audience, destination=place["uuid"])["uuid"])
        assert len(store.asked) == 2, "once more after a while"
        shown = found(caller.get(f"exports/{export.uuid}/"))
        assert (shown["state"], shown["error"]["code"]) == ("failed", "place_broke_off")
        assert "503" in found(caller.get(f"export-destinations/{place['uuid']}/"))["failure"]


def test_a_worker_killed_after_handing_over_leaves_the_same_file_there(audience: Audience, folder: Path) -> None:
    caller = crm()
    with sftp_server(folder / "folders") as server:
        place = destination(
            caller,
            "sftp",
            host="127.0.0.1",
            port=str(server.port),
            username="crm",
            password="open sesame",
            host_key=server.host_key,
        )
        uuid = asked(caller, audience, destination=place["uuid"])["uuid"]
        first = done(uuid)
        # As if it had been killed before it could say that it is done, and another one took over.
        Export.objects.filter(pk=first.pk).update(finished_at=None)
        assert first.job is not None
        type(first.job).objects.filter(pk=first.job.pk).update(state="queued", lease_token=None)
        again = done(uuid)
        assert again.finished_at is not None
        names = sorted(one.name for one in (folder / "folders").iterdir())
        assert names == [again.name, f"{again.name}.manifest.json"]
        assert {row["profile"] for row in rows(again, folder / "folders" / again.name)} == {
            row["profile"] for row in rows(again, folder / "folders" / again.name)
        }
        assert hashlib.sha256((folder / "folders" / again.name).read_bytes()).hexdigest() == again.sha256


def test_secrets_are_sealed_never_shown_and_not_sent_elsewhere(audience: Audience) -> None:
    caller = crm()
    with taking() as store:
        place = destination(caller, "http", url=f"{store.url}/in", token="s3cr3t-t0ken")
        row = Destination.objects.get()
        assert b"s3cr3t" not in bytes(row.sealed)
        path = f"export-destinations/{place['uuid']}/"
        for answer in (caller.get(path), caller.get("export-destinations/")):
            assert b"s3cr3t" not in answer.content
        assert "s3cr3t" not in json.dumps(AuditEntry.objects.get(action="export_destination.created").detail)
        refused = problem(caller.patch(path, {"values": {"url": "https://evil.example.com/in"}}), 400)
        assert refused["code"] == "secret_missing"
        found(caller.patch(path, {"values": {"method": "POST"}, "name": "Mail"}))
        found(caller.post(f"{path}try/"))
        assert store.headers["/in"]["authorization"] == "Bearer s3cr3t-t0ken"


@pytest.mark.parametrize(
    ("place", "values", "pointer"),
    [
        ("http", {"url": "https://10.0.0.1/in"}, "/values/url"),
        ("http", {"url": "https://files.example.com", "method": "DELETE"}, "/values/method"),
        ("http", {}, "/values/url"),
        ("s3", {"region": "eu", "bucket": "A", "access_key": "a", "secret_key": "b"}, "/values/bucket"),
        (
            "s3",
            {"region": "eu", "bucket": "abc", "access_key": "a", "secret_key": "b", "prefix": "../x"},
            "/values/prefix",
        ),
        ("sftp", {"host": "localhost", "username": "a", "password": "b", "host_key": "ssh-rsa x"}, "/values/host"),
        (
            "sftp",
            {"host": "f.example.com", "username": "a", "password": "b", "host_key": "nonsense"},
            "/values/host_key",
        ),
        ("folder", {"path": "../../etc"}, "/values/path"),
        ("folder", {"path": "in", "colour": "red"}, "/values/colour"),
    ],
)
def test_what_cannot_be_a_destination_is_named(
    audience: Audience, place: str, values: dict[str, str], pointer: str
) -> None:
    body = {"name": "x", "place": place, "values": values}
    refused = problem(crm().post("export-destinations/", body), 400)
    assert [one["pointer"] for one in refused["errors"]] == [pointer]


def test_a_destination_in_use_stays(audience: Audience) -> None:
    caller = crm()
    place = destination(caller, "folder", path="crm")
    plan = {"audience": audience.key, "name": "Nightly", "destination": place["uuid"]}
    schedule = found(caller.post("export-schedules/", plan), 201)
    path = f"export-destinations/{place['uuid']}/"
    assert problem(caller.delete(path), 409)["code"] == "destination_in_use"
    caller.delete(f"export-schedules/{schedule['uuid']}/")
    assert caller.delete(path).status_code == 204
