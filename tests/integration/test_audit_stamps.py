"""Checkpoints with an authority's time stamp. The authority is OpenSSL's, which knows nothing of ours."""

import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from cdp.audit import SYSTEM
from cdp.audit.anchors import anchor_due, not_anchored
from cdp.audit.models import Anchor, AnchorKind, Head
from cdp.audit.sequencing import sequence
from cdp.audit.services import record
from cdp.audit.signing import Signer, load_signer, make_key
from cdp.checks import audit_log_is_signed

CONFIG = """
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[stamps]
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = here
[here]
serial = {home}/serial
crypto_device = builtin
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
signer_digest = sha256
ess_cert_id_alg = sha256
"""


class Authority:
    """Issues stamps; or, by `says`, something else."""

    def __init__(self, home: Path) -> None:
        self.home, self.says = home, ""
        home.mkdir()
        (home / "cnf").write_text(CONFIG.format(home=home))
        (home / "serial").write_text("01")
        self._run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "9",
                  "-subj", "/CN=Test root", "-config", "/dev/null", "-addext", "basicConstraints=critical,CA:TRUE",
                  "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
        self._run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=Test clock",
                  "-config", "/dev/null")  # fmt: skip
        self._run("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "9",
                  "-out", "tsa.pem", "-extfile", "cnf", "-extensions", "stamps")  # fmt: skip

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], cwd=self.home, check=True, capture_output=True)

    def answer(self, request: bytes) -> bytes:
        if self.says == "nonsense":
            return b"\x30\x03nope"
        if self.says == "too much":
            return b"\x30" * 100_000
        if self.says != "the same again":
            (self.home / "request").write_bytes(request)
        self._run("ts", "-reply", "-config", "cnf", "-queryfile", "request", "-signer", "tsa.pem", "-inkey", "tsa.key",
                  "-out", "answer")  # fmt: skip
        return (self.home / "answer").read_bytes()


def serving(authority: Authority) -> HTTPServer:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            body = authority.answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def authority(tmp_path: Path, settings: Any) -> Iterator[Authority]:
    found = Authority(tmp_path / "authority")
    server = serving(found)
    settings.AUDIT_ANCHOR_DIR, settings.AUDIT_ANCHOR_EMAILS = "", []
    settings.AUDIT_TSA_URL = f"http://127.0.0.1:{server.server_port}/"
    settings.AUDIT_TSA_CERTS = str(found.home / "ca.pem")
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def signer(tmp_path: Path, settings: Any, db: None) -> Signer:
    settings.AUDIT_KEY, settings.AUDIT_ORIGIN = str(tmp_path / "key.pem"), "test.example/audit"
    make_key(tmp_path / "key.pem")
    made = load_signer(tmp_path / "key.pem", name="test.example/audit")
    with transaction.atomic():
        record(by=SYSTEM, action="thing.made")
    sequence(made)
    return made


def test_an_authority_says_that_the_checkpoint_existed_and_anybody_can_check_it(
    authority: Authority, signer: Signer, tmp_path: Path
) -> None:
    assert anchor_due(signer.key) == 1
    anchor = Anchor.objects.get()
    assert (anchor.kind, anchor.error, anchor.size) == (AnchorKind.STAMP, "", Head.objects.get().size)
    call_command("export_audit", str(tmp_path / "log.jsonl"), "--by", "claire", "--stamps", str(tmp_path / "stamps"))
    note, stamp = sorted((tmp_path / "stamps").iterdir())
    assert note.read_text() == Head.objects.get().note
    check = [
        "openssl",
        "ts",
        "-verify",
        "-data",
        str(note),
        "-in",
        str(stamp),
        "-CAfile",
        str(authority.home / "ca.pem"),
    ]
    assert "Verification: OK" in subprocess.run(check, check=True, capture_output=True, text=True).stdout
    note.write_text(note.read_text().replace("test", "rest"))
    assert subprocess.run(check, check=False, capture_output=True).returncode != 0


@pytest.mark.parametrize("says", ["nonsense", "too much", "the same again"])
def test_what_is_no_stamp_of_this_checkpoint_is_not_taken(authority: Authority, signer: Signer, says: str) -> None:
    assert anchor_due(signer.key) == 1
    with transaction.atomic():
        record(by=SYSTEM, action="thing.made")
    sequence(signer)
    authority.says = says
    assert anchor_due(signer.key, now=timezone.now() + timedelta(hours=1)) == 0
    newest = Anchor.objects.first()
    assert newest is not None and newest.stamp is None and "no valid time stamp" in newest.error
    assert not_anchored()


def test_a_stamp_must_lead_to_a_certificate_that_was_named(
    authority: Authority, signer: Signer, tmp_path: Path, settings: Any
) -> None:
    settings.AUDIT_TSA_CERTS = str(Authority(tmp_path / "another").home / "ca.pem")
    assert anchor_due(signer.key) == 0 and not_anchored()


def test_an_authority_that_is_away_is_on_record(authority: Authority, signer: Signer, settings: Any) -> None:
    settings.AUDIT_TSA_URL = "http://127.0.0.1:9/"
    assert anchor_due(signer.key) == 0
    assert "URLError" in Anchor.objects.get().error


def test_whoever_names_an_authority_must_say_whom_to_trust(settings: Any) -> None:
    settings.AUDIT_KEY, settings.AUDIT_TSA_URL, settings.AUDIT_TSA_CERTS = "key.pem", "https://tsa.example/", ""
    assert [one.id for one in audit_log_is_signed(databases=["default"])] == ["cdp.E003"]
