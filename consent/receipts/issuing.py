"""Issuing a receipt: what is on record, put into a form, signed where there is a key and a place for it, and audited."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import record as audit
from cdp.audit.signing import KeyUnusable, Signer, load_signer
from cdp.errors import Conflict, DomainError, NotFound
from cdp.profiles.models import Profile, Workspace
from consent.models import ConsentRecord, Decision, Reach
from consent.notices import content_of
from consent.receipts import dpv, kantara
from consent.receipts.facts import Controller, Facts, Told
from consent.receipts.signing import did_key, jws, with_proof

# Without these no form is complete: each of them asks for them.
NEEDED: Final = ("address", "country", "email", "phone", "privacy_url", "choices_url")


class Form(StrEnum):
    ISO_27560 = "iso-27560"
    KANTARA = "kantara"
    KANTARA_JWT = "kantara-jwt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Issued:
    """A receipt as bytes to be handed out."""

    name: str
    media_type: str
    content: bytes
    is_signed: bool


def controller_of_settings() -> Controller:
    """
    Raises:
        Conflict: what a receipt must say of the controller isn't set up; the message names each setting.
    """
    said = dict(settings.CONTROLLER)
    missing = [f"CDP_CONTROLLER_{word.upper()}" for word in NEEDED if not said[word]]
    if missing:
        raise Conflict(
            "controller_unknown", f"A receipt says who answers for the data. Set {', '.join(missing)} and restart."
        )
    return Controller(**{**said, "name": said["name"] or Workspace.current().name})


def signer_or_none() -> Signer | None:
    """The audit log's key, where this process may read it."""
    if not settings.AUDIT_KEY:
        return None
    try:
        return load_signer(Path(settings.AUDIT_KEY), name=settings.AUDIT_ORIGIN)
    except KeyUnusable:
        return None


def facts_of(record: ConsentRecord, *, at: datetime) -> Facts:
    """What a receipt of this record tells, as of a moment: whether its yes had ended by then.

    Raises:
        Conflict: it isn't said who answers for the data.
    """
    uuid = Profile.objects.filter(pk=record.profile_id).values_list("uuid", flat=True).first()
    version, served, purpose = record.notice_version, record.served, record.purpose
    told = None
    if version is not None:
        told = Told(
            key=version.notice.key,
            number=version.number,
            locale=version.locale,
            sha256=version.sha256,
            published_at=version.published_at,
            link=content_of(version).link,
        )
    return Facts(
        record=record.uuid,
        person=str(uuid) if uuid else f"profile-{record.profile_id}",
        is_device=record.reach == Reach.DEVICE,
        decision=record.decision,
        method=record.method,
        collected_at=record.collected_at,
        recorded_at=record.recorded_at,
        expires_at=record.expires_at,
        has_ended=record.expires_at is not None and record.expires_at <= at,
        jurisdiction=record.jurisdiction,
        purpose_key=purpose.key,
        purpose_label=purpose.label,
        purpose_text=purpose.text,
        lawful_basis=purpose.lawful_basis,
        channel=purpose.channel,
        capabilities=tuple(purpose.needs_granted),
        covers_profiling=purpose.covers_profiling,
        notice=told,
        served_at=served.served_at if served else None,
        place=served.place if served else "",
        controller=controller_of_settings(),
    )


@transaction.atomic
def issue(*, uuid: UUID, form: Form, by: Actor, at: datetime | None = None) -> Issued:
    """The receipt of one record.

    Raises:
        NotFound: there is no such record.
        Conflict: this form can't be given of it, and why.
    """
    at = at or timezone.now()
    record = find(uuid)
    facts, signer = facts_of(record, at=at), signer_or_none()
    issued = FORMS[form](facts, signer, at)
    detail = {"record": str(record.uuid), "form": str(form), "signed": issued.is_signed}
    audit(by=by, action="consent.receipt_issued", object=record, purpose=record.purpose.key, detail=detail)
    return issued


def find(uuid: UUID) -> ConsentRecord:
    """
    Raises:
        NotFound: there is no such record.
    """
    try:
        return ConsentRecord.objects.select_related("purpose", "notice_version__notice", "served").get(uuid=uuid)
    except ConsentRecord.DoesNotExist:
        raise NotFound("record_not_found", "There is no consent record of this id.") from None


def form_or_error(text: str) -> Form:
    """
    Raises:
        DomainError: there is no such form.
    """
    try:
        return Form(text)
    except ValueError:
        raise DomainError(
            "form_unknown", f"format must be one of {', '.join(Form)}; received an unknown one.", "/format"
        ) from None


def _iso(facts: Facts, signer: Signer | None, at: datetime) -> Issued:
    receipt = dpv.receipt(facts, created=at)
    if signer is not None:
        receipt = with_proof(receipt, signer=signer, created=at)
    return Issued(
        name=f"receipt-{facts.receipt_id}.jsonld",
        media_type="application/ld+json",
        content=_written(receipt),
        is_signed=signer is not None,
    )


def _kantara(facts: Facts, signer: Signer | None, at: datetime) -> Issued:
    _refuse_unless_yes(facts)
    receipt = kantara.receipt(facts, public_key=did_key(signer.key) if signer else "")
    return Issued(
        name=f"receipt-{facts.receipt_id}.json",
        media_type="application/json",
        content=_written(receipt),
        is_signed=False,
    )


def _kantara_jwt(facts: Facts, signer: Signer | None, at: datetime) -> Issued:
    _refuse_unless_yes(facts)
    if signer is None:
        raise Conflict("no_key", "There is no key here to sign with; CDP_AUDIT_KEY names one.")
    token = jws(kantara.receipt(facts, public_key=did_key(signer.key)), signer=signer)
    return Issued(
        name=f"receipt-{facts.receipt_id}.jwt", media_type="application/jwt", content=token.encode(), is_signed=True
    )


def _refuse_unless_yes(facts: Facts) -> None:
    if facts.decision != Decision.GRANTED:
        raise Conflict(
            "not_a_yes",
            f"A Kantara receipt is of a yes, and this record says {facts.decision}; take it in the form {Form.ISO_27560}.",
        )


FORMS: Final[dict[Form, Callable[[Facts, Signer | None, datetime], Issued]]] = {
    Form.ISO_27560: _iso,
    Form.KANTARA: _kantara,
    Form.KANTARA_JWT: _kantara_jwt,
}


def _written(receipt: dict[str, object]) -> bytes:
    return (json.dumps(receipt, indent=2, ensure_ascii=False) + "\n").encode()
