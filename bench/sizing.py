"""What a machine for the platform needs: events a second, memory of each process, bytes in the database; as a table in Markdown.

The figures of docs/guides/sizing.md. The processes are started as the units in deploy/systemd start them, with one worker for the web. Run
by `make bench ARGS=sizing`; BENCH_PEOPLE, BENCH_EVENTS, BENCH_HISTORY and BENCH_SECONDS choose another size.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

for name, small in {"BENCH_PEOPLE": "20000", "BENCH_EVENTS": "60000", "BENCH_HISTORY": "200000"}.items():
    os.environ.setdefault(name, small)
os.environ.setdefault("CDP_LOG_LEVEL", "WARNING")

import psutil
from django.db import connections

from bench import ingest
from bench.report import commit, machine
from cdp.audit.signing import make_key
from cdp.embedded import free_port
from cdp.ingestion import inbox
from cdp.ingestion.models import InboxMessage
from cdp.jobs.models import Job
from segments.models import Membership, Segment
from segments.services import request_refresh

ROOT = Path(__file__).resolve().parents[1]
UNITS = ("web", "consume@", "sweep", "sequence-audit", "keep-audiences", "deliver", "worker", "beat")
SETTLING_SECONDS = 15
PATIENCE_SECONDS = 300
SAMPLE_SECONDS = 0.25
KEPT = "SELECT sum(message_count) FROM ingestion_inboxmessage"
# Each message that was sent once: neither repeats nor what is derived from others.
TAKEN_UP = "SELECT count(*) FROM ingestion_seenmessage"
TOLERANCE = 0.1
GROUPS = {
    "profile, with 1 identifier and 3 traits": (
        ("profiles_profile", "profiles_identifier", "profiles_traitvalue"), "SELECT count(*) FROM profiles_profile",
    ),
    "event, with 3 to 6 properties": (
        ("profiles_event", "profiles_eventtotal", "profiles_session"), "SELECT count(*) FROM profiles_event",
    ),
    "event, so that its repeat is known (kept `CDP_SEEN_MESSAGE_DAYS`)": (
        ("ingestion_seenmessage",), "SELECT count(*) FROM ingestion_seenmessage",
    ),
    "membership that stands": (("segments_membership",), "SELECT count(*) FROM segments_membership"),
    "change of a membership": (("segments_membershipchange",), "SELECT count(*) FROM segments_membershipchange"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Of a process and those it started, in MiB: pages that several share are counted once, by their shares."""

    idle: float
    most: float
    processes: int


def command_of(unit: str, *, port: int, home: Path) -> list[str]:
    text = (ROOT / f"deploy/systemd/cdp-{unit}.service").read_text()
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    for shipped, here in {
        "/opt/cdp/.venv/bin/python": sys.executable, "/opt/cdp": str(ROOT), "/var/lib/cdp": str(home), "8000": str(port),
        "--workers 4": "--workers 1", "%H": "bench",
    }.items():  # fmt: skip
        line = line.replace(shipped, here)
    return shlex.split(line)


@contextmanager
def running(units: Sequence[str], home: Path) -> Iterator[tuple[dict[str, psutil.Process], int]]:
    """The processes by the names of their units, and the web's port."""
    port = free_port()
    quiet = {"CDP_LOG_LEVEL": "WARNING", "PYTHONWARNINGS": "ignore", "DJANGO_SETTINGS_MODULE": "cdp.settings"}
    environ = {
        **os.environ,
        **quiet,
        "CDP_AUDIT_KEY": str(home / "audit.pem"),
        "CDP_AUDIT_ANCHORS": str(home / "anchors"),
    }
    children = {
        unit: subprocess.Popen(command_of(unit, port=port, home=home), env=environ, cwd=ROOT) for unit in units
    }  # fmt: skip
    try:
        yield {unit: psutil.Process(child.pid) for unit, child in children.items()}, port
    finally:
        for child in children.values():
            child.terminate()
        for unit, child in children.items():
            try:
                child.wait(60)
            except subprocess.TimeoutExpired:
                print(f"{unit} had to be killed")
                child.kill()


def mebibytes(process: psutil.Process) -> tuple[float, int]:
    total, count = 0, 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total, count = total + one.memory_full_info().pss, count + 1
        except psutil.NoSuchProcess:
            continue
    return total / 2**20, count


class Watching(threading.Thread):
    """Looks at the processes' memory until it is told to stop."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        super().__init__(daemon=True)
        self.processes = processes
        self.most = dict.fromkeys(processes, 0.0)
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(SAMPLE_SECONDS):
            for unit, process in self.processes.items():
                self.most[unit] = max(self.most[unit], mebibytes(process)[0])

    def stop(self) -> dict[str, float]:
        self._stopping.set()
        self.join()
        return self.most


def waiting() -> int:
    return InboxMessage.objects.count()


def wait_until(what: str, is_so) -> float:  # type: ignore[no-untyped-def]
    """The moment from which it was so."""
    patience = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        if time.monotonic() > patience:
            raise SystemExit(f"waited {PATIENCE_SECONDS} seconds until {what}")
        time.sleep(0.02)
    return time.monotonic()


def asked(question: str) -> float:
    with connections["owner"].cursor() as cursor:
        cursor.execute(question)
        return float(cursor.fetchone()[0] or 0)


def wait_for_web(port: int) -> None:
    import urllib.request

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:  # not yet there, or busy starting
            return False

    wait_until("the web answers", answers)


# ---- What is measured --------------------------------------------------------------------------------------


def single(key: str, count: int) -> list[bytes]:
    """Requests of one event each."""
    prefix = f"single-{time.time_ns()}"
    bodies = [json.dumps({**ingest.event(number, prefix), "writeKey": key}).encode() for number in range(count)]
    return [ingest.request(body).replace(b"/v1/batch", b"/v1/track", 1) for body in bodies]


def accepting(requests: list[bytes], home: Path, *, events: int) -> float:
    """Requests a second, of so many events each, that one web worker makes durable, nothing else of ours running."""
    with running(["web"], home) as (_, port):
        wait_for_web(port)
        rates = []
        for _ in range(ingest.ROUNDS):
            kept, began = asked(KEPT), time.monotonic()
            rate = ingest.accepted_per_second(port, requests) / ingest.BATCH
            # What was answered 200 is counted where it was to be made durable, not only by who sent it.
            found = (asked(KEPT) - kept) / events / (time.monotonic() - began)
            if abs(found / rate - 1) > TOLERANCE:
                raise SystemExit(
                    f"answered {rate:,.0f} requests a second, but the inbox has {found:,.0f}: one is wrong"
                )
            rates.append(rate)
    with connections["owner"].cursor() as cursor:
        cursor.execute("TRUNCATE ingestion_inboxmessage")
    return ingest.median(rates)


def consuming(key: str, home: Path) -> float:
    """Events a second that one consumer brings to memberships, from its first batch to its last; nothing else running."""
    rates = []
    for number in range(ingest.ROUNDS):
        for body in ingest.bodies(ingest.EVENTS // ingest.BATCH, f"consume-{time.time_ns()}-{number}", key):
            ingest.put(body, ingest.BATCH, key)
        before = waiting()
        with running(["consume@"], home):
            began = wait_until("a batch is done", lambda before=before: waiting() < before)
            left = waiting() * ingest.BATCH
            rates.append(left / (wait_until("all is done", lambda: waiting() == 0) - began))
    return ingest.median(rates)


def together(key: str, home: Path) -> tuple[dict[str, Memory], float, int, int]:
    """Memory of each process idle and under load; events a second through all of them; connections then."""
    requests = [ingest.request(body) for body in ingest.bodies(2000, f"all-{time.time_ns()}", key)]
    with running(UNITS, home) as (processes, port):
        wait_for_web(port)
        time.sleep(SETTLING_SECONDS)
        # The first refreshes of the segments waited for a worker, so it has worked once before it idles.
        wait_until("no job waits", lambda: not Job.objects.unfinished().exists())
        idle = {unit: mebibytes(process) for unit, process in processes.items()}
        connected = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        idle_connections = int(asked(connected))
        before = asked(TAKEN_UP)
        watching = Watching(processes)
        watching.start()
        for segment in Segment.objects.filter(key__startswith="bench-")[:10]:
            request_refresh(segment=segment, by=ingest.SYSTEM)
        began = time.monotonic()
        ingest.accepted_per_second(port, requests)
        busy_connections = int(asked(connected))
        ended = wait_until("all is done", lambda: waiting() == 0)
        rate = (asked(TAKEN_UP) - before) / (ended - began)
        most = watching.stop()
    memory = {
        unit: Memory(idle=idle[unit][0], most=max(most[unit], idle[unit][0]), processes=idle[unit][1]) for unit in UNITS
    }
    # The bench itself holds one.
    return memory, rate, idle_connections - 1, busy_connections - 1


def bytes_of_each() -> dict[str, tuple[float, int]]:
    with connections["owner"].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    found = {}
    for what, (tables, counting) in GROUPS.items():
        names = ", ".join(f"'{table}'::regclass" for table in tables)
        size = asked(
            "SELECT sum(pg_total_relation_size(part.relid)) FROM unnest(ARRAY[" + names + "]) AS root,"
            " LATERAL (SELECT relid FROM pg_partition_tree(root) UNION SELECT root) AS part"
        )
        count = asked(counting)
        found[what] = (size / count if count else float("nan"), int(count))
    return found


if __name__ == "__main__":
    inbox.bell.ring = lambda: None  # type: ignore[method-assign]  # no consumer listens while it is filled
    ingest.durable()
    load = os.getloadavg()[1]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_key(home / "audit.pem")
        (home / "anchors").mkdir()
        write_key = ingest.prepare()
        batches = [ingest.request(body) for body in ingest.bodies(200, f"accept-{time.time_ns()}", write_key)]
        in_batches = accepting(batches, home, events=ingest.BATCH) * ingest.BATCH
        one_by_one = accepting(single(write_key, 2000), home, events=1)
        consumed = consuming(write_key, home)
        memory, through, idle, busy = together(write_key, home)
    sizes = bytes_of_each()
    about = machine()
    print(
        f"\nMeasured {datetime.now(UTC):%Y-%m-%d} at commit {commit()} on {about['cores']} cores, {about['memory_gib']} GiB,"
        f" Python {about['python']}, PostgreSQL and all processes on the same machine; {ingest.PEOPLE:,} people,"
        f" {int(asked('SELECT count(*) FROM profiles_event')):,} events, {ingest.FEW} live rules,"
        f" {Membership.objects.count():,} memberships. The load of others before it began: {load:.1f}.\n"
    )
    print("| rate | events a second |\n|---|---|")
    senders = f"{ingest.SENDERS} senders"
    print(f"| accepted by one web worker, {ingest.BATCH} in a request ({senders}) | {in_batches:,.0f} |")
    print(f"| accepted by one web worker, one in a request ({senders}) | {one_by_one:,.0f} |")
    print(f"| brought to memberships by one consumer | {consumed:,.0f} |")
    print(f"| through all processes at once, from the first request until the inbox is empty | {through:,.0f} |")
    print("\n| process | system processes | idle, MiB | most under load, MiB |\n|---|---|---|---|")
    for unit, it in memory.items():
        print(f"| `cdp-{unit.rstrip('@')}` | {it.processes} | {it.idle:,.0f} | {it.most:,.0f} |")
    print(
        f"| all of them | {sum(it.processes for it in memory.values())} | {sum(it.idle for it in memory.values()):,.0f} | |"
    )
    print(f"\nConnections to PostgreSQL: {idle} idle, {busy} under load.")
    print("\n| one … | bytes in the database, with indexes | counted |\n|---|---|---|")
    for what, (size, count) in sizes.items():
        print(f"| {what} | {size:,.0f} | {count:,} |")
