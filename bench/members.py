"""How long all members of an audience take over REST, against a bare COPY of them; and in how much memory of the web server.

Run by `make bench ARGS=members`; `BENCH_SCALE=full` takes a million people.
"""

import http.client
import time
import zlib

import psutil
from django.db import connections

from bench.exports import GOAL, GOAL_MB, PEOPLE, PURPOSE, ROUNDS, copied, prepare
from bench.report import Row, publish
from bench.web import Web, serving
from cdp.activation.models import Audience
from cdp.audit import SYSTEM
from cdp.rest.models import Scope
from cdp.rest.services import create_api_key
from segments.sharing import share_segment

FORMATS = {"CSV": "text/csv", "NDJSON": "application/x-ndjson", "Parquet": "application/vnd.apache.parquet"}


def main() -> None:
    _, audience = prepare()
    key, secret = create_api_key(name="bench", scopes=[Scope.AUDIENCES_READ], all_purposes=True, by=SYSTEM)
    rights = ["view_segment", "view_members", "export_members"]
    share_segment(segment=audience.segment, user=key.user, by=SYSTEM, permissions=rights)
    floor = min(copied() for _ in range(ROUNDS))
    connections.close_all()
    size, rows = f"{PEOPLE:,} people", []
    with serving(threads=2) as web:
        received(web, audience, secret, "application/json")  # whatever is loaded for the first request
        before = most_memory(web)
        for name, media_type in FORMATS.items():
            took = min(received(web, audience, secret, media_type) for _ in range(ROUNDS))
            rows.append(Row(name=f"members as {name}", size=size, value=took, floor=floor, unit="s", goal=GOAL))
        took = min(received(web, audience, secret, "text/csv", zipped=True) for _ in range(ROUNDS))
        rows.append(Row(name="members as CSV, gzip", size=size, value=took, floor=floor, unit="s", goal=GOAL))
        after = most_memory(web)
    rows.append(Row(name="memory for it; may be", size=size, value=after - before, floor=GOAL_MB, unit="MB", goal=1.0))
    rows.append(Row(name="memory of the web server; before", size=size, value=after, floor=before, unit="MB"))
    publish(rows)


def received(web: Web, audience: Audience, secret: str, media_type: str, *, zipped: bool = False) -> float:
    """Seconds until all of it was here, and thrown away."""
    line = http.client.HTTPConnection("127.0.0.1", web.port, timeout=600)
    headers = {"Authorization": f"Bearer {secret}", "Accept": media_type}
    began = time.perf_counter()
    line.request(
        "GET",
        f"/api/v1/audiences/{audience.key}/members/?purpose={PURPOSE}",
        headers=headers | ({"Accept-Encoding": "gzip"} if zipped else {}),
    )
    answer = line.getresponse()
    if answer.status != 200:
        raise RuntimeError(answer.read().decode())
    reader, lines = zlib.decompressobj(31), 0
    while block := answer.read(1 << 20):
        lines += (reader.decompress(block) if zipped else block).count(b"\n")
    took = time.perf_counter() - began
    line.close()
    if media_type.startswith("text/") and lines != PEOPLE + 1:
        raise RuntimeError(f"{lines:,} lines came")
    return took


def most_memory(web: Web) -> float:
    """In MB: the most that any process of the server ever had in memory by itself."""
    of_all = [psutil.Process(web.pid), *psutil.Process(web.pid).children(recursive=True)]
    return max(_peak(one.pid) for one in of_all)


def _peak(pid: int) -> float:
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    main()
