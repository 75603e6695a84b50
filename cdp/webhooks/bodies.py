"""Bodies of webhooks: what is said of an event. Names and ids; never a trait's value or an identifier of a person."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from cdp.webhooks.models import EventType


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What is to be said."""

    type: EventType
    happened_at: datetime
    webhook: UUID
    purpose: str
    profile: UUID | None = None
    data: dict[str, Any] = field(default_factory=dict)

    def with_change(self, *, audience: str, segment: str, position: int, why: str, recorded_at: datetime) -> "Event":
        said = {
            "audience": audience, "segment": segment, "position": position, "why": why,
            "effective_at": moment(self.happened_at), "recorded_at": moment(recorded_at),
        }  # fmt: skip
        return replace(self, data=said)

    def with_decision(self, decision: str) -> "Event":
        return replace(self, data={"decision": decision})

    def with_keys(self, keys: list[str]) -> "Event":
        return replace(self, data={"changed": sorted(keys)})


def body_of(event: Event) -> bytes:
    """The JSON that is sent: ``type``, ``timestamp`` and ``data``, as Standard Webhooks advise."""
    data: dict[str, Any] = {"purpose": event.purpose}
    if event.profile is not None:
        data["profile"] = str(event.profile)
    if event.type == EventType.TEST:
        data["webhook"] = str(event.webhook)
    return msgspec.json.encode(
        {"type": event.type.value, "timestamp": moment(event.happened_at), "data": {**data, **event.data}}
    )


def moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def sample(kind: EventType, *, audience: str = "big-spenders", segment: str = "big-spenders") -> dict[str, Any]:
    """A body as it looks, of nobody: for tools that ask what comes before anything came."""
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    event = Event(type=kind, happened_at=at, webhook=UUID(int=0), purpose="marketing_email", profile=UUID(int=0))
    if kind in (EventType.ENTERED, EventType.EXITED):
        why = "event" if kind == EventType.ENTERED else "time"
        event = event.with_change(audience=audience, segment=segment, position=1, why=why, recorded_at=at)
    elif kind == EventType.CONSENT:
        event = event.with_decision("granted")
    elif kind == EventType.UPDATED:
        event = event.with_keys(["city", "plan"])
    found: dict[str, Any] = msgspec.json.decode(body_of(event))
    return found
