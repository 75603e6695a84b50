"""Sets the demo shop up: workspace, catalogue, people who may log in, keys, the simulated messages, segments.

A second run finds everything there and changes nothing but the URL in the credentials; an interrupted one goes on.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from cdp.audit.services import record
from cdp.errors import DomainError
from cdp.jobs.models import JobState
from cdp.profiles.models import Profile, Workspace
from cdp.profiles.services import ensure_partitions
from cdp.serve import HOME
from demo.accounts import open_access
from demo.analyses import make_analyses
from demo.catalogue import CURRENCY, SHOP_NAME
from demo.handed_on import make_handed_on
from demo.loading import LOADER, gather_statistics, once, quarantined, refuse_if_in_use, send
from demo.shop import DAYS, PEOPLE, SEED, first_day, messages
from demo.shop_segments import let_see, make_segments
from demo.traits import enter_traits
from demo.welcome import make_welcome
from segments.fields.measuring import request_measurement
from segments.fields.models import FieldStatistics
from segments.tasks import measure_fields

KIND = "demo.load"
TIME_ZONE = "America/New_York"
MESSAGES_PER_PERSON_AND_DAY = 29 / 400  # about, for the bar


class Command(BaseCommand):
    help = "Loads the simulated demo shop, once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url", default="http://127.0.0.1:8000", help="Where the site will be; for the credentials."
        )
        parser.add_argument("--people", type=int, default=PEOPLE)
        parser.add_argument("--days", type=int, default=DAYS)
        parser.add_argument("--seed", type=int, default=SEED)
        parser.add_argument(
            "--consumers", type=int, help="Processes that process messages; one per two processors by default."
        )

    def handle(self, *, url: str, people: int, days: int, seed: int, consumers: int | None, **_: Any) -> None:
        try:
            self.set_up(url, {"people": people, "days": days, "seed": seed}, consumers)
        except DomainError as problem:
            raise CommandError(str(problem)) from problem

    def set_up(self, url: str, size: dict[str, int], consumers: int | None) -> None:
        began = time.monotonic()
        refuse_if_in_use(kinds=[KIND])
        label_as_simulated()
        enter_traits()
        access = open_access(path=HOME / "credentials.json", url=url)
        as_of = timezone.now().replace(microsecond=0)
        with once(KIND, {**size, "as_of": as_of.isoformat()}) as hold:
            if hold is not None:
                self.load(hold, access.write_keys, consumers)
        marketer = get_user_model().objects.get(username="marketer")
        segments = make_segments(owner=marketer)
        let_see(segments, user=access.api_key.user)
        if not FieldStatistics.objects.exists():
            count_fields()
        make_analyses(owner=marketer)
        make_welcome(user=marketer)
        make_handed_on(user=marketer)
        if hold is not None:
            for segment in segments:
                self.stdout.write(f"  {segment.member_count:>9,} {segment.name}")
            self.stdout.write(f"  loaded in {time.monotonic() - began:.0f} seconds; all of it is simulated")

    def load(self, hold: Any, write_keys: dict[str, str], consumers: int | None) -> None:
        seed, people, days = (hold.params[name] for name in ("seed", "people", "days"))
        as_of = datetime.fromisoformat(hold.params["as_of"]).astimezone(UTC)
        if hold.job.done:
            self.stdout.write(f"  going on behind message {hold.job.done:,}")
        ensure_partitions(first_day(as_of, days), (as_of + timedelta(days=31)).date())
        loaded = send(
            messages(seed=seed, as_of=as_of, people=people, days=days),
            hold=hold,
            about=int(people * days * MESSAGES_PER_PERSON_AND_DAY),
            write_keys=write_keys,
            say=self.stdout.write,
            consumers=consumers,
        )
        hold.progress(loaded.messages, loaded.messages, "gathering statistics")
        gather_statistics()
        hold.job.result = {
            "messages": loaded.messages,
            "profiles": Profile.objects.count(),
            "quarantined": quarantined(),
        }
        self.stdout.write(
            f"  {loaded.sent:>9,} messages in {loaded.seconds:.0f} seconds,"
            f" {loaded.sent / loaded.seconds:,.0f} a second; {hold.job.result['profiles']:,} profiles"
        )


def count_fields() -> None:
    """Takes the figures of all fields here and now: no worker runs during a load.

    Raises:
        DomainError: it failed.
    """
    job = request_measurement(by=LOADER)
    measure_fields.run(job.pk)
    job.refresh_from_db()
    if job.state == JobState.FAILED:
        raise DomainError(job.error_code, job.error_message)


@transaction.atomic
def label_as_simulated() -> None:
    """Names the workspace and marks its people as made up, so that every screen says so."""
    workspace = Workspace.current()
    wanted = {"name": SHOP_NAME, "reporting_currency": CURRENCY, "time_zone": TIME_ZONE, "is_simulated": True}
    if workspace.is_simulated:
        return  # what somebody changed since stays
    for name, value in wanted.items():
        setattr(workspace, name, value)
    workspace.save(update_fields=list(wanted))
    record(by=LOADER, action="workspace.changed", object=workspace, detail=wanted)
