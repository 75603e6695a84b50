"""Places get whole files or none, from who has the secret, and nothing is sent to machines inside or to another server than agreed on."""

import hashlib
import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from cdp.errors import DomainError
from cdp.exports.places import FolderPlace, HttpPlace, Place, PlaceError, S3Place, SftpPlace, s3
from cdp.exports.places.sftp import fingerprint_of, host_key_of
from cdp.outbound import Refused, connected
from tests.integration.storage import ACCESS, REGION, SECRET, SftpServer, Store, sftp_server, taking

NAME = "people-full-1.csv"
TEXT = b"profile\n" + b"x" * 700_000


@pytest.fixture(autouse=True)
def inside(settings: Any) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "made"
    found.write_bytes(TEXT)
    return found


@pytest.fixture
def store() -> Iterator[Store]:
    with taking(is_s3=True) as found:
        yield found


@pytest.fixture
def uploads() -> Iterator[Store]:
    with taking() as found:
        yield found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpServer]:
    root = tmp_path / "server"
    (root / "in").mkdir(parents=True)
    with sftp_server(root) as found:
        yield found


def put(place: Place, file: Path, keep_on: Any = lambda _: None) -> None:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    place.put(NAME, file, content_type="text/csv", sha256=sha256, keep_on=keep_on)


def bucket(store: Store, **other: Any) -> S3Place:
    return S3Place(
        **{
            "endpoint": store.url,
            "bucket": "people",
            "region": REGION,
            "prefix": "in/here",
            "access_key": ACCESS,
            "secret_key": SECRET,
        }
        | other
    )


def by_sftp(server: SftpServer, **other: Any) -> SftpPlace:
    usual = {"host": "127.0.0.1", "port": server.port, "username": "crm", "password": "open sesame", "path": "in"}
    return SftpPlace(**{**usual, "host_key": server.host_key, **other})


class Stopped(Exception):
    pass


def stops(_: int) -> None:
    raise Stopped


# ---- S3 ----------------------------------------------------------------------------------------------------------------


def test_a_bucket_gets_the_file_by_a_signed_request(store: Store, file: Path) -> None:
    put(bucket(store), file)
    assert store.objects == {f"/people/in/here/{NAME}": TEXT}
    bucket(store).check()
    assert list(store.objects) == [f"/people/in/here/{NAME}"], "what was tried is gone again"


def test_a_large_file_goes_in_parts_and_is_one_object(
    store: Store, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "PART", 300_000)
    put(bucket(store), file)
    assert store.objects == {f"/people/in/here/{NAME}": TEXT}
    assert store.uploads == {}


def test_parts_are_given_up_when_somebody_stops_it(store: Store, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PART", 300_000)
    with pytest.raises(Stopped):
        put(bucket(store), file, stops)
    assert (store.objects, store.uploads) == ({}, {})


def test_a_wrong_secret_is_told_as_such(store: Store, file: Path) -> None:
    with pytest.raises(PlaceError) as refused:
        put(bucket(store, secret_key="another"), file)
    assert refused.value.why == "not_allowed"
    assert "another" not in repr(bucket(store, secret_key="another"))


# ---- Uploads -------------------------------------------------------------------------------------------------------------


def test_an_address_gets_the_file_with_its_name_digest_and_token(uploads: Store, file: Path) -> None:
    put(HttpPlace(url=f"{uploads.url}/in?who=cdp", token="t0ken"), file)
    [(path, body)] = uploads.objects.items()
    assert (path, body) == (f"/in/{NAME}?who=cdp", TEXT)
    assert uploads.headers[path]["authorization"] == "Bearer t0ken"
    put(HttpPlace(url=f"{uploads.url}/in", method="POST"), file)
    assert uploads.headers["/in"]["content-disposition"] == f'attachment; filename="{NAME}"'


@pytest.mark.parametrize(
    ("status", "why"), [(401, "not_allowed"), (404, "not_found"), (302, "refused"), (503, "broke_off")]
)
def test_what_an_address_answers_is_told(uploads: Store, file: Path, status: int, why: str) -> None:
    uploads.status = status
    with pytest.raises(PlaceError) as refused:
        put(HttpPlace(url=uploads.url), file)
    assert refused.value.why == why


def test_a_connection_that_breaks_off_leaves_nothing(uploads: Store, file: Path) -> None:
    uploads.breaks_off_after = 1000
    with pytest.raises(PlaceError) as refused:
        put(HttpPlace(url=uploads.url), file)
    assert refused.value.why == "broke_off"
    assert uploads.objects == {}


# ---- SFTP ----------------------------------------------------------------------------------------------------------------


def test_a_server_gets_the_file_by_password_or_key(server: SftpServer, file: Path, tmp_path: Path) -> None:
    place = by_sftp(server)
    put(place, file)
    put(place, file)  # over the one that is there
    place.check()
    assert [(one.name, one.read_bytes()) for one in (server.root / "in").iterdir()] == [(NAME, TEXT)]
    mine = paramiko.ECDSAKey.generate()
    text = io.StringIO()
    mine.write_private_key(text)
    (tmp_path / "other").mkdir()
    with sftp_server(tmp_path / "other", client_key=mine) as other:
        put(by_sftp(other, password="", private_key=text.getvalue(), path=""), file)
    assert (tmp_path / "other" / NAME).read_bytes() == TEXT


def test_a_server_with_another_host_key_is_sent_nothing(server: SftpServer, file: Path) -> None:
    other = paramiko.ECDSAKey.generate()
    with pytest.raises(PlaceError) as refused:
        put(by_sftp(server, host_key=f"{other.get_name()} {other.get_base64()}"), file)
    assert refused.value.why == "host_key"
    assert server.logins == []
    assert host_key_of("127.0.0.1", server.port) == server.host_key
    assert fingerprint_of(server.host_key).startswith("SHA256:")


@pytest.mark.parametrize(("other", "why"), [({"password": "guess"}, "not_allowed"), ({"path": "nowhere"}, "not_found")])
def test_what_a_server_refuses_is_told(server: SftpServer, file: Path, other: dict[str, str], why: str) -> None:
    with pytest.raises(PlaceError) as refused:
        put(by_sftp(server, **other), file)
    assert refused.value.why == why


def test_a_transfer_that_is_cut_or_stopped_leaves_no_file_of_the_name(server: SftpServer, file: Path) -> None:
    with pytest.raises(Stopped):
        put(by_sftp(server), file, stops)
    assert list((server.root / "in").iterdir()) == []
    server.breaks_off_after = 300_000
    with pytest.raises(PlaceError) as refused:
        put(by_sftp(server), file)
    assert refused.value.why == "broke_off"
    assert NAME not in [one.name for one in (server.root / "in").iterdir()]


# ---- Folders -------------------------------------------------------------------------------------------------------------


def test_a_folder_gets_the_file_and_no_link_leads_out_of_it(file: Path, tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    place = FolderPlace(root=root, path="crm/daily")
    place.check()
    put(place, file)
    assert [(one.name, one.read_bytes()) for one in (root / "crm" / "daily").iterdir()] == [(NAME, TEXT)]
    with pytest.raises(Stopped):
        FolderPlace(root=root, path="other").put("b.csv", file, content_type="", sha256="", keep_on=stops)
    assert list((root / "other").iterdir()) == []
    (root / "away").symlink_to(outside)
    with pytest.raises(PlaceError) as refused:
        put(FolderPlace(root=root, path="away"), file)
    assert refused.value.why == "not_found"
    for path in ("../outside", "a/../../outside", "."):
        with pytest.raises(DomainError, match="none of them"):
            put(FolderPlace(root=root, path=path), file)
    assert list(outside.iterdir()) == []


# ---- Inside --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "localhost", "db.internal", "::1"])
def test_no_place_leads_inside(host: str, file: Path, settings: Any) -> None:
    settings.OUTBOUND_ALLOW = []
    url = f"https://[{host}]" if ":" in host else f"https://{host}"
    places: list[Place] = [
        HttpPlace(url=url),
        S3Place(endpoint=url, bucket="people", region=REGION, access_key=ACCESS, secret_key=SECRET),
        SftpPlace(host=host, port=22, username="crm", password="x", host_key=EXAMPLE_KEY),
    ]
    for place in places:
        with pytest.raises(Refused):
            put(place, file)


EXAMPLE_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB5W2nV0y0rXbYk7qTn0f6CkP7p8yZr2c0dQ1xF9m3aL"


def test_a_name_that_leads_inside_is_not_connected_to(server: SftpServer, settings: Any) -> None:
    settings.OUTBOUND_ALLOW = []
    answers = iter([["93.184.216.34", "127.0.0.1"], ["127.0.0.1"]])
    for _ in range(2):
        with pytest.raises(Refused):
            connected("files.example.com", server.port, own_port=22, resolve=lambda *_: next(answers))
    with pytest.raises(Refused, match="another service"):
        connected("files.example.com", 25, own_port=22)
    assert server.logins == []


def test_what_was_judged_is_what_is_connected_to(settings: Any) -> None:
    """The resolver is asked once, and the socket goes to its answer."""
    settings.OUTBOUND_ALLOW = ["files.example.com"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        asked = []

        def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            return ["127.0.0.1"]

        with connected("files.example.com", listener.getsockname()[1], own_port=22, resolve=resolve) as link:
            assert link.getpeername() == listener.getsockname()
        assert asked == ["files.example.com"]
