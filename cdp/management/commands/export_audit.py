"""The audit log as a file, for whoever verifies it elsewhere."""

import gzip
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from cdp.audit.actors import Actor, ActorKind
from cdp.audit.exporting import lines, write_stamps
from cdp.audit.services import record


class Command(BaseCommand):
    help = "Writes the audit log to a file for `python -m cdp.audit.verify`. The export itself is on record."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="where to; .jsonl, or .jsonl.gz")
        parser.add_argument("--by", required=True, help="who exports it, for the log")
        parser.add_argument("--stamps", type=Path, help="a directory for time stamps, each beside its checkpoint")

    def handle(self, *, file: Path, by: str, stamps: Path | None, **_: Any) -> None:
        if file.suffixes[-2:] != [".jsonl", ".gz"] and file.suffix != ".jsonl":
            raise CommandError("Name a file that ends in .jsonl or .jsonl.gz.")
        if file.exists():
            raise CommandError(f"{file} is there already; an export is not written over.")
        with transaction.atomic():
            record(by=Actor(kind=ActorKind.USER, id="", label=by), action="audit.exported")
        count = -1  # the first line is no entry
        with gzip.open(file, "wt") if file.suffix == ".gz" else file.open("w") as target:
            for line in lines():
                target.write(line)
                count += 1
        self.stdout.write(f"{count} entries in {file}.")
        if stamps is not None:
            self.stdout.write(f"{write_stamps(stamps)} time stamps in {stamps}.")
