"""Private PostgreSQL and Valkey servers from pip packages, for whoever has configured none.

How they are placed and shared stands in `place`. Which processes of the platform run beside them does not belong here
(`cdp.serve` knows that), nor do migrations.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cdp.databases import Urls, ensure_database
from cdp.embedded.place import EmbeddedError, Place, alone, gate, shared
from cdp.embedded.postgres import APP_ROLE, OWNER_ROLE, PostgresServer
from cdp.embedded.valkey import ValkeyServer, free_port

__all__ = ["EmbeddedError", "forget", "free_port", "postgres", "services", "stop", "valkey"]


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
    server = PostgresServer(Place.of(home), profile)
    with shared(server.place, "postgres", server.ensure_running, server.stop):
        yield server.url(APP_ROLE, database), server.url(OWNER_ROLE, database), server.url("postgres", "postgres")


@contextmanager
def valkey(home: Path) -> Iterator[str]:
    """URL of a running private Valkey. It keeps nothing over a restart: nothing in it may be the only copy."""
    server = ValkeyServer(Place.of(home))
    with shared(server.place, "valkey", server.ensure_running, server.stop):
        yield server.url()


def stop(home: Path) -> bool:
    """Stops servers below `home` that nobody uses any more (their user was killed). False: somebody still does."""
    place = Place.of(home)
    idle = True
    for name, server in (("postgres", PostgresServer(place, "demo")), ("valkey", ValkeyServer(place))):
        with gate(place, name), open(place.locks / f"{name}.users", "w") as users:
            if alone(users.fileno()):
                server.stop()
            else:
                idle = False
    return idle


def forget(home: Path) -> None:
    """Removes the servers' data below `home`, wherever it lies."""
    if not stop(home):
        raise EmbeddedError(f"the servers of {home} are in use: stop what uses them first")
    Place.of(home).remove()
