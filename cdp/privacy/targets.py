"""What a request has to reach, kind by kind, and what is done there. Each is done in its own transactions, can be done again at
any time, and leaves nothing half done when it is killed.

In which order, and what becomes of one that fails, is in `cdp.privacy.running`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.collecting.forgetting import forget_rows
from cdp.database import bound_cursor
from cdp.erasure import erase_profile
from cdp.errors import DomainError
from cdp.exports.keeping import delete_files, files_that_may_hold
from cdp.exports.models import Gone
from cdp.identity.merging import survivor_of
from cdp.pipeline import drain_dirty
from cdp.privacy.correcting import correct, remove
from cdp.privacy.exporting import delete_exports, make_export, whose
from cdp.privacy.literals import blot_out
from cdp.privacy.models import ObjectsTo, PrivacyExport, PrivacyRequest, RequestKind, Tombstone
from cdp.privacy.trait_literals import places_of, remove_at
from cdp.profiles import store
from cdp.profiles.models import Profile
from cdp.profiles.querysets import namespaces
from cdp.vault.services import destroy
from consent import stops
from consent.models import Decision, Method, StopKind
from consent.services import record_decision
from segments.feed import number_changes
from segments.uploads.forgetting import forget_upload_rows

Counts = dict[str, Any]


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
            return RECTIFICATION
        case RequestKind.RESTRICTION:
            return (RESTRICTION,)
        case _:
            return (OBJECTION,)


def remember_who(request: PrivacyRequest) -> None:
    """Notes which profiles are the person, in which namespaces they have identifiers, and before an erasure where rules name
    them: afterwards nobody could say.

    Raises:
        NotFound: nobody is known by the request's id.
    """
    person = whose(request.asker)
    named = Profile.objects.filter(pk__in=person.ids).values_list("identifiers__namespace", flat=True).distinct()
    request.subject_ids = sorted({*request.subject_ids, *person.ids})
    request.subject_uuids = sorted({*request.subject_uuids, *person.uuids})
    request.namespaces = sorted({*request.namespaces, *(one for one in named if one)})
    request.literals = places_of(person.ids) if request.kind == RequestKind.ERASURE else []
    request.save(update_fields=["subject_ids", "subject_uuids", "namespaces", "literals"])


# ---- Erasure -------------------------------------------------------------------------------------------------------


def _erase(request: PrivacyRequest, by: Actor) -> Counts:
    with transaction.atomic():
        erased = erase_profile(profile=Profile(uuid=request.asker), by=by, reason=request.number)
        if erased is None:
            return {"already": True}
        # Whom they were found to be under lock may be more than when it began.
        request.subject_ids = sorted({*request.subject_ids, *erased.everybody})
        request.subject_uuids = sorted({*request.subject_uuids, *erased.uuids})
        request.save(update_fields=["subject_ids", "subject_uuids"])
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
    done = blot_out(namespaces=_namespaces(request), by=by)
    traits = remove_at(request.literals, by=by)
    counts = {
        "versions": done.versions + traits.versions,
        "segments": sorted({*done.segments, *traits.segments}),
    }
    return counts | ({"shared": traits.shared} if traits.shared else {})


def _forget_imports(request: PrivacyRequest, by: Actor) -> Counts:
    named: dict[str, Any] = {"namespaces": _namespaces(request), "uuids": _uuids(request), "by": by}
    return {"rows": forget_rows(**named) + forget_upload_rows(profile_ids=request.subject_ids, **named)}


def _namespaces(request: PrivacyRequest) -> list[str]:
    return sorted({*request.namespaces, *namespaces()})


def _uuids(request: PrivacyRequest) -> list[UUID]:
    return [request.asker, *request.subject_uuids]


def _delete_files(request: PrivacyRequest, by: Actor) -> Counts:
    """Their exports, and whatever was noted in words on this and their earlier requests, by whichever of their ids they came."""
    with transaction.atomic():
        # An export that is just being finished holds them; one that comes after this finds the erasure begun.
        store.lock_profiles(sorted(request.subject_ids))
    theirs = PrivacyExport.objects.filter(profile_uuid__in=_uuids(request), deleted_at__isnull=True)
    files = delete_exports(theirs.select_related("request"), by=by)
    # Whoever is in a file of an audience isn't written down, so all of those go that they may be in.
    files += delete_files(files_that_may_hold(request.subject_ids), why=Gone.ERASED, by=by)
    requests = PrivacyRequest.objects.filter(profile_uuid__in=_uuids(request))
    words: dict[str, Any] = {"identity_note": "", "extension_reason": "", "corrections": {}, "wrong_identifiers": []}
    notes = requests.exclude(**words).update(**words)
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
    Target(key="imports", label="Imports that wait to be applied", do=_forget_imports, after="people"),
    Target(key="files", label="Exports, and notes on requests", do=_delete_files),
    Target(key="feed", label="Feeds of changes", do=_bury, after="people"),
)
EXPORT: Final = Target(key="export", label="File with their data", do=_export)
RECTIFICATION: Final = (
    Target(key="correction", label="Corrected traits", do=correct),
    Target(key="identifiers", label="Identifiers that aren't theirs", do=remove, after="correction"),
)
RESTRICTION: Final = Target(key="stop", label="Restriction", do=_restrict)
OBJECTION: Final = Target(key="stop", label="Objection", do=_object)
