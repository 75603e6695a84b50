"""Another system that follows an audience, as a process that can be killed: `follower.py URL KEY AUDIENCE PURPOSE FILE`.

It keeps whom it has, and its cursor, in one SQLite file, and both change in one transaction: what a killed follower had applied but not
kept it is told again. It ends when a file named FILE.stop is there and nothing new comes.
"""

import json
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def ask(url: str, key: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            if refused.code != 429:
                raise
            time.sleep(int(refused.headers["Retry-After"]))


def follow(url: str, key: str, audience: str, purpose: str, file: str) -> None:
    kept = sqlite3.connect(file, isolation_level=None)
    kept.execute("CREATE TABLE IF NOT EXISTS people (id TEXT PRIMARY KEY)")
    kept.execute("CREATE TABLE IF NOT EXISTS place (cursor INTEGER NOT NULL)")
    base = f"{url}/api/v1/audiences/{audience}"
    if kept.execute("SELECT count(*) FROM place").fetchone()[0] == 0:
        load(kept, f"{base}/members/?purpose={purpose}&limit=1000", key)
    while True:
        (cursor,) = kept.execute("SELECT cursor FROM place").fetchone()
        page = ask(f"{base}/changes/?cursor={cursor}&limit=1000&wait=1", key)
        kept.execute("BEGIN")
        for change in page["changes"]:
            if change["kind"] == "entered":
                kept.execute("INSERT OR IGNORE INTO people VALUES (?)", [change["profile"]])
            elif change["kind"] == "exited":
                kept.execute("DELETE FROM people WHERE id = ?", [change["profile"]])
        kept.execute("UPDATE place SET cursor = ?", [page["cursor"]])
        kept.execute("COMMIT")
        if not page["changes"] and Path(f"{file}.stop").exists():
            return


def load(kept: sqlite3.Connection, url: str | None, key: str) -> None:
    """All pages in one transaction: a load that is cut off begins anew."""
    kept.execute("BEGIN")
    position = 0
    while url:
        page = ask(url, key)
        position, url = page["position"], page["next"]
        kept.executemany("INSERT OR IGNORE INTO people VALUES (?)", [(one["profile"],) for one in page["results"]])
    kept.execute("INSERT INTO place VALUES (?)", [position])
    kept.execute("COMMIT")


if __name__ == "__main__":
    follow(*sys.argv[1:])
