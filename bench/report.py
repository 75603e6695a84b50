"""How a benchmark says what it found: a table for the reader, and the same rows in bench/results/latest.json."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure next to its floor; `goal` is the most that their ratio should be."""

    name: str
    size: str
    value: float
    floor: float
    unit: str
    goal: float | None = None

    @property
    def ratio(self) -> float:
        return self.value / self.floor if self.floor else float("nan")


def machine() -> dict[str, object]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "memory_gib": memory,
    }


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def verdict(row: Row) -> str:
    if row.goal is None:
        return ""
    return f"<= {row.goal:g}" if row.ratio <= row.goal else f"> {row.goal:g} !"


def publish(rows: list[Row]) -> None:
    """Prints the rows and keeps them, beside those that other benchmarks of this commit wrote."""
    width = max(len(row.name) for row in rows)
    print(f"\n{'measure':{width}}  {'value':>17}  {'floor':>17}  ratio  {'goal':9}  size")
    for row in rows:
        print(
            f"{row.name:{width}}  {figure(row.value):>8} {row.unit:8}  {figure(row.floor):>8} {row.unit:8}"
            f"  {row.ratio:>5.2f}  {verdict(row):9}  {row.size}"
        )
    about = machine()
    print(
        f"\n{about['cores']} cores, {about['memory_gib']} GiB, {about['system']}, Python {about['python']}, commit {commit()}"
    )
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    earlier = kept.get("rows", []) if kept.get("commit") == commit() else []
    fresh = [{**asdict(row), "ratio": row.ratio} for row in rows]
    named = {(row["name"], row["size"]) for row in fresh}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps(
            {
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
                "machine": about,
                "commit": commit(),
                "rows": [row for row in earlier if (row["name"], row["size"]) not in named] + fresh,
            },
            indent=2,
        )
    )
