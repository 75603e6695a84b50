"""How every test gets its servers, its database and its limits. What is specific to a folder stays in that folder.

Ordinary tests use `db`: they run as the app's role, in a transaction that is rolled back. Tests about commits, locks
or processes use `own_database`, with `processes` for the real web server, consumer and Celery worker.
"""

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import hypothesis
import psutil
import pytest

from cdp import embedded
from cdp.databases import Urls
from cdp.vault.ring import make_ring
from tests.harness.browser import HOW, find_chromium
from tests.harness.databases import Run, started_run
from tests.harness.network import stay_on_this_machine
from tests.harness.processes import Processes
from tests.harness.spark import what_spark_lacks

HOME = Path(os.environ.get("CDP_TEST_HOME", str(Path(__file__).resolve().parent.parent / ".test")))
REQUIRE_ALL = bool(os.environ.get("REQUIRE_ALL") or os.environ.get("CI"))
# A gate must say the same of the same code. Whoever runs tests or drills by hand draws other examples each time.
hypothesis.settings.register_profile("gate", derandomize=True)
if REQUIRE_ALL:
    hypothesis.settings.load_profile("gate")
FLUSHING = {"transactional_db", "live_server", "django_db_reset_sequences"}
RUN = pytest.StashKey[Run]()
END = pytest.StashKey[ExitStack]()
NOT_ON_SPARK = pytest.StashKey[str]()


# ---- One run: servers, template, this worker's copy ----------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Settings are read from the environment, so the servers must be known before Django is set up."""
    if config.getoption("help", False):
        return
    # A sixth of a run went into looking through modules and collected tests, which all live until its end.
    gc.set_threshold(100_000, 50, 100)
    config.stash[END] = stack = ExitStack()
    worker = getattr(config, "workerinput", None)
    os.environ.setdefault("CDP_SECRET_KEY", "tests-only-" + "0" * 50)
    # A test's own transaction lasts as long as the test, and what it holds to the limit of a batch is all of it.
    os.environ.setdefault("CDP_BATCH_SECONDS", "1800")
    os.environ.setdefault("CDP_VAULT_KEY_FILE", str(_vault_key()))
    if worker is None:
        valkey_url = os.environ.get("REDIS_URL") or stack.enter_context(_valkey_of_this_run())
        environ = {**os.environ, "REDIS_URL": valkey_url}
        urls = stack.enter_context(embedded.services(HOME, profile="test", environ=environ))
        config.stash[RUN] = run = stack.enter_context(started_run(urls))
    else:
        config.stash[RUN] = run = Run(Urls(**worker["urls"]), worker["template"], worker["run"])
    number = 0 if worker is None else int(worker["workerid"].removeprefix("gw"))
    if worker is not None or not _has_workers(config):
        copy = run.copied(f"w{number}")
        # Valkey's databases: one for each pytest worker, so that nobody takes up another's tasks.
        os.environ.update(copy.for_queue(number).environ())
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.harness.settings"
        import django

        django.setup()
    stay_on_this_machine(but=urlsplit(run.urls.redis_url).hostname)


def pytest_configure_node(node) -> None:  # type: ignore[no-untyped-def]  # xdist's hook, in the controller
    run = node.config.stash[RUN]
    node.workerinput.update(urls=vars(run.urls), template=run.template, run=run.name)


def pytest_unconfigure(config: pytest.Config) -> None:
    if END in config.stash:
        config.stash[END].close()


def _vault_key() -> Path:
    """The file with the vault's keys, made by whoever comes first: every run and every process of it may share them."""
    path = HOME / "vault.json"
    with suppress(FileExistsError):
        make_ring(path)
    return path


@contextmanager
def _valkey_of_this_run() -> Iterator[str]:
    for left in HOME.glob("valkey-*"):  # by runs that were killed
        if not psutil.pid_exists(int(left.name.removeprefix("valkey-"))) and embedded.stop(left):
            shutil.rmtree(left)
    home = HOME / f"valkey-{os.getpid()}"
    with embedded.valkey(home) as url:
        yield url
    shutil.rmtree(home)


def _has_workers(config: pytest.Config) -> bool:
    return bool(config.getoption("numprocesses", None)) and config.getoption("dist", "no") != "no"


@pytest.fixture(scope="session")
def django_db_setup() -> None:
    """Nothing is left to set up: this worker's copy of the template was made before Django started."""


@pytest.fixture(autouse=True)
def _counts_of_this_test() -> Iterator[None]:
    """Look-ups are counted in the process: what a test left would be taken for what the next one asked."""
    from cdp.content.counting import counter

    counter.forget()
    yield
    counter.forget()
    assert not counter.writes_by_itself, "`cdp.wsgi` was imported: its thread would write into every test's database"


@pytest.fixture(scope="session", autouse=True)
def _quick_clients() -> Iterator[None]:
    """Each test client loads the middleware anew, and WhiteNoise would look at every static file each time."""
    from django.test import override_settings

    with override_settings(WHITENOISE_AUTOREFRESH=True):
        yield


# ---- A test's own database, and real processes on it ---------------------------------------------------------


@dataclass(frozen=True)
class OwnDatabase:
    """A fresh copy that commits are kept in. `environ` points a child process to it."""

    urls: Urls
    environ: dict[str, str]


@pytest.fixture
def own_database(request: pytest.FixtureRequest, django_db_blocker) -> Iterator[OwnDatabase]:  # type: ignore[no-untyped-def]
    """Both of Django's connections point to a fresh database for this test; it is dropped afterwards."""
    if {"db", "transactional_db"} & set(request.fixturenames) or request.node.get_closest_marker("django_db"):
        pytest.fail("a test has either `db` or `own_database`: one rolls back, the other keeps commits")
    with _database_of_its_own(request.config.stash[RUN], django_db_blocker) as database:
        yield database


@pytest.fixture(scope="module")
def modules_database(request: pytest.FixtureRequest, django_db_blocker) -> Iterator[OwnDatabase]:  # type: ignore[no-untyped-def]
    """As `own_database`, for all tests of a module that hardly write and need much: what one commits the next ones see."""
    with _database_of_its_own(request.config.stash[RUN], django_db_blocker) as database:
        yield database


@contextmanager
def _database_of_its_own(run: Run, django_db_blocker) -> Iterator[OwnDatabase]:  # type: ignore[no-untyped-def]
    from django.conf import settings
    from django.core.cache import cache
    from django.db import connections

    worker = os.environ.get("PYTEST_XDIST_WORKER", "w0")
    usual = {alias: connections.settings[alias]["NAME"] for alias in ("default", "owner")}
    urls = run.copied(f"{worker}_own").for_queue(int(urlsplit(settings.REDIS_URL).path.lstrip("/") or 0))
    try:
        _point_connections_to(dict.fromkeys(usual, urls.database))
        cache.clear()
        with django_db_blocker.unblock():
            yield OwnDatabase(urls, urls.environ())
    finally:
        _point_connections_to(usual)
        cache.clear()
        run.drop(urls)


def _point_connections_to(names: dict[str, str]) -> None:
    from django.db import connections

    from cdp.ingestion.inbox import bell

    bell.rest()  # its thread has a connection of its own
    for alias, name in names.items():
        connections[alias].close()
        # The dict is shared by the connections of all threads, so those opened later follow.
        connections.settings[alias]["NAME"] = name


@pytest.fixture
def process_environ() -> dict[str, str]:
    """What a test adds to the environment of real processes; overridden by those that need something."""
    return {}


@pytest.fixture
def processes(
    own_database: OwnDatabase, process_environ: dict[str, str], request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Processes]:
    """Starts the platform's real processes on `own_database`; ends them and shows what they said if the test fails."""
    logs = tmp_path / "processes"
    logs.mkdir()
    started = Processes({**own_database.environ, **process_environ}, logs)
    failures_before = request.session.testsfailed
    try:
        yield started
    finally:
        started.end_all()
        if request.session.testsfailed > failures_before:
            print(started.output())


@pytest.fixture
def live_site(processes: Processes) -> str:
    """URL of a real web server on `own_database`."""
    return processes.web()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser for browser tests."""
    path = find_chromium()
    if path is None:
        pytest.skip(HOW)
    return path


# ---- Drills, and what a run must not do ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def drill_scale() -> Callable[..., int]:
    """The figure to use: `drill_scale(full=30, quick=3)` gives the first in `make drill`, else the second."""

    def choose(*, full: int, quick: int) -> int:
        return full if os.environ.get("DRILL") == "full" else quick

    return choose


@pytest.hookimpl(tryfirst=True)  # before `-m drill` chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _leave_out_spark(config, items)
    for item in items:
        if "drill_scale" in getattr(item, "fixturenames", ()):
            item.add_marker("drill")  # what has a full figure belongs to `make drill`
        marker = item.get_closest_marker("django_db")
        if FLUSHING & set(getattr(item, "fixturenames", ())) or (marker and marker.kwargs.get("transaction")):
            raise pytest.UsageError(
                f"{item.nodeid}: use the fixture `own_database` instead of a flushed database; "
                "the app's role may not truncate, and append-only tables can't be emptied"
            )


def _leave_out_spark(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Spark is no part of the platform: its tests are chosen by `make drill` or `-m spark`, and only where it is.

    They are left out rather than skipped, because a skipped test is one that CI should have run.
    """
    on_spark = [item for item in items if item.get_closest_marker("spark")]
    is_asked_for = os.environ.get("DRILL") == "full" or "spark" in config.getoption("markexpr", "")
    lacking = what_spark_lacks() if is_asked_for else ""
    if on_spark and lacking is not None:
        items[:] = [item for item in items if item not in on_spark]
        config.hook.pytest_deselected(items=on_spark)
        if lacking:
            config.stash[NOT_ON_SPARK] = f"{len(on_spark)} tests of rules on Apache Spark did NOT run: {lacking}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if NOT_ON_SPARK in config.stash:
        terminalreporter.write_sep("!", "Apache Spark", red=True, bold=True)
        terminalreporter.write_line(config.stash[NOT_ON_SPARK], red=True, bold=True)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With REQUIRE_ALL or CI set, a test skipped for a missing part is a failure: it has proven nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not REQUIRE_ALL or reporter is None or hasattr(session.config, "workerinput"):
        return
    if (skipped := reporter.stats.get("skipped", [])) and session.exitstatus == pytest.ExitCode.OK:
        reporter.write_line(
            f"\nerror: {len(skipped)} tests were skipped, but REQUIRE_ALL or CI asks for all:", red=True
        )
        for report in skipped:
            reporter.write_line(f"  {report.nodeid}: {report.longrepr[2] if report.longrepr else ''}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
