"""Asking for exports, once or by a schedule, and ending them. The work itself is in `cdp.exports.running`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from cdp.activation.models import Audience
from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError
from cdp.exports.access import exportable_audiences, may_reveal
from cdp.exports.fields import ENTERED_AT, chosen
from cdp.exports.models import Destination, Every, Export, Format, OffReason, Schedule
from cdp.jobs.services import cancel, enqueue, let_follow

KIND: Final = "exports.make"


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """What a file is to be, as somebody asked for it."""

    format: str = Format.CSV
    is_gzipped: bool = False
    is_for_spreadsheets: bool = True
    fields: Sequence[str] = field(default=(ENTERED_AT,))
    destination: Destination | None = None

    def checked(self, audience: Audience, user: User) -> dict[str, Any]:
        """As the rows have it.

        Raises:
            DomainError: it can't be made so.
            Forbidden: this user may not have it so.
        """
        if self.format not in Format.values:
            raise DomainError("format_unknown", f"format must be one of {', '.join(Format.values)}.", "/format")
        if self.is_gzipped and self.format == Format.PARQUET:
            raise DomainError("parquet_gzipped", "Parquet is compressed within; leave gzip away.", "/is_gzipped")
        if not exportable_audiences(user).filter(pk=audience.pk).exists():
            raise DomainError(
                "no_export", "You may not take the members of this audience out.", "/audience", status=403
            )
        fields = chosen(self.fields, may_reveal=may_reveal(user))
        return {
            "format": self.format,
            "is_gzipped": self.is_gzipped,
            "is_for_spreadsheets": self.is_for_spreadsheets,
            "fields": [one.key for one in fields],
            "destination": self.destination,
        }


@transaction.atomic
def request_export(*, audience: Audience, spec: Spec, by: Actor, user: User, since: Export | None = None) -> Export:
    """The export, whose job waits for a worker.

    Args:
        since: only who came and who went after this one.

    Raises:
        DomainError: it can't be made so.
        Forbidden: this user may not have it so.
        Conflict: the one to go on from isn't finished, or is of another audience.
    """
    wanted = spec.checked(audience, user)
    after = None
    if since is not None:
        if since.audience_id != audience.pk:
            raise Conflict("since_of_another", "The export to go on from is of another audience.", "/since")
        if since.finished_at is None or since.position is None:
            raise Conflict("since_unfinished", "The export to go on from isn't finished.", "/since")
        after = since.position
    return _begin(Export(audience=audience, user=user, since=since, after=after, **wanted), by=by)


def _begin(export: Export, *, by: Actor) -> Export:
    personal = chosen(export.fields, may_reveal=True)
    export.has_personal = any(one.is_personal for one in personal)
    export.save(force_insert=True)
    params = {"export": str(export.uuid), "audience": export.audience.key}
    export.job = enqueue(kind=KIND, params=params, by=by, user=export.user)
    export.save(update_fields=["job"])
    detail = {
        "export": str(export.uuid),
        "format": export.format,
        "fields": ["uuid", *export.fields],
        "after": export.after,
        "destination": export.destination.name if export.destination else None,
    }
    record(by=by, action="export.requested", object=export.audience, purpose=export.audience.purpose.key, detail=detail)
    return export


def make_planned(*, schedule: Schedule, planned_for: Any, by: Actor) -> Export:
    """The schedule's next file: of what changed since its last, where it is one of changes and has one."""
    last = None
    if schedule.is_delta:
        last = (
            schedule.exports.filter(finished_at__isnull=False, audience=schedule.audience)
            .order_by("-finished_at")
            .first()
        )
    wanted = {
        name: getattr(schedule, name)
        for name in ("audience", "format", "is_gzipped", "is_for_spreadsheets", "fields", "destination")
    }
    export = Export(
        **wanted,
        user=schedule.owner,
        schedule=schedule,
        planned_for=planned_for,
        since=last,
        after=last.position if last else None,
    )
    return _begin(export, by=by)


@transaction.atomic
def cancel_export(*, export: Export, by: Actor) -> Export:
    """
    Raises:
        Conflict: it has finished.
    """
    if export.job is None or export.finished_at is not None:
        raise Conflict("export_finished", "This export has finished.")
    cancel(job=export.job, by=by)
    export.refresh_from_db()
    return export


def follow(*, export: Export, user: User) -> None:
    """Lets the user see the job."""
    if export.job is not None:
        let_follow(job=export.job, user=user)


# ---- Schedules -----------------------------------------------------------------------------------------------------

WHEN: Final = ("every", "hour", "weekday")
OF_SPEC: Final = ("format", "is_gzipped", "is_for_spreadsheets", "fields", "destination")


@transaction.atomic
def create_schedule(
    *,
    name: str,
    audience: Audience,
    spec: Spec,
    by: Actor,
    user: User,
    is_delta: bool = False,
    every: str = Every.DAY,
    hour: int = 6,
    weekday: int = 0,
) -> Schedule:
    """A schedule, which makes its first file at its next planned moment.

    Raises:
        DomainError: it can't be planned or made so.
        Forbidden: this user may not have it so.
    """
    wanted = spec.checked(audience, user)
    schedule = Schedule(
        name=_named(name), audience=audience, is_delta=is_delta, owner=user, planned_to=timezone.now(), **wanted
    )
    _plan(schedule, every=every, hour=hour, weekday=weekday)
    schedule.save(force_insert=True)
    record(
        by=by, action="export_schedule.created", object=schedule, purpose=audience.purpose.key, detail=_told(schedule)
    )
    return schedule


@transaction.atomic
def change_schedule(*, schedule: Schedule, by: Actor, user: User, **changes: Any) -> Schedule:
    """The schedule, changed; it makes files as ``user`` may read people from now on.

    Args:
        changes: of name, is_delta, every, hour, weekday, is_on, and what a file is to be.

    Raises:
        DomainError: it can't be planned or made so.
        Forbidden: this user may not have it so.
    """
    schedule = Schedule.objects.select_for_update(of=("self",)).select_related("destination").get(pk=schedule.pk)
    before = _told(schedule)
    spec = Spec(**{name: changes.get(name, getattr(schedule, name)) for name in OF_SPEC})
    for name, value in spec.checked(schedule.audience, user).items():
        setattr(schedule, name, value)
    if "name" in changes:
        schedule.name = _named(changes["name"])
    schedule.is_delta = changes.get("is_delta", schedule.is_delta)
    _plan(schedule, **{name: changes.get(name, getattr(schedule, name)) for name in WHEN})
    if "is_on" in changes and changes["is_on"] != schedule.is_on:
        schedule.off_reason = OffReason.NONE if changes["is_on"] else OffReason.ASKED
    # What was due while it was off, or by another plan, isn't made up for.
    schedule.planned_to = timezone.now()
    schedule.owner = user
    schedule.save()
    after = _told(schedule)
    changed = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
    if changed:
        record(
            by=by,
            action="export_schedule.changed",
            object=schedule,
            purpose=schedule.audience.purpose.key,
            detail=changed,
        )
    return schedule


@transaction.atomic
def delete_schedule(*, schedule: Schedule, by: Actor) -> None:
    """Takes the schedule away; the files it made stay for their days."""
    record(
        by=by,
        action="export_schedule.deleted",
        object=schedule,
        purpose=schedule.audience.purpose.key,
        detail=_told(schedule),
    )
    schedule.delete()


def _named(name: str) -> str:
    if not name.strip():
        raise DomainError("name_missing", "A schedule needs a name.", "/name")
    return name.strip()[:150]


def _plan(schedule: Schedule, *, every: str, hour: int, weekday: int) -> None:
    if every not in Every.values:
        raise DomainError("every_unknown", f"every must be one of {', '.join(Every.values)}.", "/every")
    if not 0 <= hour <= 23:
        raise DomainError("hour_unknown", "hour must be from 0 to 23.", "/hour")
    if not 0 <= weekday <= 6:
        raise DomainError("weekday_unknown", "weekday must be from 0, Monday, to 6, Sunday.", "/weekday")
    schedule.every, schedule.hour, schedule.weekday = every, hour, weekday


def _told(schedule: Schedule) -> dict[str, Any]:
    """For the audit log."""
    return {
        "name": schedule.name,
        "audience": schedule.audience.key,
        "is_delta": schedule.is_delta,
        "every": schedule.every,
        "hour": schedule.hour,
        "weekday": schedule.weekday,
        "is_on": schedule.is_on,
        "owner": schedule.owner.get_username(),
        "format": schedule.format,
        "is_gzipped": schedule.is_gzipped,
        "is_for_spreadsheets": schedule.is_for_spreadsheets,
        "fields": list(schedule.fields),
        "destination": schedule.destination.name if schedule.destination else None,
    }
