"""Writing decisions.

The newest decision holds; of two made at the same moment, the stricter. What becomes of them when profiles merge or part is
in `consent.merging`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any
from uuid import UUID, uuid4

import msgspec
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cdp.audit.actors import Actor
from cdp.audit.services import Act, record_all
from cdp.audit.verify import moment_text
from cdp.database import bound_cursor
from cdp.errors import DomainError, NotFound
from cdp.profiles.models import Profile
from consent.evidence import sealed
from consent.jurisdictions import Known, asked_first, known_of
from consent.law.demands import Asked
from consent.models import ConsentRecord, ConsentState, Decision, Method, Purpose, Reach
from consent.reliance import tell_of_decisions
from consent.replay import newest_of


@dataclass(frozen=True, slots=True)
class Said:
    """One decision of one person, or of one device, as a source reported it."""

    profile_id: int
    purpose_id: int
    decision: Decision
    collected_at: datetime
    method: Method
    reach: Reach = Reach.PERSON
    source_id: int | None = None
    message_id: str = ""
    # Facts that tell nothing personal: codes, and numbers of ours. What tells of somebody goes into `personal`.
    evidence: Mapping[str, Any] = field(default_factory=dict)
    # Sealed under the person's own key, and gone with it: a form's fields, an address, what their browser said of itself.
    personal: Mapping[str, Any] = field(default_factory=dict)
    # It came along with something else, so it is worth a record only where it says something new.
    is_stamp: bool = False
    # Of a repetition: until when the yes it repeats holds. It lengthens none.
    until: datetime | None = None
    # What they were shown, and that they were.
    notice_version_id: int | None = None
    served_id: UUID | None = None
    # Whose law applied; by what is known of the person, where nothing is said.
    jurisdiction: str = ""
    # Whoever answers for a child has said yes too.
    by_guardian: bool = False


Key = tuple[int, int]
"""Profile id and purpose id."""
# What a pending yes awaits, and why a yes was taken for a no.
CONFIRMATION, GUARDIAN = "confirmation", "guardian"
TOO_YOUNG = "too_young"
# How a yes comes that has been confirmed already, or is no new one.
CONFIRMED = frozenset({Method.DOUBLE_OPT_IN, Method.MERGE, Method.REPEATED})
NOES = frozenset({Decision.DENIED, Decision.WITHDRAWN})


def append_consents(
    *, said: Iterable[Said], by: Actor, places: Mapping[int, str] = MappingProxyType({})
) -> set[tuple[int, int]]:
    """Appends the decisions, projects what holds, and audits each. Runs inside the caller's transaction, which evaluates.

    Decisions for a device are recorded and go no further: a browser's key is public, so they prove nothing of a person; nor
    does what is said of a purpose that is decided on each device. A no says no to all purposes beneath it. A yes that needs a
    double opt-in is pending, and a link waits to be sent (`consent.confirming`). So is a yes of somebody who is too young to give
    it alone (`consent.jurisdictions`); one that nobody can give for them is recorded as a no.

    Args:
        places: of sources, by number, where their people are, as far as it is known: for words of whoever hasn't said it.

    Raises:
        cdp.vault.ring.VaultUnusable: something personal comes along, and there is no key to seal it by.

    Returns:
        (profile id, purpose id) for which something else may hold now.
    """
    rows, confirmed, shared = _worth_a_record(sorted(_meant(said, places), key=_by_time))
    changed: set[tuple[int, int]] = set()
    for some in _rounds(rows, shared):
        changed |= _append(some, by)
    _confirm(confirmed)  # what was appended just now, too
    return changed


def _rounds(rows: Sequence[Said], shared: Collection[tuple[int, int]]) -> list[list[Said]]:
    """The rows as they can be appended at once. One after the other where a yes stands for several who became one: which of
    two words counts then isn't the newer one alone."""
    rounds: list[list[Said]] = []
    turns: dict[tuple[int, int], int] = {}
    for row in rows:
        key, turn = (row.profile_id, row.purpose_id), 0
        if key in shared:
            turn = turns[key] = turns.get(key, -1) + 1
        while len(rounds) <= turn:
            rounds.append([])
        rounds[turn].append(row)
    return rounds


def _meant(said: Iterable[Said], places: Mapping[int, str]) -> Iterator[Said]:
    """What is said by each word, purpose by purpose."""
    said = list(said)
    if not said:
        return
    purposes = Purpose.objects.in_bulk()
    known = known_of({one.profile_id for one in said if one.reach == Reach.PERSON})
    beneath: dict[int, list[int]] = {}
    for purpose in purposes.values():
        if purpose.parent_id is not None:
            beneath.setdefault(purpose.parent_id, []).append(purpose.pk)
    for one in said:
        waiting, seen = [one.purpose_id], set[int]()
        while waiting:
            purpose_id = waiting.pop()
            if purpose_id in seen:  # a circle, which forms refuse; here it must only end
                continue
            seen.add(purpose_id)
            purpose = purposes[purpose_id]
            if one.decision in NOES:
                waiting += beneath.get(purpose_id, ())
            word = one
            if purpose_id != one.purpose_id:
                evidence = {**one.evidence, "beneath": purposes[one.purpose_id].key}
                word = replace(one, purpose_id=purpose_id, evidence=evidence)
            if purpose.reach == Reach.DEVICE:
                word = replace(word, reach=Reach.DEVICE)
            if word.reach == Reach.PERSON:
                word = _counting(
                    word, purpose, _there(known.get(word.profile_id, Known()), places.get(word.source_id or 0))
                )
            yield word


def _there(known: Known, place: str | None) -> Known:
    """Where their own traits say, else where the people of the source are, else where everybody is."""
    return replace(known, place=place) if place and known.is_assumed else known


def _counting(word: Said, purpose: Purpose, known: Known) -> Said:
    """A person's word as it counts: a yes may have to be confirmed first, or be one that nobody can give at their age."""
    if not word.jurisdiction:
        word = replace(word, jurisdiction=known.place)
    elif word.jurisdiction != known.place:
        known = replace(known, place=word.jurisdiction)
    if word.decision != Decision.GRANTED:
        return word
    needed, law = asked_first(purpose, known, word.collected_at)
    if needed is Asked.NEVER:
        return replace(word, decision=Decision.DENIED, evidence={**word.evidence, "refused": TOO_YOUNG, "law": law})
    if needed is Asked.GUARDIANS_YES and not word.by_guardian:
        return replace(word, decision=Decision.PENDING, evidence={**word.evidence, "awaits": GUARDIAN, "law": law})
    if word.by_guardian:
        word = replace(word, evidence={**word.evidence, "by": GUARDIAN})
    if purpose.needs_double_opt_in and word.method not in CONFIRMED:
        return replace(word, decision=Decision.PENDING, evidence={**word.evidence, "awaits": CONFIRMATION})
    return word


# As `consent.replay.newest_of`.
NEWEST_OF_SHARED = """
    (SELECT (m.evidence->>'newest')::timestamptz FROM consent_consentrecord m WHERE m.id = s.record_id AND m.method = 'merge')
"""


# What `_append` returns of each record first, by the names that `told_of` has for it.
TOLD = (
    "decision", "person", "purpose", "record", "reach", "method", "collected_at", "recorded_at", "expires_at", "notice",
    "served", "served_at", "jurisdiction",
)  # fmt: skip


def _append(rows: Sequence[Said], by: Actor) -> set[tuple[int, int]]:
    uuids = [uuid4() for _ in rows]
    proofs = sealed([(r.profile_id, uuid, r.personal) for r, uuid in zip(rows, uuids, strict=True)])
    with bound_cursor() as cursor:
        cursor.execute(
            """
            WITH appended AS (
                INSERT INTO consent_consentrecord
                       (profile_id, purpose_id, reach, decision, method, source_id, message_id, evidence, uuid, sealed_evidence,
                        notice_version_id, served_id, jurisdiction, collected_at, expires_at, recorded_at)
                SELECT g.profile_id, g.purpose_id, g.reach, g.decision, g.method, g.source_id, g.message_id, g.evidence,
                       g.uuid, g.sealed, g.notice_version_id, g.served_id, g.jurisdiction, g.collected_at,
                       CASE WHEN g.method = 'repeated' THEN g.until
                            WHEN g.decision = 'granted' THEN g.collected_at + p.lifetime_days * interval '1 day' END,
                       clock_timestamp()
                  FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::int[], %s::text[],
                              %s::jsonb[], %s::timestamptz[], %s::timestamptz[], %s::bigint[], %s::uuid[], %s::text[],
                              %s::uuid[], %s::bytea[])
                       WITH ORDINALITY AS g(profile_id, purpose_id, reach, decision, method, source_id, message_id, evidence,
                                            collected_at, until, notice_version_id, served_id, jurisdiction, uuid, sealed, n)
                  JOIN consent_purpose p ON p.id = g.purpose_id
                 ORDER BY g.n
                RETURNING id, uuid, profile_id, purpose_id, reach, method, decision, collected_at, expires_at, recorded_at,
                          evidence, notice_version_id, served_id, jurisdiction
            ), links AS (
                INSERT INTO consent_confirmation (record_id, expires_at)
                SELECT id, collected_at + %s FROM appended WHERE decision = 'pending' AND evidence->>'awaits' = 'confirmation'
            ), newest AS (
                SELECT DISTINCT ON (profile_id, purpose_id) * FROM appended
                 WHERE reach = 'person' AND method <> 'repeated' AND decision <> 'pending'
                 ORDER BY profile_id, purpose_id, collected_at DESC, (decision = 'granted'), id DESC
            ), projected AS (
                INSERT INTO consent_consentstate AS s (purpose_id, profile_id, decision, collected_at, expires_at, record_id)
                SELECT purpose_id, profile_id, decision, collected_at, expires_at, id FROM newest
                ON CONFLICT (purpose_id, profile_id) DO UPDATE
                   SET decision = excluded.decision, expires_at = excluded.expires_at, record_id = excluded.record_id,
                       collected_at = CASE WHEN excluded.decision <> 'granted' AND s.decision = 'granted'
                                           THEN greatest(excluded.collected_at, {newest}) ELSE excluded.collected_at END
                 WHERE CASE WHEN excluded.decision <> 'granted' THEN excluded.collected_at >= s.collected_at
                            WHEN s.decision = 'granted' THEN excluded.collected_at > greatest(s.collected_at, {newest})
                            ELSE excluded.collected_at > s.collected_at END
                RETURNING purpose_id, profile_id
            )
            SELECT a.decision, f.uuid, p.key, a.uuid, a.reach, a.method, a.collected_at, a.recorded_at, a.expires_at,
                   v.sha256, a.served_id, w.served_at, a.jurisdiction,
                   a.profile_id, a.purpose_id, j.profile_id IS NOT NULL
              FROM appended a JOIN profiles_profile f ON f.id = a.profile_id JOIN consent_purpose p ON p.id = a.purpose_id
              LEFT JOIN consent_noticeversion v ON v.id = a.notice_version_id
              LEFT JOIN consent_servednotice w ON w.id = a.served_id
              LEFT JOIN projected j ON j.profile_id = a.profile_id AND j.purpose_id = a.purpose_id
             ORDER BY a.id
            """.replace("{newest}", NEWEST_OF_SHARED),
            [
                [r.profile_id for r in rows],
                [r.purpose_id for r in rows],
                [r.reach for r in rows],
                [r.decision for r in rows],
                [r.method for r in rows],
                [r.source_id for r in rows],
                [r.message_id for r in rows],
                [msgspec.json.encode(r.evidence).decode() for r in rows],
                [r.collected_at for r in rows],
                [r.until for r in rows],
                [r.notice_version_id for r in rows],
                [r.served_id for r in rows],
                [r.jurisdiction for r in rows],
                uuids,
                proofs,
                timedelta(days=settings.CONFIRMATION_DAYS),
            ],
        )
        appended = cursor.fetchall()
    record_all(by=by, acts=[told_of(**dict(zip(TOLD, row, strict=False))) for row in appended])
    return {(profile_id, purpose_id) for *_, profile_id, purpose_id, is_projected in appended if is_projected}


def told_of(
    *,
    decision: str,
    person: UUID,
    purpose: str,
    record: UUID,
    reach: str,
    method: str,
    collected_at: datetime,
    recorded_at: datetime,
    expires_at: datetime | None,
    notice: str | None = None,
    served: UUID | None = None,
    served_at: datetime | None = None,
    jurisdiction: str = "",
    newest: str | None = None,
) -> Act:
    """A record as its audit entry tells of it: all that proves, years later, that the record is what it was.

    Args:
        notice: SHA-256 of the words that were shown.
        newest: of what people became by merging or parting, when the newest of their words was said (`consent.replay`).
    """
    said: dict[str, Any] = {"record": str(record), "reach": reach, "method": method}
    said |= {"collected_at": moment_text(collected_at), "recorded_at": moment_text(recorded_at)}
    said |= {"expires_at": moment_text(expires_at)} if expires_at else {}
    said |= {"notice": notice} if notice else {}
    said |= {"served": str(served), "served_at": moment_text(served_at)} if served and served_at else {}
    said |= {"jurisdiction": jurisdiction} if jurisdiction else {}
    said |= {"newest": newest} if newest else {}
    return Act(f"consent.{decision}", "profiles.profile", str(person), purpose, said)


def _by_time(said: Said) -> tuple[Any, ...]:
    return said.profile_id, said.purpose_id, said.collected_at, said.decision != Decision.GRANTED, said.message_id


def _worth_a_record(said: Sequence[Said]) -> tuple[list[Said], dict[Key, Said], set[Key]]:
    """What is recorded, and per person and purpose the newest stamp that only repeats what holds by then; and those where a yes
    stands for several people who became one.

    Told in the order in which it was decided, whatever the order of arrival: a late stamp is compared with what held then.
    """
    holds: dict[tuple[int, int], tuple[datetime, bool]] = {}
    # What holds by a stamp alone, which has no record of its own.
    stamped: dict[tuple[int, int], Said] = {}
    shared: set[Key] = set()
    for state in ConsentState.objects.filter(
        profile_id__in={s.profile_id for s in said if s.reach == Reach.PERSON}
    ).select_related("record"):
        key, decision = (state.profile_id, state.purpose_id), Decision(state.decision)
        holds[key] = state.collected_at, decision != Decision.GRANTED
        if newest_of(state.record, state.collected_at) > state.collected_at:
            shared.add(key)
        if state.collected_at > state.record.collected_at:
            stamped[key] = Said(*key, decision, state.collected_at, Method.REPEATED, until=state.expires_at)
    rows: list[Said] = []
    confirmed: dict[tuple[int, int], Said] = {}
    of_devices = _said_on_devices(said)
    for one in said:
        if one.reach != Reach.PERSON:
            key, is_no = (one.profile_id, one.purpose_id), one.decision in NOES
            if not one.is_stamp or of_devices.get(key) is not is_no:
                rows.append(one)
                of_devices[key] = is_no
            continue
        if one.decision == Decision.PENDING and one.is_stamp:
            # It repeats what holds, or says what would have to be confirmed: neither by something that merely came along.
            before = holds.get((one.profile_id, one.purpose_id))
            if before is not None and not before[1]:
                one = replace(one, decision=Decision.GRANTED)
            else:
                continue
        elif one.decision == Decision.PENDING:
            rows.append(one)
            continue
        key, now = (one.profile_id, one.purpose_id), (one.collected_at, one.decision != Decision.GRANTED)
        before = holds.get(key)
        is_new = before is None or now > before
        if one.is_stamp and before is not None and before[1] == now[1]:
            if is_new:
                confirmed[key] = one
                holds[key] = now
            continue
        if not is_new and key in stamped:
            # It comes between what was said and its repetition: without a record of that, this would seem to be the newest.
            rows.append(stamped.pop(key))
        if one.decision == Decision.DENIED and before is not None and not before[1]:
            one = replace(one, decision=Decision.WITHDRAWN)
        rows.append(one)
        if is_new:
            holds[key] = now
            stamped.pop(key, None)
    return rows, confirmed, shared


def _said_on_devices(said: Sequence[Said]) -> dict[tuple[int, int], bool]:
    """(Profile id, purpose id) -> whether the last word of a device was a no, for whom something came along from one."""
    stamped = [one for one in said if one.is_stamp and one.reach == Reach.DEVICE]
    if not stamped:
        return {}
    records = ConsentRecord.objects.filter(
        profile_id__in={one.profile_id for one in stamped},
        purpose__in={one.purpose_id for one in stamped},
        reach=Reach.DEVICE,
    )
    newest = records.order_by("profile_id", "purpose_id", "-collected_at", "-pk").distinct("profile_id", "purpose_id")
    return {(one.profile_id, one.purpose_id): one.decision in NOES for one in newest}


def _confirm(confirmed: Mapping[tuple[int, int], Said]) -> None:
    """Moves on since when it is known that these still hold, so that an older word that comes late can't undo them.

    It lengthens no grant: what comes along with something else repeats what was decided, and isn't a new yes.
    """
    if not confirmed:
        return
    rows = [confirmed[key] for key in sorted(confirmed)]
    with bound_cursor() as cursor:
        cursor.execute(
            """
            UPDATE consent_consentstate s SET collected_at = g.at
              FROM unnest(%s::bigint[], %s::bigint[], %s::boolean[], %s::timestamptz[]) AS g(profile_id, purpose_id, granted, at)
             WHERE s.profile_id = g.profile_id AND s.purpose_id = g.purpose_id
               AND (s.decision = 'granted') = g.granted AND s.collected_at < g.at
            """,
            [
                [r.profile_id for r in rows],
                [r.purpose_id for r in rows],
                [r.decision == Decision.GRANTED for r in rows],
                [r.collected_at for r in rows],
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What somebody was shown before they decided, as far as it is known."""

    version_id: int | None = None
    served_id: UUID | None = None


@transaction.atomic
def record_decisions(
    *,
    profile: Profile,
    decisions: Mapping[Purpose, Decision],
    method: Method,
    at: datetime,
    by: Actor,
    shown: Shown = Shown(),
    jurisdiction: str = "",
    evidence: Mapping[str, Any] | None = None,
    personal: Mapping[str, Any] | None = None,
) -> None:
    """Appends what one person decided at one moment; it holds from the next read on, and their segments follow at once.

    Args:
        evidence: facts that tell nothing personal.
        personal: what does; it is sealed under the person's own key.

    Raises:
        DomainError: the moment lies in the future.
        NotFound: the profile was merged away meanwhile.
    """
    if at > timezone.now():
        raise DomainError("decided_in_the_future", "A decision can't have been made after now.", "/collected_at")
    if not Profile.objects.select_for_update(no_key=True).filter(pk=profile.pk).exists():
        raise NotFound("profile_not_found", "This profile was merged into another one meanwhile.")
    said = [
        Said(
            profile.pk,
            purpose.pk,
            decision,
            at,
            method,
            evidence=evidence or {},
            personal=personal or {},
            notice_version_id=shown.version_id,
            served_id=shown.served_id,
            jurisdiction=jurisdiction,
        )
        for purpose, decision in decisions.items()
    ]
    tell_of_decisions(append_consents(said=said, by=by))


def record_decision(
    *,
    profile: Profile,
    purpose: Purpose,
    decision: Decision,
    method: Method,
    at: datetime,
    by: Actor,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """One of `record_decisions`."""
    record_decisions(profile=profile, decisions={purpose: decision}, method=method, at=at, by=by, evidence=evidence)
