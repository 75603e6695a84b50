"""Carrying a request out, target by target: what fails says so and keeps none of the others waiting.

The work is a job (`cdp.jobs`). Killed at any moment it is begun again, and goes on with what isn't done.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from cdp.audit.actors import SYSTEM, Actor
from cdp.audit.models import AuditEntry
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import DomainError, NotFound
from cdp.jobs.models import Job
from cdp.jobs.services import Progress, enqueue
from cdp.logs import get_logger
from cdp.privacy.models import CLOSED, PrivacyRequest, PrivacyTarget, RequestState, TargetState, Tombstone
from cdp.privacy.targets import Counts, Target, remember_who, targets_of
from cdp.vault.ring import VaultUnusable
from consent.querysets import PRIVACY_RIGHTS

log = get_logger(__name__)

KIND: Final = "privacy.carry_out"
AT_ONCE: Final = 5_000
TRIES: Final = 3
# Ours and the database's; and an erasure may be on record some time before it is committed.
CLOCKS_DIFFER: Final = timedelta(minutes=10)


class TargetsFailed(DomainError):
    def __init__(self, count: int) -> None:
        super().__init__("targets_failed", f"{count} of the request's targets failed; the request says which and why.")


def ask_for_work(request: PrivacyRequest, *, by: Actor) -> Job:
    """The job that carries it out; the one that is at it already, if there is one."""
    job = enqueue(kind=KIND, params={"request": request.pk}, by=by, dedupe_key=f"privacy:{request.pk}")
    PrivacyRequest.objects.filter(pk=request.pk).update(job_uuid=job.uuid)
    return job


def carry_out(request: PrivacyRequest, *, progress: Progress, by: Actor = SYSTEM) -> None:
    """Does what isn't done; when everything is, the request is.

    Raises:
        TargetsFailed: some couldn't be done. The others are.
        django.db.OperationalError: the database went; all of it is tried again.
    """
    if request.state != RequestState.IN_PROGRESS:
        return
    if not request.targets.exclude(state=TargetState.WAITING).filter(is_outside=False).exists():
        with suppress(NotFound):  # they were erased meanwhile, which each target tells of for itself
            remember_who(request)
    told = {target.key: target for target in targets_of(request)}
    ours = list(request.targets.filter(is_outside=False))
    done = {target.key for target in ours if target.state == TargetState.DONE}
    failed = 0
    for number, target in enumerate(ours):
        progress(number, len(ours), target.label)
        what = told[target.key]
        # One that failed is tried again when somebody says so, and not because another one is.
        if target.state in (TargetState.DONE, TargetState.FAILED) or (what.after and what.after not in done):
            continue
        _set(target, TargetState.RUNNING, attempts=target.attempts + 1)
        try:
            counts = _do(what, request, by)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:  # noqa: BLE001  (of any kind: it must hide none of the targets after it)
            failed += 1
            code = "vault_unusable" if isinstance(error, VaultUnusable) else getattr(error, "code", "internal")
            # Neither the log nor the row says more than the class: what failed may hold what it was to erase.
            log.error("privacy_target_failed", request=request.pk, target=target.key, reason=type(error).__name__)
            _set(target, TargetState.FAILED, error_code=str(code)[:64])
            _record(request, target, "privacy.target_failed", by)
        else:
            done.add(target.key)
            _set(target, TargetState.DONE, counts=counts)
            _record(request, target, "privacy.target_done", by)
    progress(len(ours), len(ours), "")
    if failed:
        raise TargetsFailed(failed)
    finish_if_done(request, by=by)


def _do(what: Target, request: PrivacyRequest, by: Actor) -> Counts:
    """What came of it. A database that is there and says no (a deadlock, a limit of time) is asked again, and then says so for
    this target alone.

    Raises:
        django.db.OperationalError: the database went, for all targets.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return what.do(request, by)
        except (OperationalError, InterfaceError):
            if not connection.is_usable():
                raise
            if not tries_left:
                raise DomainError("database_refused", "The database had no room or time for it; try again.") from None
    raise AssertionError("the last try answers or raises")


def finish_if_done(request: PrivacyRequest, *, by: Actor) -> bool:
    """Whether all of it is done, also outside; then the request is."""
    with transaction.atomic():
        request = PrivacyRequest.objects.select_for_update().get(pk=request.pk)
        if request.state in CLOSED or request.targets.exclude(state=TargetState.DONE).exists():
            return False
        request.state, request.closed_at = RequestState.DONE, timezone.now()
        request.save(update_fields=["state", "closed_at"])
        record(by=by, action="privacy.completed", object=request, purpose=PRIVACY_RIGHTS)
    return True


def make_targets(request: PrivacyRequest) -> None:
    """Ours, and those outside that the operator named; they are ticked off by hand."""
    ours = [(one.key, one.label, False) for one in targets_of(request)]
    outside = [("outside", name[:100], True) for name in settings.PRIVACY_OUTSIDE]
    PrivacyTarget.objects.bulk_create(
        PrivacyTarget(request=request, position=position, key=key, label=label, is_outside=is_outside)
        for position, (key, label, is_outside) in enumerate([*ours, *outside])
    )


def drop_tombstones() -> int:
    """How many changes of erased people were taken out of the feed, since their days are over."""
    gone = 0
    while True:
        with transaction.atomic():
            over = Tombstone.objects.filter(drop_after__lte=timezone.now()).order_by("drop_after")
            ids = list(over.select_for_update(skip_locked=True).values_list("pk", flat=True)[:AT_ONCE])
            if not ids:
                return gone
            with bound_cursor() as cursor:
                cursor.execute("DELETE FROM segments_membershipchange WHERE profile_id = ANY(%s::bigint[])", [ids])
                gone += cursor.rowcount
                cursor.execute("DELETE FROM activation_audiencechange WHERE profile_id = ANY(%s::bigint[])", [ids])
                gone += cursor.rowcount
                cursor.execute(
                    "WITH gone AS (SELECT id FROM webhooks_delivery WHERE profile_id = ANY(%s::bigint[])),"
                    " tries AS (DELETE FROM webhooks_attempt a USING gone WHERE a.delivery_id = gone.id)"
                    " DELETE FROM webhooks_delivery d USING gone WHERE d.id = gone.id",
                    [ids],
                )
            Tombstone.objects.filter(pk__in=ids).delete()


def forget_statistics() -> bool:
    """Has the database sample its columns anew if anybody was erased since it did: what it had noted may be values of theirs."""
    erasures = AuditEntry.objects.filter(action="profile.erased").order_by("-recorded_at")
    erased_at = erasures.values_list("recorded_at", flat=True).first()
    if erased_at is None:
        return False
    with transaction.atomic(), bound_cursor() as cursor:
        cursor.execute("SELECT max(last_analyze) FROM pg_stat_user_tables WHERE relname = 'profiles_identifier'")
        sampled_at = cursor.fetchall()[0][0]
        if sampled_at is not None and sampled_at > erased_at + CLOCKS_DIFFER:
            return False
        cursor.execute("SELECT cdp_forget_statistics()")
    return True


def _set(target: PrivacyTarget, state: TargetState, **fields: object) -> None:
    given = {"state": state, "error_code": "", "changed_at": timezone.now(), **fields}
    for name, value in given.items():
        setattr(target, name, value)
    PrivacyTarget.objects.filter(pk=target.pk).update(**given)


def _record(request: PrivacyRequest, target: PrivacyTarget, action: str, by: Actor) -> None:
    figures = {name: value for name, value in target.counts.items() if isinstance(value, int)}
    detail = {"target": target.key, "attempts": target.attempts, "error": target.error_code, "counts": figures}
    with transaction.atomic():
        record(by=by, action=action, object=request, purpose=PRIVACY_RIGHTS, detail=detail)
