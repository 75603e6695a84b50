"""The record of processing activities (GDPR Art. 30(1)): put together from what is set up, and kept as it was when published.

Whatever the platform knows is read from it: purposes, catalogue, periods, keys, settings. Whatever only the controller can say
is entered, and missing until it is. A published version is canonical JSON, kept as bytes with their hash. How it is written
for people is in `cdp.accountability.record_forms`.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import rfc8785
from django.db import transaction
from django.db.models import Max, Q
from django.utils import timezone

from cdp.accountability import periods
from cdp.accountability.models import Controller, Kind, PublishedRecord, PurposeEntry, PurposeLifetime
from cdp.accountability.periods import Periods, Subject
from cdp.accountability.standing_facts import fixed_periods, measures
from cdp.audit.actors import Actor
from cdp.audit.models import AuditEntry
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.errors import Conflict
from cdp.ingestion.models import Source
from cdp.profiles.models import EventName, EventType, Trait, TraitCategory, Workspace
from cdp.profiles.querysets import namespaces
from cdp.profiles.score_services import published_scores
from cdp.rest.models import ApiKey, Scope
from consent.models import Purpose

FORMAT: Final = "record-of-processing/1"
PUBLISH_LOCK: Final = 7305012
READING_SCOPES: Final = {
    Scope.MEMBERS_READ,
    Scope.PROFILES_READ,
    Scope.PROFILES_REVEAL,
    Scope.CONSENTS_READ,
    Scope.PRIVACY_READ,
}

Content = dict[str, Any]
"""A record, as JSON has it."""


@dataclass(frozen=True, slots=True)
class Missing:
    """What nobody has entered yet: where it belongs (a JSON pointer), in which part of the record, and what it is called."""

    pointer: str
    part: str
    label: str


def compose() -> Content:
    """The record as things are now. The same state gives the same bytes."""
    now = periods.current()
    controller = Controller.current()
    return {
        "format": FORMAT,
        "organisation": Workspace.current().name,
        "controller": {name: getattr(controller, name) for name in CONTROLLER},
        "activities": _activities(now, controller),
        "data": _data(now),
        "sources": [
            {"name": source.name, "kind": source.get_kind_display(), "enabled": source.is_enabled}
            for source in Source.objects.all()
        ],
        "kept": [{"what": what, "how_long": how_long} for what, how_long in fixed_periods()],
        "measures": {"entered": controller.measures, "by_the_platform": measures()},
    }


# What of the controller's is required by Art. 30(1)(a) and (g); the others only where they apply.
CONTROLLER: Final = ("name", "address", "contact", "representative", "joint_controllers", "officer", "authority")
REQUIRED: Final = {"name": "name", "address": "address", "contact": "contact details"}
REQUIRED_OF_A_PURPOSE: Final = {
    "subjects": "categories of data subjects",
    "kept_for_it": "which data is kept for it",
    "recipients": "recipients",
    "transfers": "transfers to third countries",
    "retention_days": "how long data is used",
}


def missing(content: Content) -> list[Missing]:
    """What the record needs and lacks, in its order."""
    found = [
        Missing(f"/controller/{name}", "Controller", label)
        for name, label in REQUIRED.items()
        if not content["controller"][name]
    ]
    for number, activity in enumerate(content["activities"]):
        at = f"/activities/{number}"
        lacking = [(name, label) for name, label in REQUIRED_OF_A_PURPOSE.items() if not activity[name]]
        if activity["transfers"] and not activity["safeguards"] and not _says_none(activity["transfers"]):
            lacking.append(("safeguards", "safeguards of transfers"))
        found += [Missing(f"{at}/{name}", activity["label"], label) for name, label in lacking]
    endless = [one["name"] for one in content["data"]["events"] if one["days"] is None]
    if endless:
        label = f"how long events of {len(endless)} name{'s' * (len(endless) != 1)} are kept"
        found.append(Missing("/data/events", "Categories of personal data", label))
    if not content["measures"]["entered"]:
        found.append(Missing("/measures/entered", "Security measures", "a description"))
    return found


def _says_none(text: str) -> bool:
    return text.strip().strip(".").lower() in {"none", "no", "no transfers"}


def _activities(now: Periods, controller: Controller) -> list[Content]:
    entries = PurposeEntry.objects.in_bulk()
    usable = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    systems = [
        {"name": key.name, "scopes": sorted(key.scopes)}
        for key in ApiKey.objects.filter(usable, revoked_at__isnull=True).order_by("name", "pk")
        if READING_SCOPES & set(key.scopes)
    ]
    names = dict(
        EventName.objects.filter(pk__in=[subject[1] for subject in now.rules if subject[1]]).values_list("pk", "name")
    )
    in_order = sorted(now.rules.items(), key=lambda one: (one[0][0], names.get(one[0][1] or 0, ""), one[0][2]))
    changed_at = _last_changes(entries)
    found = []
    for purpose in Purpose.objects.order_by("label", "pk"):
        entry = entries.get(purpose.pk) or PurposeEntry(purpose=purpose)
        found.append(
            {
                "key": purpose.key,
                "label": purpose.label,
                "text": purpose.text,
                "lawful_basis": purpose.get_lawful_basis_display(),
                "mode": purpose.get_mode_display(),
                "subjects": entry.subjects or controller.subjects,
                "kept_for_it": [_called(subject, names) for subject, rule in in_order if purpose.pk in rule.purposes],
                "recipients": entry.recipients,
                "systems_that_may_read": systems,
                "transfers": entry.transfers,
                "safeguards": entry.safeguards,
                "retention_days": now.lifetimes.get(purpose.pk),
                "consent_lifetime_days": purpose.lifetime_days,
                "changed_at": max([purpose.created_at, *changed_at.get(purpose.pk, [])]).isoformat(timespec="seconds"),
            }
        )
    return found


def _called(subject: Subject, names: Mapping[int, str]) -> str:
    kind, name_id, category = subject
    if name_id is not None:
        return f"Events: {names[name_id]}"
    if category:
        return f"Traits: {TraitCategory(category).label}"
    return {Kind.EVENTS: "All other events", Kind.TRAITS: "All other traits"}.get(kind, str(kind.label))


def _last_changes(entries: Mapping[int, PurposeEntry]) -> dict[int, list[datetime]]:
    """By purpose, when anything of it was last set up: by the log, the record and the periods."""
    moments: dict[int, list[datetime]] = {pk: [entry.changed_at] for pk, entry in entries.items()}
    by_log = (
        AuditEntry.objects.filter(object_type="consent.purpose", action__startswith="purpose.")
        .order_by()
        .values_list("object_id")
        .annotate(Max("recorded_at"))
    )
    for object_id, at in by_log:
        moments.setdefault(int(object_id), []).append(at)
    for purpose_id, at in PurposeLifetime.objects.values_list("purpose_id", "changed_at"):
        moments.setdefault(purpose_id, []).append(at)
    return moments


def _data(now: Periods) -> Content:
    """Categories of personal data: what the catalogue knows of, each with how long it is kept."""
    traits: dict[str, list[Content]] = {}
    for trait in Trait.objects.order_by("key"):
        said = {"key": trait.key, "label": trait.label, "personal": trait.is_pii}
        traits.setdefault(trait.category, []).append(said)
    return {
        "identifiers": sorted(namespaces()),
        "traits": [
            {
                "category": category.label,
                "traits": traits[category.value],
                "days": now.days_for(Kind.TRAITS, category=category.value),
            }
            for category in TraitCategory
            if category.value in traits
        ],
        "events": [
            {
                "name": name.name,
                "description": name.description,
                "days": now.days_for(Kind.EVENTS, name_id=name.pk),
                "reason": _reason(now, name.pk),
            }
            for name in EventName.objects.exclude(type=EventType.DERIVED).order_by("name")
        ],
        "derived": sorted(EventName.objects.filter(type=EventType.DERIVED).values_list("name", flat=True)),
        "scores": sorted(f"{kind}.{key}" for kind, keys in published_scores().items() for key in keys),
        "scores_days": now.days_for(Kind.SCORES),
        "quarantine_days": now.days_for(Kind.QUARANTINE),
    }


def _reason(now: Periods, name_id: int) -> str:
    rule = now.rule_for(Kind.EVENTS, name_id=name_id)
    return "" if rule is None else rule.reason


# ---- Publishing --------------------------------------------------------------------------------------------------


def as_bytes(content: Content) -> bytes:
    """The record as canonical JSON (RFC 8785): what is kept, and hashed."""
    return rfc8785.dumps(content)


@transaction.atomic
def publish(*, by: Actor) -> PublishedRecord:
    """The record as it is now, kept as the next version.

    Raises:
        Conflict: it is the same as the newest version.
    """
    with bound_cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PUBLISH_LOCK])
    content = compose()
    kept = as_bytes(content)
    digest = hashlib.sha256(kept).hexdigest()
    newest = PublishedRecord.objects.first()
    if newest is not None and newest.sha256 == digest:
        raise Conflict("record_unchanged", f"Nothing has changed since version {newest.number}.")
    published = PublishedRecord.objects.create(
        number=newest.number + 1 if newest else 1,
        content=kept,
        sha256=digest,
        missing=len(missing(content)),
        published_by=by.label[:150],
    )
    detail = {"number": published.number, "sha256": digest, "missing": published.missing}
    record(by=by, action="record_of_processing.published", object=published, detail=detail)
    return published


def content_of(published: PublishedRecord) -> Content:
    """What a version says.

    Raises:
        Conflict: its bytes are other ones than those that were hashed.
    """
    kept = bytes(published.content)
    if hashlib.sha256(kept).hexdigest() != published.sha256:
        raise Conflict("record_damaged", f"Version {published.number} isn't what was published: its hash differs.")
    content: Content = json.loads(kept)
    return content


# ---- What is entered ---------------------------------------------------------------------------------------------


@transaction.atomic
def save_controller(*, values: Mapping[str, str], by: Actor) -> Controller:
    """The controller with these fields. Of contact details, which may be a person's, only that they changed is on record."""
    controller = Controller.objects.select_for_update().get(pk=Controller.current().pk)
    changed = sorted(name for name, value in values.items() if getattr(controller, name) != value)
    for name in changed:
        setattr(controller, name, values[name])
    if changed:
        controller.changed_at = timezone.now()
        controller.save()
        record(by=by, action="controller.changed", object=controller, detail={"fields": changed})
    return controller


@transaction.atomic
def save_entry(*, purpose: Purpose, values: Mapping[str, str], by: Actor) -> PurposeEntry:
    """What the record says of a purpose, with these fields; before and after are on record."""
    PurposeEntry.objects.get_or_create(purpose=purpose)
    entry = PurposeEntry.objects.select_for_update().get(purpose=purpose)
    before = {name: getattr(entry, name) for name, value in values.items() if getattr(entry, name) != value}
    for name in before:
        setattr(entry, name, values[name])
    if before:
        entry.changed_at = timezone.now()
        entry.save()
        detail = {"before": before, "after": {name: values[name] for name in before}}
        record(by=by, action="purpose.record_changed", object=purpose, purpose=purpose.key, detail=detail)
    return entry
