"""Changing how RFM scores, asking for runs, and the rules that find the people of a cell or a group.

What a run does is in `segments.rfm.running`; reading who moved, in `segments.rfm.history`.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

import msgspec
from django.conf import settings as platform
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import SYSTEM, Actor
from cdp.audit.services import record
from cdp.errors import DomainError, DomainErrors
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import enqueue, let_follow
from cdp.profiles.models import EventTotal, Workspace
from cdp.profiles.orders import ORDER_COMPLETED
from consent.querysets import purpose_or_error
from segments.analytics.rfm import CELLS, SCORES, STEPS, Scheme, problems
from segments.rfm.models import RfmRun, RfmSettings
from segments.rules import VERSION
from segments.schedule import last_time_of_day

RUN_KIND: Final = "segments.rfm"
SCORE_KIND: Final = "rfm"
PAUSE_AFTER_FAILURE: Final = timedelta(hours=1)
UNFORESEEN: Final = ("internal", "worker_died")


# ---- Settings --------------------------------------------------------------------------------------------------------


def read_scheme(told: Any) -> Scheme:
    """The scheme that JSON says.

    Raises:
        DomainError: a value of another kind than the field's; its place is named.
    """
    try:
        return Scheme.from_json(told)
    except msgspec.ValidationError as error:
        raise DomainError("scheme_malformed", f"The settings of RFM: {error}.", "/scheme") from None


def check_scheme(scheme: Scheme) -> None:
    """Passes a scheme by which everybody who bought gets one group.

    Raises:
        DomainErrors: all that needs mending, each with its pointer ("/scheme/groups/3/name").
    """
    if found := problems(scheme):
        errors = [DomainError(one.code, one.message, f"/scheme{one.pointer}") for one in found]
        raise DomainErrors(errors, code="scheme_wrong", message=" ".join(one.message for one in found))


@transaction.atomic
def change_settings(
    *, by: Actor, scheme: Scheme | None = None, purpose: str | None = None, is_nightly: bool | None = None
) -> RfmSettings:
    """The settings with what was given; what is None stays. The scores are as they were until the next run.

    Args:
        purpose: key of the one that people must permit to be in it.

    Raises:
        DomainErrors: all that is wrong with the scheme, each with its pointer.
        DomainError: an unknown purpose.
    """
    RfmSettings.current()
    current = RfmSettings.objects.select_for_update(of=("self",)).select_related("purpose").get(pk=1)
    before, wanted = _told(current), dict[str, Any]()
    if scheme is not None:
        check_scheme(scheme)
        wanted["scheme"] = scheme.as_json()
    if purpose is not None:
        wanted["purpose"] = purpose_or_error(purpose)
    if is_nightly is not None:
        wanted["is_nightly"] = is_nightly
    changed = [field for field, value in wanted.items() if getattr(current, field) != value]
    if not changed:
        return current
    for field in changed:
        setattr(current, field, wanted[field])
    current.changed_at = timezone.now()
    current.save(update_fields=[*changed, "changed_at"])
    after = _told(current)
    detail = {"before": {one: before[one] for one in changed}, "after": {one: after[one] for one in changed}}
    record(by=by, action="rfm.settings_changed", object=current, purpose=current.purpose.key, detail=detail)
    return current


def _told(current: RfmSettings) -> dict[str, Any]:
    return {"scheme": current.scheme, "purpose": current.purpose.key, "is_nightly": current.is_nightly}


# ---- Runs ------------------------------------------------------------------------------------------------------------


@transaction.atomic
def request_run(*, by: Actor, user: User | None = None) -> RfmRun:
    """The run that will be made with the settings as they are now; the one that is under way, if there is one."""
    RfmSettings.current()
    current = RfmSettings.objects.select_for_update(of=("self",)).select_related("purpose").get(pk=1)
    under_way = Job.objects.unfinished().filter(dedupe_key=RUN_KIND).first()
    if under_way is not None and (run := RfmRun.objects.filter(job=under_way).first()) is not None:
        if user is not None:
            let_follow(job=under_way, user=user)
        return run
    run = RfmRun.objects.create(scheme=current.scheme, purpose=current.purpose.key, requested_by=by.label[:150])
    run.job = enqueue(kind=RUN_KIND, params={"run": run.pk}, by=by, user=user, dedupe_key=RUN_KIND)
    run.save(update_fields=["job"])
    record(by=by, action="rfm.run_requested", object=run, purpose=run.purpose, detail={"scheme": run.scheme})
    return run


def request_due_run() -> RfmRun | None:
    """The run asked for, once a night; None when that has been done, nobody ever bought, or nights are switched off.

    One that ended unforeseen is asked for again within the hour; one that came to nothing for a reason, or was cancelled, not
    before the next night.
    """
    if not RfmSettings.current().is_nightly:
        return None
    now = timezone.now()
    night = last_time_of_day(now, hour=platform.NIGHTLY_HOUR, zone=Workspace.current().time_zone)
    newest = Job.objects.filter(kind=RUN_KIND).order_by("-created_at").first()
    if newest is not None:
        is_unforeseen = newest.state == JobState.FAILED and newest.error_code in UNFORESEEN
        if newest.created_at >= (now - PAUSE_AFTER_FAILURE if is_unforeseen else night):
            return None
    if not EventTotal.objects.filter(name__name=ORDER_COMPLETED).exists():
        return None
    return request_run(by=SYSTEM)


# ---- Rules -----------------------------------------------------------------------------------------------------------


def segment_rule_for(*, group: str = "", cells: Iterable[tuple[int, int]] = ()) -> dict[str, Any]:
    """The rule of a segment with exactly the people of a group, or of these cells (R, FM) together.

    Raises:
        DomainError: neither is given, or a cell that isn't on the grid.
    """
    if group:
        return {"version": VERSION, "score": f"{SCORE_KIND}.group", "op": "equals", "value": group}
    wanted = set(cells)
    if not wanted or not wanted <= set(CELLS):
        raise DomainError("cells_malformed", "Pick a group, or cells with R and FM from 1 to 5.", "/cells")
    # Columns that are asked for the same rows are one condition.
    alike: dict[tuple[int, ...], list[int]] = {}
    for r in SCORES:
        if fms := tuple(fm for fm in SCORES if (r, fm) in wanted):
            alike.setdefault(fms, []).append(r)
    either = [_both([*_one_of("recency", rs), *_one_of("fm", fms)]) for fms, rs in alike.items()]
    return {"version": VERSION, **(either[0] if len(either) == 1 else {"any": either})}


def _one_of(key: str, scores: Iterable[int]) -> list[dict[str, Any]]:
    """No condition where any score will do: who has one score has all of them."""
    given, name = list(scores), f"{SCORE_KIND}.{key}"
    if len(given) == STEPS:
        return []
    if len(given) == 1:
        return [{"score": name, "op": "equals", "value": given[0]}]
    if given == list(range(given[0], given[-1] + 1)):
        return [{"score": name, "op": "between", "value": [given[0], given[-1]]}]
    return [{"score": name, "op": "any_of", "value": given}]


def _both(conditions: list[dict[str, Any]]) -> dict[str, Any]:
    if not conditions:
        return {"score": f"{SCORE_KIND}.recency", "op": "exists"}
    return conditions[0] if len(conditions) == 1 else {"all": conditions}
