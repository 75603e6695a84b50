"""What a bundle has of stops: those on record of a person that reach its purpose, and the audit entries that tell of each."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from cdp.audit.models import AuditEntry
from cdp.audit.verify import moment_text
from cdp.errors import Conflict
from consent.models import ConsentStop, Purpose
from consent.querysets import stopped_by
from consent.stops import FOLLOWED, LIFTED, STOPPED

BEGAN, ENDED = "began", "ended"
# Number of the stop, and whether it is the entry of its beginning or of its end.
Which = tuple[int, str]
# Between a stop and its entry lie moments of one transaction; of a batch that merges thousands, some more.
ENTRY_WITHIN: Final = timedelta(minutes=10)


def stops_of(profile_ids: Collection[int], purpose: Purpose) -> list[ConsentStop]:
    """All that ever halted the purpose for these profiles, the oldest first."""
    of_them = ConsentStop.objects.filter(profile_id__in=profile_ids, kind__in=stopped_by(purpose))
    return list(of_them.order_by("since", "pk"))


def entries_of_stops(stops: Sequence[ConsentStop]) -> dict[Which, AuditEntry]:
    """The entries of those that have some. A person has few stops, so each is looked up by itself."""
    found: dict[Which, AuditEntry] = {}
    for stop in stops:
        for when, actions, moment in ((BEGAN, [STOPPED], stop.since), (ENDED, [LIFTED, FOLLOWED], stop.lifted_at)):
            if moment is None:
                continue
            around = moment - ENTRY_WITHIN, moment + ENTRY_WITHIN
            entries = AuditEntry.objects.filter(action__in=actions, recorded_at__range=around)
            if entry := entries.filter(detail__stop=str(stop.uuid)).first():
                found[stop.pk, when] = entry
    return found


def proved_stops(
    stops: Sequence[ConsentStop],
    entries: Mapping[Which, AuditEntry],
    places: Mapping[Any, int],
    *,
    by_then: datetime,
) -> list[dict[str, Any]]:
    """The stops that the log proves, as a bundle has them. One that began later is left out where it can't be proved (yet).

    Raises:
        Conflict: one can't be proved (yet) that had begun by then, so that the claim may rest on it.
    """
    rows = []
    for stop in stops:
        has = {when: entries.get((stop.pk, when)) for when in (BEGAN, ENDED)}
        telling = has[BEGAN] if stop.lifted_at is None else has[ENDED]
        if telling is not None and telling.pk in places:
            rows.append(_row(stop, {when: one if one and one.pk in places else None for when, one in has.items()}))
        elif stop.since <= by_then:
            _refuse(telling)
    return rows


def _refuse(entry: AuditEntry | None) -> None:
    if entry is None:
        raise Conflict(
            "not_provable", "Use was halted for them before audit entries told enough of that to prove it or its end."
        )
    raise Conflict(
        "not_sealed_yet",
        "That use was halted for them waits for its place in the audit log; try again in some seconds.",
    )


def _row(stop: ConsentStop, has: Mapping[str, AuditEntry | None]) -> dict[str, Any]:
    return {
        "stop": str(stop.uuid),
        "profile": stop.profile_id,
        "person": next(entry.object_id for entry in has.values() if entry),
        "kind": stop.kind,
        "since": moment_text(stop.since),
        "lifted_at": moment_text(stop.lifted_at) if stop.lifted_at else None,
        **{when: str(entry.pk) if entry else None for when, entry in has.items()},
    }
