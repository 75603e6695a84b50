"""Naming servers and databases by URL, and one clear line when a server refuses."""

import os
import secrets

import psycopg
import pytest

from cdp.databases import (
    DatabaseRefused,
    Urls,
    administrator,
    copy_database,
    drop_database,
    ensure_database,
    exists,
    with_database,
)

GIVEN = Urls(
    database_url="postgresql://app:s%40cret@db.example:6432/shop?sslmode=require",
    database_owner_url="",
    database_admin_url="postgresql://app:s%40cret@db.example:6432/shop?sslmode=require",
    redis_url="redis://:pw@cache.example:6379/0",
)


@pytest.fixture
def servers(request: pytest.FixtureRequest) -> Urls:
    """The servers of this run, with a database name that is nobody's yet."""
    from tests.conftest import RUN

    return request.config.stash[RUN].urls.for_database(f"cdp_test_copy_{secrets.token_hex(4)}_named")


def test_another_database_keeps_everything_else_of_the_url() -> None:
    other = GIVEN.for_database("shop_cdnow")
    assert other.database_url == "postgresql://app:s%40cret@db.example:6432/shop_cdnow?sslmode=require"
    assert other.database == "shop_cdnow"
    assert (other.database_owner_url, other.database_admin_url) == ("", GIVEN.database_admin_url)


def test_a_url_without_a_host_keeps_its_empty_place() -> None:
    assert with_database("postgresql:///old?host=/run/pg", "a b") == "postgresql:///a%20b?host=/run/pg"


def test_another_queue_is_another_numbered_database() -> None:
    assert GIVEN.for_queue(7).redis_url == "redis://:pw@cache.example:6379/7"


def test_one_login_serves_as_owner_when_no_other_is_given() -> None:
    assert GIVEN.owner_login_url == GIVEN.database_url


def test_a_copy_holds_what_its_template_held_and_belongs_to_the_same_owner(servers: Urls) -> None:
    copy = servers.for_database(servers.database + "_2")
    ensure_database(servers)
    ensure_database(servers)  # a second time changes nothing
    with psycopg.connect(servers.owner_login_url) as owner:
        owner.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with administrator(servers) as admin:
        copy_database(admin, template=servers.database, name=copy.database)
        with psycopg.connect(copy.owner_login_url) as owner:
            owner.execute("ALTER TABLE kept ADD COLUMN more int")
            assert owner.execute("SELECT answer FROM kept").fetchall() == [(42,)]
        for urls in (servers, copy):
            drop_database(admin, urls.database)
            assert not exists(admin, urls.database)


def test_a_server_that_is_not_there_is_one_line() -> None:
    gone = Urls(database_url="", database_owner_url="", database_admin_url="postgresql://x@127.0.0.1:1/x", redis_url="")
    with pytest.raises(DatabaseRefused, match=r"^PostgreSQL is not reached: [^\n]*refused[^\n]*$"), administrator(gone):
        pass


def test_a_login_that_may_not_create_databases_is_one_line(servers: Urls) -> None:
    if os.environ.get("DATABASE_URL", "").startswith(servers.database_admin_url.rsplit("/", 1)[0]):
        # A single login that may do everything: the app's role, taken on after log-in, may not.
        limited = (
            f"{servers.database_admin_url}{'&' if '?' in servers.database_admin_url else '?'}options=-crole%3Dcdp_app"
        )
    else:
        limited = with_database(servers.database_url, "postgres")
    refused = Urls(
        database_url=servers.database_url, database_owner_url="", database_admin_url=limited, redis_url=""
    )  # fmt: skip
    with pytest.raises(DatabaseRefused, match=r"^CREATE DATABASE was refused \(permission denied to create database\)"):
        ensure_database(refused)
