"""Where the servers are, and databases on them: made, copied and dropped whole.

What stands in a database is the migrations' business; starting a server is `cdp.embedded`'s.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote, urlsplit

import psycopg
from psycopg import sql

OLDEST_POSTGRES = 15


class DatabaseRefused(Exception):
    """The server won't do what is needed; the message is one line that says what and why."""


@dataclass(frozen=True, kw_only=True)
class Urls:
    """Log-ins to the servers. An owner that wasn't given stays empty: the app's login then serves both roles."""

    database_url: str
    database_owner_url: str
    database_admin_url: str
    redis_url: str

    @property
    def owner_login_url(self) -> str:
        return self.database_owner_url or self.database_url

    @property
    def database(self) -> str:
        return database_name(self.database_url)

    def environ(self) -> dict[str, str]:
        """The variables that `cdp.settings` reads."""
        return {
            "DATABASE_URL": self.database_url,
            "DATABASE_OWNER_URL": self.database_owner_url,
            "REDIS_URL": self.redis_url,
        }

    def for_database(self, name: str) -> "Urls":
        """The same servers and log-ins, another database."""
        owner = self.database_owner_url and with_database(self.database_owner_url, name)
        return replace(self, database_url=with_database(self.database_url, name), database_owner_url=owner)

    def for_queue(self, number: int) -> "Urls":
        """The same servers, another of Valkey's numbered databases."""
        return replace(self, redis_url=with_database(self.redis_url, str(number)))


def database_name(url: str) -> str:
    return unquote(urlsplit(url).path.lstrip("/"))


def with_database(url: str, name: str) -> str:
    parts = urlsplit(url)
    # geturl() would drop the empty authority's slashes of a URL that has none.
    return f"{parts.scheme}://{parts.netloc}/{quote(name, safe='')}" + (f"?{parts.query}" if parts.query else "")


@contextmanager
def administrator(urls: Urls) -> Iterator[psycopg.Connection]:
    """A connection that may create databases; refused in one line when the server is not reached or is too old."""
    try:
        connection = psycopg.connect(urls.database_admin_url, autocommit=True, connect_timeout=10)
    except psycopg.OperationalError as problem:
        raise DatabaseRefused(f"PostgreSQL is not reached: {str(problem).strip().splitlines()[0]}") from problem
    with connection:
        if connection.info.server_version < OLDEST_POSTGRES * 10_000:
            version = connection.info.server_version // 10_000
            raise DatabaseRefused(f"PostgreSQL {OLDEST_POSTGRES} or newer is needed; the server is {version}")
        yield connection


def ensure_database(urls: Urls) -> None:
    """Makes the database that `urls` names when it is missing, owned by the owner's login."""
    with administrator(urls) as admin:
        if not exists(admin, urls.database):
            _refusable(admin, "CREATE DATABASE {} OWNER {}", urls.database, _login(urls.owner_login_url, admin))


def copy_database(admin: psycopg.Connection, *, template: str, name: str) -> None:
    """A new database that equals the template, which nobody may be connected to. Its owner is the template's."""
    row = admin.execute(
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s", [template]
    ).fetchone()  # fmt: skip
    assert row is not None, f"template {template!r} does not exist"
    # By its files: written through the log, as is usual, it takes five times as long.
    _refusable(admin, "CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY", name, template, row[0])


def drop_database(admin: psycopg.Connection, name: str) -> None:
    _refusable(admin, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def exists(admin: psycopg.Connection, name: str) -> bool:
    return admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


def _refusable(admin: psycopg.Connection, statement: str, *names: str) -> None:
    try:
        admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))  # type: ignore[arg-type]
    except psycopg.errors.InsufficientPrivilege as problem:
        reason = problem.diag.message_primary
        raise DatabaseRefused(f"{statement.split(' {')[0]} was refused ({reason}): use a login that may") from problem
    except psycopg.errors.DuplicateDatabase:
        return  # somebody else was quicker; it is what was wanted


def _login(url: str, admin: psycopg.Connection) -> str:
    return unquote(urlsplit(url).username or "") or admin.info.user
