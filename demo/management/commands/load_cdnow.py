"""Imports the public CDNOW purchase log into an empty database and counts three segments as of July 1998.

The workspace's clock stands still at that moment. The purchases are real; the consents are made up, and say so.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from cdp.audit import SYSTEM
from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.ingestion.keys import create_source, create_write_key, revoke_write_key
from cdp.ingestion.models import Source, SourceKind
from cdp.jobs.services import Lease
from cdp.profiles.models import Event, EventName, Identifier, Profile, Workspace
from cdp.profiles.services import ensure_partitions
from consent.models import ConsentRecord, Decision, Method, Purpose
from consent.querysets import permitted
from consent.services import Said, append_consents
from demo import cdnow
from demo.loading import LOADER, Loaded, gather_statistics, once, quarantined, refuse_if_in_use, send
from demo.shop_segments import OF_CDNOW, make_segments, run_here
from segments.models import Segment
from segments.previews import preview
from segments.services import request_refresh

KIND = "demo.load_cdnow"
SOURCE_NAME = "CDNOW purchase log"
EVIDENCE = {
    "test": True,
    "note": "Test evidence: the log holds no consents; every second customer was given one to try enforcement with.",
}


class Command(BaseCommand):
    help = "Imports the CDNOW purchase log, once, and counts three segments."

    def handle(self, **_: Any) -> None:
        try:
            self.run(cdnow.find_log())
        except DomainError as problem:
            raise CommandError(str(problem)) from problem

    def run(self, path: Path) -> None:
        refuse_if_in_use(kinds=[KIND])
        freeze_clock()
        ensure_partitions(cdnow.FIRST_DAY, cdnow.AS_OF.date())
        with once(KIND, {"file": path.name, "sha256": cdnow.digest(path)}) as hold:
            if hold is None:
                self.stdout.write("  the log is here already")
            else:
                loaded = self.load(hold, path)
                self.stdout.write(
                    f"  {loaded.sent:,} purchases in {loaded.seconds:.1f} seconds, {loaded.sent / loaded.seconds:,.0f} a second"
                )
        kept = Event.objects.filter(name_id=EventName.objects.get(name=cdnow.EVENT).pk).count()
        self.stdout.write(
            f"  {kept:,} purchases of {Profile.objects.count():,} people kept; {quarantined():,} quarantined"
        )
        matches = self.count(make_segments(OF_CDNOW), expected=cdnow.counted(path))
        if kept != cdnow.PURCHASES or not matches:
            raise CommandError("what the platform holds differs from the file")

    def load(self, hold: Lease, path: Path) -> Loaded:
        source = Source.objects.filter(name=SOURCE_NAME).first() or create_source(
            name=SOURCE_NAME, kind=SourceKind.IMPORT, by=LOADER
        )
        # A key for this one load; nothing else has any use for it.
        key, value = create_write_key(source=source, by=LOADER)
        try:
            loaded = send(
                cdnow.messages(path),
                hold=hold,
                about=cdnow.PURCHASES,
                write_keys={cdnow.SOURCE: value},
                say=self.stdout.write,
            )
        finally:
            revoke_write_key(key=key, by=LOADER)
        hold.progress(loaded.messages, loaded.messages, "recording made-up consents")
        consents = give_test_consents(path)
        hold.progress(loaded.messages, loaded.messages, "gathering statistics")
        gather_statistics()
        hold.job.result = {"purchases": loaded.messages, "test_consents": consents, "quarantined": quarantined()}
        return loaded

    def count(self, segments: Sequence[Segment], *, expected: dict[str, int]) -> bool:
        """Whether what the platform counts is what the file holds; prints both next to each other."""
        mailing = Purpose.objects.get(key="marketing_email")
        rows: list[tuple[str, ...]] = [
            ("segment as of 1998-07-01", "from the file", "preview", "members", "may be mailed", "refresh")
        ]
        matches = True
        for segment in segments:
            if segment.live_version is None:
                raise DomainError("segment_not_live", f"“{segment.name}” is not live.")
            previewed = preview(rule=segment.live_version.rule, purpose=mailing, sample_size=0).count
            began = time.perf_counter()
            run_here(request_refresh(segment=segment, by=LOADER))
            took_ms = (time.perf_counter() - began) * 1000
            members = segment.memberships.count()
            mailed = permitted(Profile.objects.filter(memberships__segment=segment), mailing).count()
            matches &= expected[segment.key] == previewed == members
            figures = (expected[segment.key], previewed, members, mailed)
            rows.append((segment.name, *(f"{figure:,}" for figure in figures), f"{took_ms:,.0f} ms"))
        for name, *columns in rows:
            self.stdout.write(f"  {name:<42}" + "".join(f"{column:>15}" for column in columns))
        return matches


@transaction.atomic
def freeze_clock() -> None:
    """Lets the workspace's time stand still where the log ends, so that rolling windows are as full as they were then."""
    workspace = Workspace.current()
    if workspace.frozen_at == cdnow.AS_OF:
        return
    wanted = {"name": "CDNOW 1997-98 (public data)", "reporting_currency": cdnow.CURRENCY, "frozen_at": cdnow.AS_OF}
    for name, value in wanted.items():
        setattr(workspace, name, value)
    workspace.save(update_fields=list(wanted))
    detail = {**wanted, "frozen_at": cdnow.AS_OF.isoformat()}
    record(by=LOADER, action="workspace.changed", object=workspace, detail=detail)


@transaction.atomic
def give_test_consents(path: Path) -> int:
    """How many made-up consents to mailing were recorded, each marked as test evidence; none on a second call."""
    purpose = Purpose.objects.get(key="marketing_email")
    if ConsentRecord.objects.filter(purpose=purpose, method=Method.IMPORT).exists():
        return 0
    chosen = cdnow.customers(path)[::2]
    people = Identifier.objects.filter(namespace="user_id", value__in=chosen).values_list("profile_id", flat=True)
    decided_at = cdnow.AS_OF - timedelta(days=1)
    said = [
        Said(person, purpose.pk, Decision.GRANTED, decided_at, Method.IMPORT, evidence=EVIDENCE) for person in people
    ]
    append_consents(said=said, by=SYSTEM)
    record(
        by=LOADER,
        action="consent.imported",
        object=purpose,
        purpose=purpose.key,
        detail={"count": len(said), **EVIDENCE},
    )
    return len(said)
