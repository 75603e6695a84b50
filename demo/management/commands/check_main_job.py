"""Does the main job on the running site and prints, step by step, what was expected and what came."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from cdp.serve import HOME
from demo.main_job import MainJob, Step
from demo.site import Site

WIDEST = 44


class Command(BaseCommand):
    help = "Runs the main job over HTTP against a running demo; exits 0 only if all of it was right."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--credentials", type=Path, default=HOME / "credentials.json")
        parser.add_argument("--patience", type=float, default=20.0, help="Seconds a step may take to come true.")

    def handle(self, *, credentials: Path, patience: float, **_: Any) -> None:
        try:
            known = json.loads(credentials.read_text())
        except FileNotFoundError:
            raise CommandError(f"There is no {credentials}; start the demo first.") from None
        job = MainJob(site=Site(known["url"]), credentials=known, run=secrets.token_hex(3), patience_seconds=patience)
        self.stdout.write(f"\nThe main job at {known['url']}, with three made-up people ({job.run})\n\n")
        self.line("step", "expected", "got", "ms", "ok")
        steps = []
        for step in job.steps():
            steps.append(step)
            self.show(step)
        wrong = [step.name for step in steps if not step.is_ok]
        if wrong:
            raise CommandError(f"{len(wrong)} of {len(steps)} steps went wrong: {'; '.join(wrong)}")
        self.stdout.write(f"\nAll {len(steps)} steps are right.\n")

    def show(self, step: Step) -> None:
        self.line(step.name, _short(step.expected), _short(step.got), f"{step.ms:,.0f}", "yes" if step.is_ok else "NO")

    def line(self, *columns: str) -> None:
        name, expected, got, ms, ok = columns
        self.stdout.write(f"  {name:<42}{expected:<{WIDEST + 2}}{got:<{WIDEST + 2}}{ms:>7}  {ok}")


def _short(value: object) -> str:
    if isinstance(value, frozenset):
        value = ", ".join(sorted(map(str, value))) or "nobody"
    if isinstance(value, dict):
        value = tuple(f"{name} {value[name]}" for name in sorted(value))
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"
