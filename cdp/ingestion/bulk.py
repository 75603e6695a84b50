"""Replaying or discarding much of quarantine at once, as a job: what was in it when it was asked for, of one reason or source."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from django.contrib.auth.models import User
from django.db.models import Max

from cdp.audit.actors import Actor, ActorKind
from cdp.errors import Conflict
from cdp.ingestion import quarantine
from cdp.ingestion.models import Quarantined
from cdp.ingestion.querysets import QuarantinedQuerySet
from cdp.jobs.models import Job
from cdp.jobs.services import Progress, enqueue

KIND: Final = "ingestion.settle_quarantine"
CHUNK: Final = 100
What = Literal["replay", "discard"]


def chosen(*, code: str = "", source_id: int | None = None) -> QuarantinedQuerySet:
    """What waits in quarantine, of this reason and this source; of all where nothing is named."""
    rows: QuarantinedQuerySet = Quarantined.objects.open()
    if code:
        rows = rows.filter(code=code)
    return rows.filter(source_id=source_id) if source_id is not None else rows


def request(*, what: What, code: str, source_id: int | None, by: Actor, user: User) -> Job:
    """The job that will do it. What comes back into quarantine meanwhile is not tried a second time.

    Raises:
        Conflict: nothing of the kind waits.
    """
    last = chosen(code=code, source_id=source_id).aggregate(last=Max("pk"))["last"]
    if last is None:
        raise Conflict("nothing_waits", "Nothing of the kind is in quarantine.")
    params: dict[str, Any] = {"what": what, "code": code, "source": source_id, "up_to": last, "by": _told(by)}
    return enqueue(kind=KIND, params=params, by=by, user=user, dedupe_key=f"{KIND}:{what}:{code}:{source_id or ''}")


def settle(*, params: Mapping[str, Any], by: Actor, progress: Progress) -> dict[str, int]:
    """What was done, by number. Killed and begun anew it goes on where it was: what is settled waits no more."""
    rows = chosen(code=params["code"], source_id=params["source"]).filter(pk__lte=params["up_to"])
    act = quarantine.replay if params["what"] == "replay" else quarantine.discard
    done, passed, after, total = 0, 0, 0, rows.count()
    while chunk := list(rows.filter(pk__gt=after).order_by("pk")[:CHUNK]):
        for message in chunk:
            after = message.pk
            try:
                act(message=message, by=by)
                done += 1
            except Conflict:  # somebody else settled it meanwhile
                passed += 1
        progress(done + passed, max(total, done + passed), f"{params['what']}ing")
    return {"settled": done, "settled_by_others": passed}


def _told(by: Actor) -> dict[str, str]:
    return {"kind": str(by.kind), "id": by.id, "label": by.label}


def actor_in(params: Mapping[str, Any]) -> Actor:
    """Who asked for the job, and so answers for each message."""
    said = params["by"]
    return Actor(kind=ActorKind(said["kind"]), id=said["id"], label=said["label"], ip_prefix="")
