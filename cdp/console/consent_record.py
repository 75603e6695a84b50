"""One decision with everything about it: what came before and after, the words that were shown, its place in the audit log.

And what is taken away of it: receipts and proof bundles. Which records there are is in `cdp.console.consent_trail`.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from cdp.audit.admin_base import actor_of
from cdp.audit.services import record as audit
from cdp.audit.standing import sealing
from cdp.console.consent_lanes import just_after
from cdp.errors import DomainError, NotFound
from cdp.identity import ledger
from cdp.ingestion.models import Source
from cdp.profiles.models import Profile
from consent.models import ConsentRecord, Decision, Purpose
from consent.notices import content_of
from consent.proofs.bundle import entries_of, make_bundle
from consent.receipts.issuing import Form, find, form_or_error, issue
from consent.trail import is_late, life_of


def _record(request: HttpRequest, uuid: UUID) -> ConsentRecord:
    if not request.user.has_perm("consent.view_consentrecord"):
        raise PermissionDenied
    try:
        return find(uuid)
    except NotFound:
        raise Http404 from None


def record_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    one = _record(request, uuid)
    entry = entries_of([one]).get(one.uuid)
    may_reveal = request.user.has_perm("profiles.reveal_pii")
    person = Profile.objects.filter(pk=one.profile_id).first()
    with transaction.atomic():
        detail = {"evidence": may_reveal}
        audit(by=actor_of(request), action="consent.viewed", object=one, purpose=one.purpose.key, detail=detail)
    context = {
        "one": one,
        "person": person,
        "is_late": is_late(one),
        "has_ended": one.expires_at is not None and one.expires_at <= timezone.now(),
        "life": [(other, is_late(other)) for other in life_of(one)],
        "content": content_of(one.notice_version) if one.notice_version else None,
        "source": Source.objects.filter(pk=one.source_id).first() if one.source_id else None,
        "evidence": one.evidence if may_reveal else None,
        "entry": entry,
        "place": sealing(entry) if entry else None,
        "forms": _forms(one),
        "just_after": just_after(one.collected_at),
    }
    return render(request, "consent/record.html", context)


def _forms(one: ConsentRecord) -> list[tuple[Form, str, str]]:
    """The forms of a receipt that this record can be given in: form, name, what it is."""
    offered = [(Form.ISO_27560, "ISO/IEC TS 27560", "JSON-LD in W3C DPV terms, signed")]
    if one.decision == Decision.GRANTED:
        offered += [(Form.KANTARA, "Kantara KI-CR-v1.1.0", "JSON"), (Form.KANTARA_JWT, "Kantara, signed", "JWT")]
    return offered


def receipt_view(request: HttpRequest, uuid: UUID, form: str) -> HttpResponse:
    """A receipt as a file; it names the person by our id."""
    one = _record(request, uuid)
    try:
        issued = issue(uuid=one.uuid, form=form_or_error(form), by=actor_of(request))
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("admin:consent_consentrecord_detail", uuid=one.uuid)
    return _file(issued.content, name=issued.name, media_type=issued.media_type)


def proof_view(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """The proof of what held from this decision on: at the moment when it was made."""
    one = _record(request, uuid)
    back = reverse("admin:consent_consentrecord_detail", args=[one.uuid])
    return _proof(request, profile_id=one.profile_id, purpose=one.purpose, at=one.collected_at, back=back)


def proof_at_view(request: HttpRequest, profile_id: int, purpose: str) -> HttpResponse:
    """The proof of what held for a profile and a purpose at a moment; by what was known at another, if one is named."""
    if not request.user.has_perm("consent.view_consentrecord"):
        raise PermissionDenied
    at, known_at = _moment(request, "at"), _moment(request, "known_at")
    if at is None or at > timezone.now():
        raise Http404
    back = reverse("admin:consent_consentrecord_changelist")
    wanted = get_object_or_404(Purpose, key=purpose)
    if (merged_at := ledger.merged_away(profile_id, at=at)) and merged_at < at:
        messages.error(request, "By then this profile had been merged into another one: ask for the proof of that one.")
        return redirect(back)
    return _proof(request, profile_id=profile_id, purpose=wanted, at=at, known_at=known_at, back=back)


def _moment(request: HttpRequest, name: str) -> datetime | None:
    try:
        moment = parse_datetime(request.GET.get(name, ""))
    except ValueError:
        return None
    return moment if moment is None or timezone.is_aware(moment) else timezone.make_aware(moment)


def _proof(request: HttpRequest, *, back: str, profile_id: int, **wanted: Any) -> HttpResponse:
    try:
        inside = ledger.all_inside(profile_id)
        bundle = make_bundle(profile_id=profile_id, inside=inside, by=actor_of(request), **wanted)
    except DomainError as error:
        messages.error(request, error.message)
        return redirect(back)
    return _file(bundle.content, name=bundle.name, media_type="application/zip")


def _file(content: bytes, *, name: str, media_type: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return HttpResponse(content, content_type=media_type, headers=headers)
