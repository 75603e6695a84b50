"""Places that files are handed over to, as real servers on the loopback: an S3 store, an SFTP server, and one that takes uploads."""

import base64
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import paramiko
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI", "eu-central-1"


@dataclass
class Store:
    """What a store or an upload server has, and what it does instead of taking something, where a test says so."""

    port: int = 0
    objects: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    uploads: dict[str, dict[int, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    status: int = 0
    breaks_off_after: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class _Checked(S3SigV4Auth):  # type: ignore[misc]
    """The signature of a request as it came: nothing of it is made up anew."""

    def _modify_request_before_signing(self, request: AWSRequest) -> None:
        request.context["timestamp"] = request.headers["X-Amz-Date"]


def is_signed(method: str, url: str, headers: dict[str, str]) -> bool:
    """Whether who sent this has the secret: all headers that it says are signed are, by botocore's own reckoning."""
    given = headers.get("authorization", "")
    names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest(method=method, url=url, headers={name: headers[name] for name in names if name in headers})
    request.context["timestamp"] = headers["x-amz-date"]
    signer = _Checked(Credentials(ACCESS, SECRET), "s3", REGION)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return bool(given) and given.endswith(f"Signature={signer.signature(text, request)}")


@contextmanager
def taking(*, is_s3: bool = False) -> Iterator[Store]:
    store = Store()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def taken(self) -> None:
            store.asked.append(f"{self.command} {self.path}")
            headers = {name.lower(): value for name, value in self.headers.items()}
            size = int(headers.get("content-length", 0))
            if store.breaks_off_after and size > store.breaks_off_after:
                self.rfile.read(store.breaks_off_after)
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return None
            body = self.rfile.read(size)
            if store.status:
                return self.answer(store.status)
            if is_s3:
                return self.as_s3(headers, body)
            digest = headers["content-digest"].removeprefix("sha-256=:").rstrip(":")
            assert base64.b64decode(digest) == hashlib.sha256(body).digest()
            store.objects[self.path] = body
            store.headers[self.path] = headers
            return self.answer(201)

        def as_s3(self, headers: dict[str, str], body: bytes) -> None:
            if not is_signed(self.command, f"{store.url}{self.path}", headers):
                return self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
            if headers["x-amz-content-sha256"] != hashlib.sha256(body).hexdigest():
                return self.answer(400, b"<Error><Code>XAmzContentSHA256Mismatch</Code></Error>")
            parts = urlsplit(self.path)
            name, query = unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)
            upload = query.get("uploadId", [""])[0]
            if self.command == "POST" and "uploads" in query:
                store.uploads["u1"] = {}
                return self.answer(
                    200, b'<R xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><UploadId>u1</UploadId></R>'
                )
            if self.command == "POST":
                store.objects[name] = b"".join(piece for _, piece in sorted(store.uploads.pop(upload).items()))
                return self.answer(200, b"<CompleteMultipartUploadResult/>")
            if self.command == "DELETE":
                (store.uploads if upload else store.objects).pop(upload or name, None)
                return self.answer(204)
            if upload:
                store.uploads[upload][int(query["partNumber"][0])] = body
            else:
                store.objects[name] = body
            return self.answer(200, ETag=f'"{hashlib.md5(body).hexdigest()}"')  # noqa: S324  # as S3 does

        do_PUT = do_POST = do_DELETE = taken

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    store.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()


# ---- SFTP ------------------------------------------------------------------------------------------------------------


@dataclass
class SftpServer:
    port: int
    root: Path
    key: paramiko.PKey
    breaks_off_after: int = 0
    logins: list[str] = field(default_factory=list)

    @property
    def host_key(self) -> str:
        return f"{self.key.get_name()} {self.key.get_base64()}"


@contextmanager
def sftp_server(
    root: Path,
    *,
    client_key: paramiko.PKey | None = None,
) -> Iterator[SftpServer]:
    """Lets in with the password “open sesame”, or by the key."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = SftpServer(listener.getsockname()[1], root, paramiko.ECDSAKey.generate())
    transports: list[paramiko.Transport] = []

    class Door(paramiko.ServerInterface):
        def check_auth_password(self, username: str, given: str) -> int:
            server.logins.append(username)
            return paramiko.AUTH_SUCCESSFUL if given == "open sesame" else paramiko.AUTH_FAILED

        def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
            server.logins.append(username)
            return paramiko.AUTH_SUCCESSFUL if client_key is not None and key == client_key else paramiko.AUTH_FAILED

        def check_channel_request(self, kind: str, chanid: int) -> int:
            return paramiko.OPEN_SUCCEEDED

        def get_allowed_auths(self, username: str) -> str:
            return "password,publickey"

    class Handle(paramiko.SFTPHandle):
        def __init__(self, file: Any) -> None:
            super().__init__(os.O_WRONLY)
            self.writefile, self.size = file, 0

        def write(self, offset: int, data: bytes) -> int:
            self.size += len(data)
            if server.breaks_off_after and self.size > server.breaks_off_after:
                for one in transports:
                    one.close()
            return super().write(offset, data)

    class Files(paramiko.SFTPServerInterface):
        def _at(self, path: str) -> Path:
            return root / path.lstrip("/")

        def open(self, path: str, flags: int, attr: Any) -> Any:
            try:
                return Handle(self._at(path).open("wb"))
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno or 0)

        def stat(self, path: str) -> Any:
            try:
                return paramiko.SFTPAttributes.from_stat(self._at(path).stat())
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno or 0)

        lstat = stat

        def remove(self, path: str) -> int:
            try:
                self._at(path).unlink()
            except OSError as error:
                return paramiko.SFTPServer.convert_errno(error.errno or 0)
            return paramiko.SFTP_OK

        def posix_rename(self, old: str, new: str) -> int:
            self._at(old).replace(self._at(new))
            return paramiko.SFTP_OK

    def serve() -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(link)
            transports.append(transport)
            transport.add_server_key(server.key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
            try:
                transport.start_server(server=Door())
            except (paramiko.SSHException, EOFError, OSError):
                continue  # whoever came went away

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server
    finally:
        listener.close()
        for one in transports:
            one.close()
