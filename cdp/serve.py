"""Runs the whole platform on one machine: servers, database and all processes of ours, from one command.

This is what `make demo`, `make cdnow` and the small commands of the Makefile stand on. In production each process is
started by the machine's own supervisor, and nothing here is used. How servers are started belongs in `cdp.embedded`.
"""

import argparse
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from cdp import embedded
from cdp.databases import DatabaseRefused, Urls, administrator, drop_database, ensure_database
from cdp.processes import ProcessGroup, end_left_behind

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(os.environ.get("CDP_DEMO_HOME", str(ROOT / ".demo")))
MANAGE = [sys.executable, str(ROOT / "manage.py")]
READY_SECONDS = 60
# The demo may well be run by root, and its static files are served from where they lie.
EXPECTED_WARNINGS = ("You're running the worker with superuser privileges", "No directory at")


class Stopped(BaseException):
    """Somebody asked us to stop; raised where we are, so that everything begun is unwound on the way out."""


class Failed(Exception):
    """A step can't be done; the message is one line for the person at the terminal."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cdp.serve", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="load the demo shop once and serve it")
    demo.add_argument("--port", type=int, default=8000)
    demo.add_argument("--check", action="store_true", help="run the main job, print what it did, stop")
    run = commands.add_parser("run", help="run one manage.py command with the servers around it")
    run.add_argument("--own-database", default="", metavar="SUFFIX", help="in a database beside the demo's")
    run.add_argument("--migrate", action="store_true", help="bring the database up to date first")
    run.add_argument("--fresh", action="store_true", help="an own database is emptied first")
    run.add_argument("--python", action="store_true", help="run Python with the arguments instead of manage.py")
    run.add_argument("arguments", nargs="+", help="the command and its arguments")
    commands.add_parser("forget", help="throw the demo's data away")
    commands.add_parser("stop", help="stop a running demo, or what is left of one that was killed")
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop_once)
    try:
        if options.command == "demo":
            return serve_demo(port=options.port, check=options.check)
        if options.command == "stop":
            return stop_demo()
        if options.command == "forget":
            embedded.forget(HOME)
            # Its anchors belong to that database, and would find any other one to be an old copy.
            shutil.rmtree(HOME / "audit", ignore_errors=True)
            # And nothing is left that these keys could open.
            shutil.rmtree(HOME / "vault", ignore_errors=True)
            shutil.rmtree(HOME / "exports", ignore_errors=True)
            return 0
        program = [sys.executable] if options.python else MANAGE
        return run_command(
            [*program, *options.arguments],
            own_database=options.own_database,
            fresh=options.fresh,
            migrate=options.migrate,
        )
    except Stopped:
        return 130
    except (Failed, embedded.EmbeddedError, DatabaseRefused) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1


def serve_demo(*, port: int, check: bool) -> int:
    """Serves the demo shop until stopped; with `check`, until the main job has been run: 0 if all of it was right."""
    with _only_one_demo() as lock:
        left = end_left_behind(HOME / "processes.json")
        if left:
            say(f"ended {left} processes of a demo that was killed")
        chosen = first_free_port(port)
        if chosen != port:
            say(f"port {port} is taken; using {chosen}")
        url = f"http://127.0.0.1:{chosen}"
        lock.write_text(json.dumps({"pid": os.getpid(), "url": url}))
        own_server = "DATABASE_URL" in os.environ
        say("using the PostgreSQL that DATABASE_URL names" if own_server else "starting PostgreSQL and Valkey")
        with embedded.services(HOME) as urls:
            environ = {"CDP_PUBLIC_URL": url, **who_answers(url), **platform_environ(urls)}
            manage(["migrate", "--database", "owner", "--verbosity", "0"], environ, doing="updating the database")
            if own_server:
                # Whether the log-ins keep the app from what only migrations may do is for their owner to know.
                manage(["check", "--database", "default"], environ, doing="checking the log-ins")
            if "CDP_AUDIT_KEY" not in os.environ:
                manage(["audit_key", "--if-missing"], environ, doing="looking for the audit log's key")
            make_vault_key(environ)
            manage(["load_demo", "--url", url], environ, doing="loading the demo shop")
            # A check prints a table; what the processes say beside it would tear it apart.
            output = open(HOME / "check.log", "w") if check else sys.stdout  # noqa: SIM115  (closed with the process)
            group = ProcessGroup(record=HOME / "processes.json", environ=environ, output=output)
            try:
                say("starting web, consumer, sweeper, sequencer, keeper, deliverer, worker and beat")
                start_platform(group, port=chosen)
                wait_until_ready(group, url)
                if check:
                    say(f"running the main job; what the processes say is in {HOME / 'check.log'}")
                    return subprocess.run([*MANAGE, "check_main_job"], env=environ, check=False).returncode
                print_log_ins(url)
                return _watch(group)
            except Stopped:
                say("stopping")
                return 0
            finally:
                group.stop()


def who_answers(url: str) -> dict[str, str]:
    """Whom receipts of the demo name as who answers for the data: the shop that doesn't exist, unless somebody says who does."""
    if any(name.startswith("CDP_CONTROLLER_") for name in os.environ):
        return {}
    shop = {
        "NAME": "Paper Boat Goods",
        "ADDRESS": "1 Harbor Street, New York",
        "COUNTRY": "US",
        "EMAIL": "privacy@shop.example.com",
        "PHONE": "+1 212 555 0100",
        "PRIVACY_URL": "https://shop.example.com/privacy",
        "CHOICES_URL": f"{url}/demo/shop/",
    }
    return {f"CDP_CONTROLLER_{word}": value for word, value in shop.items()}


def start_platform(group: ProcessGroup, *, port: int, host: str = "127.0.0.1") -> None:
    """The eight processes; each may be started again, or on other machines, as often as the load asks for."""
    web = ["--interface", "wsgi", "--http", "1", "--no-ws", "--host", host, "--port", str(port)]
    group.start("web", [sys.executable, "-m", "granian", *web, "--workers", "2", "--blocking-threads", "4",
                        "--log-level", "warning", "cdp.wsgi:application"])  # fmt: skip
    group.start("consumer", [*MANAGE, "consume"])
    group.start("sweeper", [*MANAGE, "sweep"])
    group.start("sequencer", [*MANAGE, "sequence_audit"])
    group.start("keeper", [*MANAGE, "keep_audiences"])
    group.start("deliverer", [*MANAGE, "deliver"])
    celery = [sys.executable, "-m", "celery", "--app", "cdp", "--quiet"]
    group.start("worker", [*celery, "worker", "--concurrency", "2", "--loglevel", "WARNING"])
    group.start("beat", [*celery, "beat", "--schedule", str(HOME / "beat-schedule"), "--loglevel", "WARNING"])


def wait_until_ready(group: ProcessGroup, url: str) -> None:
    patience = time.monotonic() + READY_SECONDS
    while time.monotonic() < patience:
        if gone := group.ended():
            raise Failed(f"{gone[0]} ended with code {gone[1]} before the site answered; its words tell why")
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except urllib.error.HTTPError:
            time.sleep(1)  # it answers, but some part of it isn't there yet
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise Failed(f"{url}/readyz did not answer within {READY_SECONDS} seconds; the processes' words tell why")


def _watch(group: ProcessGroup) -> int:
    while (gone := group.ended()) is None:
        time.sleep(0.5)
    say(f"{gone[0]} ended with code {gone[1]}; stopping the others")
    return 1


def print_log_ins(url: str) -> None:
    path = HOME / "credentials.json"
    credentials = json.loads(path.read_text())
    print(f"\n  The demo shop is at {url}\n")
    for role, user in credentials["users"].items():
        print(f"    {role:<12} {user['username']:<24} {user['password']}")
    print(f"\n  These log-ins, a write key and an API key are in {path}\n  Ctrl-C stops everything.\n", flush=True)


def run_command(command: Sequence[str], *, own_database: str, fresh: bool, migrate: bool) -> int:
    """Exit code of one command, run with servers around it and, if asked, in a database of its own."""
    with embedded.services(HOME) as urls:
        if own_database:
            # A queue of its own too, so that the demo's worker doesn't take up work that isn't in its database.
            urls = urls.for_database(f"{urls.database}_{own_database}").for_queue(1)
            if fresh:
                with administrator(urls) as admin:
                    drop_database(admin, urls.database)
            ensure_database(urls)
        environ = platform_environ(urls)
        if migrate:
            manage(["migrate", "--database", "owner", "--verbosity", "0"], environ, doing="updating the database")
            make_vault_key(environ)
        return subprocess.run(command, env=environ, check=False).returncode


def platform_environ(urls: Urls) -> dict[str, str]:
    """The environment of every process of the demo; what the caller has set wins."""
    ours = {
        "CDP_SECRET_KEY": _secret_key(),
        "DJANGO_SETTINGS_MODULE": "cdp.settings",
        # Beside the data, which is right for a trial only: whoever has the one has the other.
        "CDP_AUDIT_KEY": str(HOME / "audit" / "key.pem"),
        "CDP_VAULT_KEY_FILE": str(HOME / "vault" / "keys.json"),
        "CDP_PRIVACY_EXPORTS": str(HOME / "exports"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": ",".join(f"ignore:{message}" for message in EXPECTED_WARNINGS),
    }
    if "DATABASE_URL" not in os.environ:  # anchors belong to one database
        ours["CDP_AUDIT_ANCHORS"] = str(HOME / "audit" / "anchors")
    return {**ours, **os.environ, **urls.environ()}


def manage(arguments: Sequence[str], environ: dict[str, str], *, doing: str) -> None:
    """One step of the start; its own output goes to the terminal."""
    say(doing)
    began = time.monotonic()
    result = subprocess.run([*MANAGE, *arguments], env=environ, check=False)
    if result.returncode != 0:
        raise Failed(f"{doing} failed (manage.py {arguments[0]}, code {result.returncode}); the reason stands above")
    if (took := time.monotonic() - began) >= 5:
        say(f"{doing} took {took:.0f} seconds")


def make_vault_key(environ: dict[str, str]) -> None:
    """Without one nothing about a person can be sealed. One that the caller names is theirs to make."""
    if "CDP_VAULT_KEY_FILE" not in os.environ and not Path(environ["CDP_VAULT_KEY_FILE"]).exists():
        manage(["vault_key", "--if-missing"], environ, doing="making the vault's key")


def stop_demo() -> int:
    path = HOME / "serve.json"
    if path.exists():
        with open(path, "r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                running = json.loads(path.read_text())
                os.kill(running["pid"], signal.SIGTERM)
                fcntl.flock(lock, fcntl.LOCK_EX)
    end_left_behind(HOME / "processes.json")
    if HOME.exists() and not embedded.stop(HOME):
        say("the servers stay: another command still uses them")
    return 0


def first_free_port(wanted: int) -> int:
    for port in range(wanted, min(wanted + 100, 65536)):
        with socket.socket() as probe:
            # As the web server does: a port whose last connections are still closing is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Failed(f"no free port from {wanted} on: choose one with PORT=")


@contextmanager
def _only_one_demo() -> Iterator[Path]:
    HOME.mkdir(parents=True, exist_ok=True)
    path = HOME / "serve.json"
    with open(path, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = json.loads(path.read_text() or "{}")
            where = f"at {running['url']} (process {running['pid']})" if running else "or just starting"
            raise Failed(f"the demo already runs, {where}; stop it there with Ctrl-C, or with `make stop`") from None
        yield path


def _secret_key() -> str:
    path = HOME / "secret_key"
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    return path.read_text()


def _stop_once(number: int, frame: FrameType | None) -> None:
    # A second Ctrl-C must not interrupt the orderly end, or servers would be left running.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped


def say(line: str) -> None:
    print(f"* {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
