"""The life of a privacy request: it comes, somebody shows who they are, it is carried out, or it is refused with a reason.

Carrying it out is in `cdp.privacy.running`. Whatever is done here is on record under the purpose `privacy_rights`, with no word of
what anybody wrote.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record
from cdp.errors import Conflict, DomainError
from cdp.identity.merging import survivor_of
from cdp.jobs.models import Job
from cdp.privacy.correcting import read_wrong
from cdp.privacy.due import Due, due_of
from cdp.privacy.models import (
    CameBy,
    IdentityMethod,
    ObjectsTo,
    PrivacyRequest,
    PrivacyTarget,
    RequestKind,
    RequestState,
    TargetState,
)
from cdp.privacy.running import ask_for_work, finish_if_done, make_targets
from cdp.profiles.models import Profile
from consent import stops
from consent.models import Purpose, StopKind
from consent.querysets import PRIVACY_RIGHTS

MOST_CORRECTIONS = 50


@transaction.atomic
def open_request(
    *,
    kind: RequestKind,
    came_by: CameBy,
    by: Actor,
    profile: Profile | None = None,
    country: str = "",
    region: str = "",
    received_at: datetime | None = None,
    objects_to: ObjectsTo | None = None,
    purpose: Purpose | None = None,
    corrections: Mapping[str, Any] | None = None,
    wrong_identifiers: Sequence[str] = (),
) -> PrivacyRequest:
    """The new request, with its last day by the law of where the person is.

    Args:
        profile: who asks, where that is known.
        received_at: when it came; now, if nothing is said.
        objects_to: of an objection, what to; with the ``purpose`` where it is one.
        corrections: of a rectification, trait -> what it should be; None takes it away.
        wrong_identifiers: of a rectification, as `namespace:value`: what they are known by and isn't theirs.

    Raises:
        DomainError: what the kind needs is missing, or it came after now.
    """
    received_at = received_at or timezone.now()
    if received_at > timezone.now():
        raise DomainError("received_in_the_future", "A request can't have come after now.", "/received_at")
    corrections = dict(corrections or {})
    _refuse_incomplete(kind, objects_to, purpose, corrections, wrong_identifiers)
    wrong = read_wrong(list(wrong_identifiers), profile)
    found = _due(kind, country, region, received_at)
    request = PrivacyRequest.objects.create(
        kind=kind,
        came_by=came_by,
        state=RequestState.RECEIVED if profile is None else RequestState.IDENTITY_NEEDED,
        profile_uuid=profile.uuid if profile else None,
        country=country.upper()[:2],
        region=region.upper()[:6],
        law=found.law[:150],
        received_at=received_at,
        due_on=found.on,
        objects_to=objects_to or "",
        purpose=purpose,
        corrections=corrections,
        wrong_identifiers=[list(one) for one in wrong],
        created_by=by.label[:150],
    )
    detail = {"kind": kind, "came_by": came_by, "due_on": found.on.isoformat(), "profile": _public(profile)}
    _record(request, "privacy.requested", by, detail)
    return request


def _refuse_incomplete(
    kind: RequestKind,
    objects_to: ObjectsTo | None,
    purpose: Purpose | None,
    corrections: Mapping[str, Any],
    wrong_identifiers: Sequence[str],
) -> None:
    if kind == RequestKind.OBJECTION and objects_to is None:
        raise DomainError(
            "objection_to_what", f"Say what they object to: {', '.join(ObjectsTo.values)}.", "/objects_to"
        )
    if kind != RequestKind.OBJECTION and (objects_to or purpose):
        raise DomainError("no_objection", "Only an objection is to something.", "/objects_to")
    if (objects_to == ObjectsTo.PURPOSE) != (purpose is not None):
        raise DomainError("objection_to_which", "Name the purpose they object to, where it is one.", "/purpose")
    if purpose is not None and purpose.key == PRIVACY_RIGHTS:
        raise DomainError("purpose_not_open", "Nobody can object to being answered.", "/purpose")
    if kind == RequestKind.RECTIFICATION and not corrections and not wrong_identifiers:
        raise DomainError("corrections_missing", "Say what is wrong and what it should be.", "/corrections")
    for name, said in (("corrections", corrections), ("wrong_identifiers", wrong_identifiers)):
        if kind != RequestKind.RECTIFICATION and said:
            raise DomainError("no_rectification", "Only a rectification corrects something.", f"/{name}")
        if len(said) > MOST_CORRECTIONS:
            raise DomainError("too_many_corrections", f"A request corrects up to {MOST_CORRECTIONS}.", f"/{name}")


@transaction.atomic
def name_person(*, request: PrivacyRequest, profile: Profile, by: Actor) -> PrivacyRequest:
    """The request with who asks.

    Raises:
        Conflict: it has begun, or is over.
        DomainError: it asks to remove an identifier that isn't this person's.
    """
    request = _locked(request, RequestState.RECEIVED, RequestState.IDENTITY_NEEDED)
    read_wrong([f"{namespace}:{value}" for namespace, value in request.wrong_identifiers], profile)
    request.profile_uuid, request.state = profile.uuid, RequestState.IDENTITY_NEEDED
    request.save(update_fields=["profile_uuid", "state"])
    _record(request, "privacy.person_named", by, {"profile": str(profile.uuid)})
    return request


@transaction.atomic
def confirm_identity(*, request: PrivacyRequest, method: IdentityMethod, by: Actor, note: str = "") -> Job:
    """The job that carries it out from now on: who asks has shown who they are.

    Args:
        note: what was shown, for whoever asks later; it is erased with the person.

    Raises:
        Conflict: it isn't known yet who asks, it has begun, or is over.
        NotFound: the person was erased meanwhile.
    """
    request = _locked(request, RequestState.RECEIVED, RequestState.IDENTITY_NEEDED)
    if request.profile_uuid is None:
        raise Conflict("person_unknown", "Say first who asks.")
    survivor_of(request.profile_uuid)
    request.identity_method, request.identity_note = method, note[:500]
    request.identity_by, request.identity_at = by.label[:150], timezone.now()
    request.state = RequestState.IN_PROGRESS
    request.save(update_fields=["identity_method", "identity_note", "identity_by", "identity_at", "state"])
    make_targets(request)
    _record(request, "privacy.identity_confirmed", by, {"method": method})
    return ask_for_work(request, by=by)


@transaction.atomic
def retry_target(*, target: PrivacyTarget, by: Actor) -> Job:
    """The job that tries this target again, and no other that is done.

    One that waits or runs is tried again too, once no job is at it any more: that was cancelled, or lost its workers.

    Raises:
        Conflict: it is done, or somebody is at it; or the request is over.
    """
    request = _locked(target.request, RequestState.IN_PROGRESS)
    waiting = request.targets.filter(pk=target.pk, is_outside=False).exclude(state=TargetState.DONE)
    if is_being_done(request):
        waiting = waiting.filter(state=TargetState.FAILED)
    if not waiting.update(state=TargetState.WAITING, error_code="", changed_at=timezone.now()):
        raise Conflict("target_not_failed", "This target didn't fail, so there is nothing to try again.")
    _record(request, "privacy.target_retried", by, {"target": target.key})
    return ask_for_work(request, by=by)


def is_being_done(request: PrivacyRequest) -> bool:
    """Whether a job is at it, or about to be."""
    return Job.objects.unfinished().filter(uuid=request.job_uuid).exists() if request.job_uuid else False


@transaction.atomic
def tick_off(*, target: PrivacyTarget, by: Actor) -> bool:
    """Whether that was the last: somebody says that a system outside was seen to.

    Raises:
        Conflict: it isn't outside, or was ticked off before.
    """
    request = _locked(target.request, RequestState.IN_PROGRESS)
    open_ones = request.targets.filter(pk=target.pk, is_outside=True).exclude(state=TargetState.DONE)
    if not open_ones.update(state=TargetState.DONE, done_by=by.label[:150], changed_at=timezone.now()):
        raise Conflict("target_not_open", "This was ticked off before, or isn't done by hand.")
    _record(request, "privacy.target_ticked_off", by, {"target": target.label})
    return finish_if_done(request, by=by)


@transaction.atomic
def extend(*, request: PrivacyRequest, reason: str, by: Actor) -> PrivacyRequest:
    """The request with the last day the law allows. The person is to be told why before the first one is over.

    Raises:
        DomainError: no reason, or no law that may apply extends it.
        Conflict: it is over, was extended before, or its last day has passed.
    """
    request = _locked(request, RequestState.RECEIVED, RequestState.IDENTITY_NEEDED, RequestState.IN_PROGRESS)
    reason = _reason(reason)
    if request.was_due_on is not None:
        raise Conflict("extended_before", "It was extended before, and can't be again.")
    if not may_be_extended(request):
        raise Conflict(
            "extended_too_late", "Its last day is over; the person had to be told of an extension before that."
        )
    until = _due(RequestKind(request.kind), request.country, request.region, request.received_at).extended_to
    if until is None:
        raise DomainError("no_extension", f"Under {request.law} the time to answer can't be extended.")
    request.was_due_on, request.due_on, request.extension_reason = request.due_on, until, reason
    request.save(update_fields=["was_due_on", "due_on", "extension_reason"])
    _record(request, "privacy.extended", by, {"due_on": until.isoformat()})
    return request


def may_be_extended(request: PrivacyRequest) -> bool:
    """Whether there is still time to tell the person of it, and it wasn't done before."""
    return request.is_open and request.was_due_on is None and timezone.localdate() <= request.due_on


@transaction.atomic
def refuse(*, request: PrivacyRequest, reason: str, by: Actor) -> PrivacyRequest:
    """The request, over, with why: the person is to be told, and where they can complain.

    Raises:
        DomainError: no reason.
        Conflict: it has begun, or is over.
    """
    request = _locked(request, RequestState.RECEIVED, RequestState.IDENTITY_NEEDED)
    request.refusal_reason = _reason(reason)
    return _close(request, RequestState.REFUSED, by)


@transaction.atomic
def withdraw(*, request: PrivacyRequest, by: Actor) -> PrivacyRequest:
    """The request, over, since the person no longer wants it.

    Raises:
        Conflict: it has begun, or is over.
    """
    return _close(_locked(request, RequestState.RECEIVED, RequestState.IDENTITY_NEEDED), RequestState.WITHDRAWN, by)


@transaction.atomic
def lift_stop(*, request: PrivacyRequest, by: Actor) -> None:
    """What a restriction or an objection halted goes on, by what the person had decided.

    Raises:
        Conflict: it halted nothing, or was lifted before.
        NotFound: the person was erased meanwhile.
    """
    kind = stop_of(request)
    if kind is None or request.state != RequestState.DONE or request.profile_uuid is None:
        raise Conflict("not_stopped", "This request halted nothing that could be lifted.")
    stops.lift(profile=survivor_of(request.profile_uuid), kind=kind, by=by, why=request.number)
    _record(request, "privacy.stop_lifted", by, {"kind": kind})


def stop_of(request: PrivacyRequest) -> StopKind | None:
    """What it halts; None where it halts nothing, or one purpose, which is the person's own decision."""
    if request.kind == RequestKind.RESTRICTION:
        return StopKind.RESTRICTION
    if request.kind == RequestKind.OBJECTION and request.objects_to != ObjectsTo.PURPOSE:
        return StopKind(request.objects_to)
    return None


def _close(request: PrivacyRequest, state: RequestState, by: Actor) -> PrivacyRequest:
    request.state, request.closed_at = state, timezone.now()
    request.corrections, request.wrong_identifiers = {}, []
    request.save(update_fields=["state", "closed_at", "corrections", "wrong_identifiers", "refusal_reason"])
    _record(request, f"privacy.{state}", by, {})
    return request


def _locked(request: PrivacyRequest, *states: RequestState) -> PrivacyRequest:
    """The request as it is now, which nobody else changes meanwhile.

    Raises:
        Conflict: it is in none of these states.
    """
    now = PrivacyRequest.objects.select_for_update().get(pk=request.pk)
    if now.state not in states:
        raise Conflict("request_moved_on", f"{now.number} is {now.get_state_display().lower()} by now.")
    return now


def _reason(text: str) -> str:
    if not text.strip():
        raise DomainError("reason_missing", "Say why; the person is told.", "/reason")
    return text.strip()[:500]


def _due(kind: RequestKind, country: str, region: str, received_at: datetime) -> Due:
    """By the workspace's calendar."""
    return due_of(kind, country=country, region=region, received_on=timezone.localdate(received_at))


def _public(profile: Profile | None) -> str:
    return str(profile.uuid) if profile else ""


def _record(request: PrivacyRequest, action: str, by: Actor, detail: Mapping[str, Any]) -> None:
    record(by=by, action=action, object=request, purpose=PRIVACY_RIGHTS, detail=detail)
