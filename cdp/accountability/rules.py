"""Changing how long data is kept. What shortens a period must be confirmed by typing, once it was seen what would go.

What a period is, is in `cdp.accountability.periods`; deleting is in `cdp.accountability.applying`.
"""

from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cdp.accountability import periods
from cdp.accountability.models import LONGEST_DAYS, KeptFor, Kind, PurposeLifetime, RetentionRule
from cdp.accountability.periods import Periods, Stated, Subject
from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import DomainError
from cdp.profiles.models import EventName, EventType
from consent.models import Purpose

RULES_LOCK = 7305011
CONFIRMATION = "delete"


def hold_rules() -> None:
    """Until the transaction ends nobody else changes a rule: of two changes the later sees what the earlier left."""
    with bound_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [RULES_LOCK])


def share_rules() -> None:
    """Until the transaction ends nobody changes a rule; whoever deletes by them holds this."""
    with bound_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [RULES_LOCK])


@transaction.atomic
def set_rule(
    *,
    kind: Kind,
    by: Actor,
    event_name: EventName | None = None,
    category: str = "",
    days: int | None,
    purposes: Collection[Purpose] = (),
    reason: str = "",
    confirmation: str = "",
) -> RetentionRule:
    """The rule, made or changed.

    Args:
        confirmation: `CONFIRMATION`, where something would be kept for less time than now.

    Raises:
        DomainError: neither days nor purposes, days out of range, a name that is derived, or no confirmation where one is due.
    """
    _refuse_impossible(kind, event_name, days, purposes)
    hold_rules()
    subject: Subject = (kind, event_name.pk if event_name else None, category)
    before = periods.current()
    stated = Stated(days=days, purposes=frozenset(purpose.pk for purpose in purposes), reason=reason)
    _confirm(before, before.with_rule(subject, stated), confirmation)
    rule, is_new = RetentionRule.objects.update_or_create(
        kind=kind,
        event_name=event_name,
        category=category,
        defaults={"days": days, "reason": reason, "changed_at": timezone.now()},
    )
    KeptFor.objects.filter(rule=rule).delete()
    KeptFor.objects.bulk_create(KeptFor(rule=rule, purpose=purpose) for purpose in purposes)
    was = before.rules.get(subject)
    detail: dict[str, Any] = {"of": str(rule), "after": _told(stated)} | ({"before": _told(was)} if was else {})
    record(by=by, action=f"retention_rule.{'created' if is_new else 'changed'}", object=rule, detail=detail)
    return rule


@transaction.atomic
def remove_rule(*, rule: RetentionRule, by: Actor, confirmation: str = "") -> None:
    """Takes a rule away. Its name or category is kept by the rule of all others from now on, or without end.

    Raises:
        DomainError: the rule of all others keeps for less time, and that isn't confirmed.
    """
    hold_rules()
    subject: Subject = (Kind(rule.kind), rule.event_name_id, rule.category)
    before = periods.current()
    _confirm(before, before.with_rule(subject, None), confirmation)
    was = before.rules.get(subject)
    record(
        by=by,
        action="retention_rule.deleted",
        object=rule,
        detail={"of": str(rule), "before": _told(was) if was else {}},
    )
    rule.delete()


@transaction.atomic
def set_lifetime(*, purpose: Purpose, days: int | None, by: Actor, confirmation: str = "") -> None:
    """For how many days data may be used for the purpose; None: without end.

    Raises:
        DomainError: days out of range; or data would be kept for less time, and that isn't confirmed.
    """
    _refuse_days(days)
    hold_rules()
    before = periods.current()
    _confirm(before, before.with_lifetime(purpose.pk, days), confirmation)
    if days is None:
        PurposeLifetime.objects.filter(purpose=purpose).delete()
    else:
        defaults = {"retention_days": days, "changed_at": timezone.now()}
        PurposeLifetime.objects.update_or_create(purpose=purpose, defaults=defaults)
    detail = {"before": before.lifetimes.get(purpose.pk), "after": days}
    record(by=by, action="purpose.retention_changed", object=purpose, purpose=purpose.key, detail=detail)


def shortens(before: Periods, after: Periods) -> list[Subject]:
    """What would be kept for less time."""
    return before.shortened(after, periods.all_subjects())


def _confirm(before: Periods, after: Periods, confirmation: str) -> None:
    if confirmation.strip().lower() != CONFIRMATION and (shorter := shortens(before, after)):
        raise DomainError(
            "confirmation_missing",
            f"This keeps {len(shorter)} kind{'s' * (len(shorter) != 1)} of data for less time than now; what is older is"
            f" deleted for good. Look at what would go, and type “{CONFIRMATION}” to confirm.",
            "/confirmation",
        )


def _refuse_impossible(
    kind: Kind, event_name: EventName | None, days: int | None, purposes: Collection[Purpose]
) -> None:
    _refuse_days(days)
    if days is None and not purposes:
        raise DomainError("period_missing", "Give a number of days, or name what it is kept for.", "/days")
    if event_name is not None and event_name.type == EventType.DERIVED:
        raise DomainError(
            "derived_event",
            f"{event_name.name} is derived: it goes with the events that it follows from, so it has no time of its own.",
            "/event_name",
        )
    if kind == Kind.QUARANTINE and (days is None or purposes or days > settings.QUARANTINE_DAYS):
        raise DomainError(
            "quarantine_days",
            f"Quarantine is kept for 1 to {settings.QUARANTINE_DAYS} days (CDP_QUARANTINE_DAYS), for no purpose of its own.",
            "/days",
        )


def _refuse_days(days: int | None) -> None:
    if days is not None and not 1 <= days <= LONGEST_DAYS:
        raise DomainError("days_out_of_range", f"Days are a whole number from 1 to {LONGEST_DAYS:,}.", "/days")


def _told(rule: Stated) -> dict[str, Any]:
    keys = Purpose.objects.filter(pk__in=rule.purposes).order_by("key").values_list("key", flat=True)
    return {"days": rule.days, "purposes": list(keys), "reason": rule.reason}
