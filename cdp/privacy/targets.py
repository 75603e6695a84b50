"""What a request has to reach, kind by kind, and what is done there. Each is done in its own transactions, can be done again at
any time, and leaves nothing half done when it is killed.

In which order, and what becomes of one that fails, is in `cdp.privacy.running`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.database import bound_cursor
from cdp.erasure import erase_profile
from cdp.errors import DomainError, NotFound
from cdp.identity.merging import survivor_of
from cdp.identity.normalise import ANONYMOUS_ID, USER_ID, priority
from cdp.identity.normalise import Identifier as Named
from cdp.ingestion import inbox
from cdp.ingestion.keys import create_source
from cdp.ingestion.models import Source, SourceKind
from cdp.pipeline import drain_dirty
from cdp.privacy.exporting import delete_exports, make_export, whose
from cdp.privacy.literals import blot_out
from cdp.privacy.models import ObjectsTo, PrivacyExport, PrivacyRequest, RequestKind, Tombstone
from cdp.profiles.models import Profile
from cdp.profiles.querysets import namespaces
from cdp.vault.services import destroy
from consent import stops
from consent.models import Decision, Method, StopKind
from consent.services import record_decision
from segments.feed import number_changes

Counts = dict[str, Any]
CORRECTIONS: Final = "Privacy requests"
"""The source by which corrections come, like all else that is said of people."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """What it is called, on screens too, and what is done for it; gives figures of what came of it.

    ``after`` names the one without which it can't be right: it waits until that is done.
    """

    key: str
    label: str
    do: Callable[[PrivacyRequest, Actor], Counts]
    after: str = ""


def targets_of(request: PrivacyRequest) -> Sequence[Target]:
    """In the order in which they are done."""
    match request.kind:
        case RequestKind.ERASURE:
            return ERASURE
        case RequestKind.ACCESS | RequestKind.PORTABILITY:
            return (EXPORT,)
        case RequestKind.RECTIFICATION:
            return (CORRECTION,)
        case RequestKind.RESTRICTION:
            return (RESTRICTION,)
        case _:
            return (OBJECTION,)


def remember_who(request: PrivacyRequest) -> None:
    """Notes which profiles are the person, and in which namespaces they have identifiers: afterwards nobody could say.

    Raises:
        NotFound: nobody is known by the request's id.
    """
    person = whose(request.asker)
    named = Profile.objects.filter(pk__in=person.ids).values_list("identifiers__namespace", flat=True).distinct()
    request.subject_ids = sorted({*request.subject_ids, *person.ids})
    request.namespaces = sorted({*request.namespaces, *(one for one in named if one)})
    request.save(update_fields=["subject_ids", "namespaces"])


# ---- Erasure -------------------------------------------------------------------------------------------------------


def _erase(request: PrivacyRequest, by: Actor) -> Counts:
    with transaction.atomic():
        erased = erase_profile(profile=Profile(uuid=request.asker), by=by, reason=request.number)
        if erased is None:
            return {"already": True}
        # Whom they were found to be under lock may be more than when it began.
        request.subject_ids = sorted({*request.subject_ids, *erased.everybody})
        request.save(update_fields=["subject_ids"])
    return {name: getattr(erased, name) for name in ("events", "waiting", "quarantined", "suppressed", "keys")}


def _shred(request: PrivacyRequest, by: Actor) -> Counts:
    """Once more for all the numbers: somebody may have sealed something for a number that was left out then."""
    return {"keys": destroy(subject_ids=request.subject_ids, by=by)}


def _end_memberships(request: PrivacyRequest, by: Actor) -> Counts:
    while drain_dirty():
        pass
    number_changes(wait=True)
    left = _count(
        "SELECT (SELECT count(*) FROM segments_membership WHERE profile_id = ANY(%(ids)s::bigint[]))"
        " + (SELECT count(*) FROM profiles_dirtyprofile WHERE profile_id = ANY(%(ids)s::bigint[]))",
        request,
    )
    if left:
        # The evaluator holds them just now, or a segment is broken, whose members are frozen.
        raise DomainError("memberships_remain", f"{left} memberships haven't ended yet; try again in a minute.")
    ended = (
        "SELECT count(*) FROM segments_membershipchange WHERE profile_id = ANY(%(ids)s::bigint[]) AND why = 'erasure'"
    )
    return {"ended": _count(ended, request)}


def _forget_rules(request: PrivacyRequest, by: Actor) -> Counts:
    done = blot_out(namespaces=sorted({*request.namespaces, *namespaces()}), by=by)
    return {"versions": done.versions, "segments": done.segments}


def _delete_files(request: PrivacyRequest, by: Actor) -> Counts:
    """Their exports, and whatever was noted in words on this and their earlier requests."""
    theirs = PrivacyExport.objects.filter(profile_uuid=request.asker, deleted_at__isnull=True)
    files = delete_exports(theirs.select_related("request"), by=by)
    requests = PrivacyRequest.objects.filter(profile_uuid=request.asker)
    noted = requests.exclude(identity_note="", extension_reason="", corrections={})
    notes = noted.update(identity_note="", extension_reason="", corrections={})
    refused = requests.exclude(refusal_reason__in=["", "erased"]).update(refusal_reason="erased")
    return {"files": files, "notes": notes + refused}


def _bury(request: PrivacyRequest, by: Actor) -> Counts:
    """Feeds go on to say for some days that they left; then nothing of it remains."""
    drop_after = timezone.now() + timedelta(days=settings.TOMBSTONE_DAYS)
    rows = [Tombstone(profile_id=one, drop_after=drop_after) for one in request.subject_ids]
    Tombstone.objects.bulk_create(rows, ignore_conflicts=True)
    return {"until": drop_after.date().isoformat()}


# ---- The others ----------------------------------------------------------------------------------------------------


def _export(request: PrivacyRequest, by: Actor) -> Counts:
    export = make_export(request=request, by=by)
    return {"bytes": export.bytes}


def _correct(request: PrivacyRequest, by: Actor) -> Counts:
    """Says it as any source would, so that history shows what was said before, and segments follow. Said twice it is one message."""
    if not request.corrections:
        return {"traits": 0}
    person = survivor_of(request.asker)
    known = [Named(*pair) for pair in person.identifiers.values_list("namespace", "value")]
    if not known:
        raise NotFound("nothing_names_them", "This profile has no identifier by which a correction could name it.")
    strongest = min(known, key=priority)
    call: dict[str, Any] = {
        "type": "identify", "messageId": f"privacy-{request.uuid}", "traits": request.corrections,
        "timestamp": timezone.now().isoformat(),
    }  # fmt: skip
    match strongest.namespace:
        case str(name) if name == USER_ID:
            call["userId"] = strongest.value
        case str(name) if name == ANONYMOUS_ID:
            call["anonymousId"] = strongest.value
        case name:
            call["context"] = {"externalIds": [{"type": name, "id": strongest.value}]}
    with transaction.atomic():
        source = Source.objects.filter(name=CORRECTIONS, kind=SourceKind.SERVER).order_by("pk").first()
        source = source or create_source(name=CORRECTIONS, kind=SourceKind.SERVER, by=by)
        inbox.put(
            source_id=source.pk,
            endpoint="batch",
            body=msgspec.json.encode({"batch": [call]}),
            message_count=1,
            received_at=timezone.now(),
        )
        count = len(request.corrections)
        PrivacyRequest.objects.filter(pk=request.pk).update(corrections={})
        request.corrections = {}
    return {"traits": count}


def _restrict(request: PrivacyRequest, by: Actor) -> Counts:
    person = survivor_of(request.asker)
    stops.stop(profile=person, kind=StopKind.RESTRICTION, by=by, why=request.number)
    return {}


def _object(request: PrivacyRequest, by: Actor) -> Counts:
    person = survivor_of(request.asker)
    if request.objects_to == ObjectsTo.PURPOSE:
        assert request.purpose is not None  # a request is refused without it
        # As of when they said it: what they decide afterwards counts for more.
        record_decision(
            profile=person,
            purpose=request.purpose,
            decision=Decision.DENIED,
            method=Method.PRIVACY_REQUEST,
            at=request.received_at,
            by=by,
            evidence={"request": request.number},
        )
    else:
        stops.stop(profile=person, kind=StopKind(request.objects_to), by=by, why=request.number)
    return {}


def _count(query: str, request: PrivacyRequest) -> int:
    with bound_cursor() as cursor:
        cursor.execute(query, {"ids": request.subject_ids})
        return int(cursor.fetchall()[0][0])


# While the person is there, what is sealed for them must stay readable, and nothing says by which digests rules name them.
ERASURE: Final = (
    Target(key="people", label="Profile, events, scores, lists, inbox and quarantine", do=_erase),
    Target(key="keys", label="Keys of sealed evidence and audit payload", do=_shred, after="people"),
    Target(key="memberships", label="Segments", do=_end_memberships, after="people"),
    Target(key="rules", label="Rules that named them", do=_forget_rules, after="people"),
    Target(key="files", label="Exports, and notes on requests", do=_delete_files),
    Target(key="feed", label="Feeds of changes", do=_bury, after="people"),
)
EXPORT: Final = Target(key="export", label="File with their data", do=_export)
CORRECTION: Final = Target(key="correction", label="Corrected traits", do=_correct)
RESTRICTION: Final = Target(key="stop", label="Restriction", do=_restrict)
OBJECTION: Final = Target(key="stop", label="Objection", do=_object)
