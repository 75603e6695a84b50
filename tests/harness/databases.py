"""Databases for tests: one migrated template, copied for each pytest worker and for each test that needs its own.

Tests use them through the fixtures of conftest.py; what stands in the template is the migrations' business alone.
"""

import hashlib
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from cdp.databases import Urls, administrator, copy_database, drop_database, ensure_database, exists

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE, COPY, BUILDING = "cdp_test_template_", "cdp_test_copy_", "cdp_test_building_"
TEMPLATES_KEPT = timedelta(days=2)
# Whatever decides what a migrated database looks like; pinned requirements bring the migrations of others.
DECIDING = (
    "*/migrations/*.py",
    "*/*/migrations/*.py",
    "*/models.py",
    "*/*/models.py",
    "cdp/bi/views.py",
    "requirements.txt",
)


@dataclass(frozen=True)
class Run:
    """One run of pytest: servers, the template, and the name under which its copies are known."""

    urls: Urls
    template: str
    name: str

    def copied(self, suffix: str) -> Urls:
        """URLs of a new copy of the template."""
        urls = self.urls.for_database(f"{COPY}{self.name}_{suffix}")
        with administrator(self.urls) as admin:
            copy_database(admin, template=self.template, name=urls.database)
        return urls

    def drop(self, urls: Urls) -> None:
        with administrator(self.urls) as admin:
            drop_database(admin, urls.database)


@contextmanager
def started_run(urls: Urls) -> Iterator[Run]:
    """A run whose template is there, and whose copies are gone afterwards."""
    name = secrets.token_hex(4)
    with administrator(urls) as admin:
        # Held as long as the run lives: that is how another run knows whose copies nobody needs any more.
        admin.execute("SELECT pg_advisory_lock(hashtext(%s))", [COPY + name])
        _drop_what_dead_runs_left(admin)
        run = Run(urls, _ensure_template(admin, urls), name)
        try:
            yield run
        finally:
            for copy in _names(admin, COPY + name):
                drop_database(admin, copy)


def _ensure_template(admin: psycopg.Connection, urls: Urls) -> str:
    template = TEMPLATE + _fingerprint()
    # Runs that start at the same time wait here, and find the template that the first has made.
    admin.execute("SELECT pg_advisory_lock(hashtext(%s))", [TEMPLATE])
    try:
        if not exists(admin, template):
            building = urls.for_database(BUILDING + secrets.token_hex(4))
            ensure_database(building)
            try:
                _migrate(building)
                names = sql.Identifier(building.database), sql.Identifier(template)
                admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(*names))
            except BaseException:
                drop_database(admin, building.database)
                raise
        note = sql.SQL("COMMENT ON DATABASE {} IS {}")
        admin.execute(note.format(sql.Identifier(template), sql.Literal(datetime.now(UTC).isoformat())))
    finally:
        admin.execute("SELECT pg_advisory_unlock(hashtext(%s))", [TEMPLATE])
    return template


def _migrate(urls: Urls) -> None:
    # Without the system checks: they are a test of their own, and a broken URL must not keep all others from running.
    command = [sys.executable, str(ROOT / "manage.py"), "migrate", "--database", "owner", "--skip-checks", "-v", "0"]
    result = subprocess.run(
        command, env={**os.environ, **urls.environ()}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False,
    )  # fmt: skip
    if result.returncode != 0:
        raise RuntimeError(f"the test template can't be migrated:\n{result.stdout}")


def _fingerprint() -> str:
    # Partitions are made ahead of today: a template from last month lacks the newest.
    digest = hashlib.sha256(f"{datetime.now(UTC):%Y-%m}".encode())
    for pattern in DECIDING:
        for path in sorted(ROOT.glob(pattern)):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _drop_what_dead_runs_left(admin: psycopg.Connection) -> None:
    for copy in _names(admin, COPY):
        owner = copy.removeprefix(COPY).split("_")[0]
        row = admin.execute("SELECT pg_try_advisory_lock(hashtext(%s))", [COPY + owner]).fetchone()
        if row == (True,):
            drop_database(admin, copy)
            admin.execute("SELECT pg_advisory_unlock(hashtext(%s))", [COPY + owner])
    for template in _names(admin, TEMPLATE):
        row = admin.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [template]
        ).fetchone()
        if row and row[0] and datetime.fromisoformat(row[0]) < datetime.now(UTC) - TEMPLATES_KEPT:
            drop_database(admin, template)


def _names(admin: psycopg.Connection, prefix: str) -> list[str]:
    rows = admin.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [prefix])
    return [row[0] for row in rows]
