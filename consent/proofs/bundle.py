"""Making a proof bundle: gather what is on record of one person and purpose, prove each decision, put it all into a zip.

The same records and the same checkpoint give the same bytes.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final

from django.db import transaction
from django.db.models import Q

from cdp.audit import check_held, check_proof, ed25519, verify
from cdp.audit.actors import Actor
from cdp.audit.models import Anchor, AuditEntry, Checkpoint, Head, Leaf
from cdp.audit.rotation import keys_until
from cdp.audit.sequencing import stored_hashes
from cdp.audit.services import record as audit
from cdp.audit.signing import Signer
from cdp.audit.tree import consistency_proof, inclusion_proof
from cdp.audit.verify import moment_text, open_note
from cdp.errors import Conflict
from cdp.profiles.models import Profile
from consent.models import ConsentRecord, Method, Purpose
from consent.moments import Held, held_at
from consent.proofs.readme import readme
from consent.proofs.stopped import BEGAN, ENDED, entries_of_stops, proved_stops, stops_of
from consent.receipts.issuing import signer_or_none

# What checks a bundle, by the names that the programs have in it.
PROGRAMS: Final = {"check.py": check_proof, "held.py": check_held, "verify.py": verify, "ed25519.py": ed25519}
FIRST_DAY: Final = (1980, 1, 1, 0, 0, 0)  # the first that a zip can tell
# Between a record and its audit entry lie moments of one transaction; by these many an import of thousands, too.
ENTRY_WITHIN: Final = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    name: str
    content: bytes


@transaction.atomic
def make_bundle(
    *,
    profile_id: int,
    inside: Collection[int],
    purpose: Purpose,
    at: datetime,
    known_at: datetime | None = None,
    by: Actor,
) -> Bundle:
    """The zip that proves what held for this profile and purpose at a moment.

    Args:
        inside: the numbers of all profiles that are this person, whose decisions stand beside.

    Raises:
        Conflict: nothing is signed yet, or the record that decides can't be proved (yet).
    """
    signer = signer_or_none()
    head = Head.objects.get()
    if signer is None or not head.note:
        raise Conflict(
            "log_not_signed", "Nothing can be proved: the audit log isn't signed, or its key isn't known here."
        )
    keys = keys_until(signer.key)
    checkpoint = open_note(head.note, keys)
    of_purpose = [one for one in held_at(profile_id=profile_id, at=at, known_at=known_at) if one.purpose == purpose]
    held = of_purpose[0]
    records = list(
        ConsentRecord.objects.filter(profile_id__in={profile_id, *inside}, purpose=purpose)
        .select_related("purpose", "notice_version__notice", "served__version")
        .order_by("pk")
    )
    stopped = stops_of({profile_id, *inside}, purpose)
    entries, of_stops = entries_of(records), entries_of_stops(stopped)
    places = dict(
        Leaf.objects.filter(
            entry_id__in=[entry.pk for entry in (*entries.values(), *of_stops.values())], index__lt=checkpoint.size
        ).values_list("entry_id", "index")
    )
    _refuse_unless_proved(held, entries, places)
    stops = proved_stops(stopped, of_stops, places, by_then=min(at, known_at or at))
    proved = {str(record): entry for record, entry in entries.items() if entry.pk in places}
    named = {stop[when] for stop in stops for when in (BEGAN, ENDED)}
    shown = [*proved.values(), *(entry for entry in of_stops.values() if str(entry.pk) in named)]
    rows = [_record(order, one, proved) for order, one in enumerate(records)]
    files = {
        "claim.json": _json(_claim(profile_id, held, at, known_at, rows, stops)),
        "records.json": _json(rows),
        "served.json": _json(_served(records)),
        "stops.json": _json(stops),
        "proofs.json": _json(_proofs(shown, places, checkpoint.size)),
        "checkpoint.txt": head.note.encode(),
        "keys.txt": "".join(f"{key}\n" for key in keys).encode(),
        **{name: Path(str(module.__file__)).read_bytes() for name, module in PROGRAMS.items()},
    }
    files |= {f"entries/{entry.pk}.json": bytes(entry.envelope) for entry in shown}
    versions = {one.notice_version for one in records if one.notice_version}
    files |= {f"notices/{version.sha256}.json": bytes(version.content) for version in versions}
    files |= _anchored(checkpoint.size)
    claim = (
        f"{purpose.label} ({purpose.key}) was {'permitted' if held.permits else 'NOT permitted'} on {moment_text(at)}"
    )
    claim += f", by what was known on {moment_text(known_at)}." if known_at else "."
    claim += "\n    Use was halted for them then, whatever they had decided (stops.json)." if held.is_stopped else ""
    files["README.txt"] = readme(claim=claim, is_anchored="anchored.txt" in files).encode()
    detail = {"profile": profile_id, "at": moment_text(at), "records": len(records), "size": checkpoint.size}
    detail |= {"known_at": moment_text(known_at)} if known_at else {}
    person = Profile.objects.filter(pk=profile_id).first()
    audit(by=by, action="consent.proof_taken", object=person, purpose=purpose.key, detail=detail)
    return Bundle(
        name=f"consent-proof-{purpose.key}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}.zip", content=_zipped(files, signer)
    )


def entries_of(records: Sequence[ConsentRecord]) -> dict[Any, AuditEntry]:
    """The audit entry of each record that has one, by the id of the record. One that tells less than it takes to prove what
    people became by merging is left out.

    Looked up by the person's life where the person is known; of others by when the record was made.
    """
    wanted = {str(one.uuid): one for one in records}
    people = Profile.objects.filter(pk__in={one.profile_id for one in records}).values_list("uuid", flat=True)
    consents = AuditEntry.objects.filter(action__startswith="consent.")
    of_people = consents.filter(object_type="profiles.profile", object_id__in=[str(uuid) for uuid in people])
    found: dict[Any, AuditEntry] = {}
    for entry in of_people.filter(detail__record__in=list(wanted)):
        found[wanted[entry.detail["record"]].uuid] = entry
    for uuid, one in ((uuid, one) for uuid, one in wanted.items() if one.uuid not in found):
        around = Q(recorded_at__gte=one.recorded_at - ENTRY_WITHIN, recorded_at__lte=one.recorded_at + ENTRY_WITHIN)
        then = AuditEntry.objects.filter(around, action=f"consent.{one.decision}", detail__record=uuid).first()
        if then is not None:
            found[one.uuid] = then
    became = [one.uuid for one in records if one.method == Method.MERGE and "newest" in one.evidence]
    return {uuid: entry for uuid, entry in found.items() if uuid not in became or "newest" in entry.detail}


def _refuse_unless_proved(held: Held, entries: Mapping[Any, AuditEntry], places: Mapping[Any, int]) -> None:
    if held.record is None:
        return
    entry = entries.get(held.record.uuid)
    if entry is None:
        raise Conflict(
            "not_provable",
            "The record that decides was made before audit entries told enough of a record to prove it.",
        )
    if entry.pk not in places:
        raise Conflict(
            "not_sealed_yet", "The record that decides waits for its place in the audit log; try again in some seconds."
        )


# ---- The files -----------------------------------------------------------------------------------------------------


def _claim(
    profile_id: int,
    held: Held,
    at: datetime,
    known_at: datetime | None,
    records: Sequence[dict[str, Any]],
    stops: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    purpose = held.purpose
    uuid = Profile.objects.filter(pk=profile_id).values_list("uuid", flat=True).first()
    named = next((one["person"] for one in [*records, *stops] if one["profile"] == profile_id and one["person"]), None)
    return {
        "person": str(uuid) if uuid else named or f"profile-{profile_id}",
        "profile": profile_id,
        "purpose": {
            "key": purpose.key,
            "label": purpose.label,
            "text": purpose.text,
            "lawful_basis": purpose.lawful_basis,
            "mode": purpose.mode,
            "covers_profiling": purpose.covers_profiling,
        },
        "at": moment_text(at),
        "known_at": moment_text(known_at) if known_at else None,
        "permits": held.permits,
        # Whether use was halted for them, whatever they had decided.
        "is_stopped": held.is_stopped,
        "record": str(held.record.uuid) if held.record else None,
    }


def _record(order: int, one: ConsentRecord, proved: Mapping[str, AuditEntry]) -> dict[str, Any]:
    entry = proved.get(str(one.uuid))
    return {
        "order": order,
        "record": str(one.uuid),
        "entry": str(entry.pk) if entry else None,
        "profile": one.profile_id,
        "person": entry.object_id if entry else None,
        "purpose": one.purpose.key,
        "decision": one.decision,
        "method": one.method,
        "reach": one.reach,
        "collected_at": moment_text(one.collected_at),
        "recorded_at": moment_text(one.recorded_at),
        "expires_at": moment_text(one.expires_at) if one.expires_at else None,
        "jurisdiction": one.jurisdiction,
        "notice": one.notice_version.sha256 if one.notice_version else None,
        "served": str(one.served_id) if one.served_id else None,
        "source": one.source_id,
        "evidence": one.evidence,
        "has_sealed_evidence": one.sealed_evidence is not None,
    }


def _served(records: Sequence[ConsentRecord]) -> list[dict[str, Any]]:
    shown = {one.served_id: one.served for one in records if one.served}
    return [
        {
            "id": str(served.pk),
            "served_at": moment_text(served.served_at),
            "notice": served.version.sha256,
            "locale": served.version.locale,
            "number": served.version.number,
            "place": served.place,
            "jurisdiction": served.jurisdiction,
        }
        for served in shown.values()
        if served is not None
    ]


def _proofs(entries: Collection[AuditEntry], places: Mapping[Any, int], size: int) -> list[dict[str, Any]]:
    # Paths to one root share most of their hashes, so each is read once.
    @cache
    def hashes(*, level: int, first: int, count: int) -> Sequence[bytes]:
        return stored_hashes(level=level, first=first, count=count)

    return [
        {
            "entry": str(entry.pk),
            "index": places[entry.pk],
            "size": size,
            "path": [one.hex() for one in inclusion_proof(index=places[entry.pk], size=size, hashes=hashes)],
        }
        for entry in sorted(entries, key=lambda entry: places[entry.pk])
    ]


def _anchored(size: int) -> dict[str, bytes]:
    """The newest checkpoint that was anchored, and the hashes that lead on from it; nothing where there is none."""
    anchored = (
        Anchor.objects.filter(error="", size__gt=0, size__lte=size)
        .order_by("-size")
        .values_list("size", flat=True)
        .first()
    )
    kept = Checkpoint.objects.filter(size=anchored).first() if anchored else None
    if kept is None:
        return {}
    proof = consistency_proof(first=kept.size, second=size, hashes=stored_hashes)
    return {"anchored.txt": kept.note.encode(), "consistency.json": _json([one.hex() for one in proof])}


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _zipped(files: Mapping[str, bytes], signer: Signer) -> bytes:
    """Stored as they are: how well they would be packed differs between machines."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in sorted(files.items())]
    manifest = signer.sign("".join(f"{line}\n" for line in [check_proof.FORM, *lines])).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in sorted({**files, check_proof.MANIFEST: manifest}.items()):
            info = zipfile.ZipInfo(name, FIRST_DAY)
            info.external_attr = 0o644 << 16
            info.create_system = 3
            archive.writestr(info, content)
    return out.getvalue()
