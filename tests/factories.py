"""Sources, messages and segments for tests: each call shows only what matters to the test, the rest is plausible.

Everything goes through the platform's own doors (`accept`, `process_batch`, the services); what must be true
afterwards is in `tests.integration.books`.
"""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from cdp.audit.actors import Actor
from cdp.ingestion.accept import accept
from cdp.ingestion.keys import create_source, create_write_key
from cdp.ingestion.models import SourceKind
from cdp.pipeline import Report, drain_dirty, process_batch
from cdp.profiles.models import Identifier, Profile
from segments.feed import number_changes
from segments.models import Membership, Segment
from segments.refresh import Refreshed, refresh
from segments.services import create_segment, publish, save_version

BY = Actor.system("tests")
_numbers = itertools.count(1)

Call = dict[str, Any]


@dataclass(frozen=True)
class Tracker:
    """A source with a write key, which sends as a client library does."""

    source_id: int
    key: str

    def send(self, *calls: Call, asks: int = 0) -> None:
        """One request with these messages, durable when this returns; ``asks`` is what its browser asks for by headers."""
        accept(
            endpoint="batch",
            body=msgspec.json.encode({"batch": calls}),
            authorization=f"Bearer {self.key}",
            received_at=datetime.now(UTC),
            asks=asks,
        )


def tracker(kind: SourceKind = SourceKind.SERVER) -> Tracker:
    source = create_source(name=f"Source {next(_numbers)}", kind=kind, by=BY)
    return Tracker(source.pk, create_write_key(source=source, by=BY)[1])


def track(event: str, user: str | None = None, *, ago: timedelta = timedelta(minutes=1), **more: Any) -> Call:
    """A track call; ``properties`` and other fields of the wire format by their own names."""
    return _call("track", user, ago, event=event, **more)


def identify(
    user: str | None = None, *, ago: timedelta = timedelta(minutes=1), traits: Any = None, **more: Any
) -> Call:
    return _call("identify", user, ago, traits=traits or {}, **more)


def _call(kind: str, user: str | None, ago: timedelta, **more: Any) -> Call:
    who = {} if user is None else {"userId": user}
    at = (datetime.now(UTC) - ago).isoformat()
    return {"type": kind, "messageId": f"m{next(_numbers)}", "timestamp": at} | who | more


def process_all() -> Report:
    """All that waits, through the pipeline and to its end: stored, judged, drained and numbered."""
    total = Report()
    while (report := process_batch()).requests:
        total += report
    while drain_dirty():
        pass
    number_changes()
    return total


def person(user: str) -> Profile:
    """Whoever has this user id."""
    return Profile.objects.get(identifiers__namespace="user_id", identifiers__value=user)


def rule(condition: Call) -> Call:
    return {"version": 1, **condition}


def performed(event: str, at_least: int = 1, **more: Any) -> Call:
    return {"performed": event, "op": "gte", "value": at_least, **more}


def draft(key: str, condition: Call, **more: Any) -> Segment:
    return create_segment(name=key.capitalize(), key=key, rule=rule(condition), by=BY, **more)


def live(key: str, condition: Call, **more: Any) -> Segment:
    """A segment that was published and brought in line."""
    segment = draft(key, condition, **more)
    return set_live(segment)


def set_live(segment: Segment, condition: Call | None = None) -> Segment:
    """The segment with this rule (or its newest) live, and its members in line."""
    version = save_version(segment=segment, rule=rule(condition), by=BY) if condition else segment.versions.first()
    publish(segment=segment, version=version, by=BY)
    refresh_now(segment)
    segment.refresh_from_db()
    return segment


def refresh_now(segment: Segment) -> Refreshed:
    """What a refresh did, run here and numbered as its task does."""
    done = refresh(segment=segment, progress=lambda done, total, phase: None)
    number_changes()
    return done


def members(segment: Segment) -> set[str]:
    """User ids of the members; a member without one counts as "?"."""
    ids = list(Membership.objects.filter(segment=segment).values_list("profile_id", flat=True))
    named = dict(Identifier.objects.filter(namespace="user_id", profile_id__in=ids).values_list("profile_id", "value"))
    return {named.get(profile_id, "?") for profile_id in ids}
