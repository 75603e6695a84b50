"""Where a private server's files lie, which account runs it, and who uses it at the moment.

Nothing in here knows one server from another.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYSTEM_USER = "cdp-embedded"
# Where the files go when the system user can't reach the checkout (typically a checkout below /root).
ELSEWHERE = Path("/var/lib/cdp-embedded")
# A Unix socket's path may have 107 characters on Linux and 103 on macOS; PostgreSQL adds "/.s.PGSQL.5432.lock".
LONGEST_SOCKET_DIRECTORY = 80


class EmbeddedError(Exception):
    """A server can't be had; the message is one line that says what is wrong and what to do."""


@dataclass(frozen=True)
class Place:
    """`home` is ours, `base` belongs to the account that runs the servers (None: ourselves)."""

    home: Path
    base: Path
    account: pwd.struct_passwd | None

    @classmethod
    def of(cls, home: Path) -> "Place":
        home = home.resolve()
        try:
            home.mkdir(parents=True, exist_ok=True)
            (home / "locks").mkdir(exist_ok=True)
            if not os.access(home / "locks", os.W_OK):
                raise PermissionError
        except PermissionError:
            reason = "can't be written; it belongs to another user: remove it or run as its owner"
            raise EmbeddedError(f"{home} {reason}") from None
        # PostgreSQL refuses to run as root, as every server of somebody else's data should.
        account = _system_account() if os.geteuid() == 0 else None
        place = cls(home, home, account)
        if account and place.run(["test", "-x", str(home)]).returncode != 0:
            ELSEWHERE.mkdir(mode=0o755, exist_ok=True)
            place = cls(home, ELSEWHERE / hashlib.sha256(str(home).encode()).hexdigest()[:12], account)
            place.base.mkdir(mode=0o755, exist_ok=True)
        return place

    @property
    def locks(self) -> Path:
        return self.home / "locks"

    def private_directory(self, path: Path) -> Path:
        path.mkdir(mode=0o700, exist_ok=True)
        if self.account and path.stat().st_uid == 0:
            os.chown(path, self.account.pw_uid, self.account.pw_gid)
        if path.is_symlink() or path.stat().st_uid != (self.account.pw_uid if self.account else os.geteuid()):
            raise EmbeddedError(f"{path} belongs to another user: remove it")
        path.chmod(0o700)
        return path

    def socket_directory(self) -> Path:
        wanted = self.base / "run"
        if len(str(wanted)) > LONGEST_SOCKET_DIRECTORY:
            wanted = self._short_socket_directory()
        return self.private_directory(wanted)

    def remove(self) -> None:
        for path in (self.base, self._short_socket_directory(), self.home):
            shutil.rmtree(path, ignore_errors=True)

    def _short_socket_directory(self) -> Path:
        # Not tempfile.gettempdir(): on macOS that is a long path itself, and it may differ between two shells.
        name = f"cdp-{hashlib.sha256(str(self.base).encode()).hexdigest()[:16]}"
        return Path("/tmp") / name  # noqa: S108  (private_directory() refuses one that somebody else has made)

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Runs a short command as the account, in / (the account may not be able to read our directory)."""
        switch: dict[str, Any] = {}
        if self.account:
            switch = {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []}
        # LC_ALL: the server's own messages and macOS's locale look-up must not depend on the shell of the day.
        return subprocess.run(
            command, cwd="/", env={"LC_ALL": "C", "PATH": os.defpath}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **switch,
        )  # fmt: skip

    def binaries(self, package: str, inside: str) -> Path:
        """The folder `inside` an installed package, copied to where the account can reach it when it can't here."""
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise EmbeddedError(f"the package {package} is not installed: run `make install`, or set the server's URL")
        root = Path(spec.origin).parent
        if not (root / inside).is_dir():
            raise EmbeddedError(f"{package} has no server for this machine ({sys.platform}): set the server's URL")
        if not self.account or self.run(["test", "-x", str(root / inside)]).returncode == 0:
            return root / inside
        copy = ELSEWHERE / f"{package}-{importlib.metadata.version(package)}"
        if not copy.exists():
            ELSEWHERE.mkdir(mode=0o755, exist_ok=True)
            half = copy.with_name(f"{copy.name}.{os.getpid()}")
            for part in (root, root.with_name(f"{package}.libs")):
                if part.exists():
                    shutil.copytree(part, half / part.name, symlinks=True)
            try:
                half.rename(copy)
            except OSError:  # another start was quicker
                shutil.rmtree(half)
                if not copy.exists():
                    raise
        return copy / package / inside


def _system_account() -> pwd.struct_passwd:
    """The unprivileged account that servers run as when we are root: one of their own, else nobody."""
    for attempt in (SYSTEM_USER, None, "nobody"):
        if attempt is None and shutil.which("useradd"):
            add = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
            subprocess.run(add, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        try:
            return pwd.getpwnam(attempt or SYSTEM_USER)
        except KeyError:
            continue
    raise EmbeddedError("PostgreSQL won't run as root and no other account could be made: run as an ordinary user")


# ---- Sharing -----------------------------------------------------------------------------------------------
# Users of a server hold a shared lock on one file. The kernel drops it with the process, so even kill -9 leaves no
# stale count; the gate makes starting, and asking "am I the last?", one step.


@contextmanager
def shared(place: "Place", name: str, start: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    with open(place.locks / f"{name}.users", "w") as users:
        with gate(place, name):
            try:
                start()
            except BaseException:  # Ctrl-C, too: what was half begun must not stay
                if alone(users.fileno()):
                    end()
                raise
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with gate(place, name):
                if alone(users.fileno()):
                    end()


@contextmanager
def gate(place: "Place", name: str) -> Iterator[None]:
    with open(place.locks / f"{name}.gate", "w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def alone(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
