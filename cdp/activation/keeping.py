"""Keeping audiences: whoever may belong otherwise than before is judged again, and what changed is numbered.

One keeper works at a time, by an advisory lock, so positions have no gaps and appear in order. A round is one transaction: what it
took up (changes of segments, touched people, consents that ended) and what came of it are committed together, or neither is. Judged is
by what holds now, so it doesn't matter in which order a round hears of things.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.expressions import RawSQL

from cdp.activation.models import Audience, AudienceChange, AudienceMember, Keeper, Kind, Touched, Why
from cdp.logs import get_logger
from cdp.profiles.models import Identifier, Profile
from consent.models import ConsentState
from consent.querysets import permitted, stopped_by
from segments.models import READABLE, Membership, MembershipChange

log = get_logger(__name__)

KEEPER_LOCK: Final = 7305011
CHUNK: Final = 20_000
COMPARED_EVERY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Why somebody is judged again, and since when that holds."""

    why: Why
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What a round did, and whether there is more to do at once."""

    entered: int = 0
    exited: int = 0
    is_behind: bool = False

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(
            entered=self.entered + other.entered,
            exited=self.exited + other.exited,
            is_behind=self.is_behind or other.is_behind,
        )


Causes = dict[int, dict[int, Cause]]
"""By audience, whom to judge."""


def checksum_of(uuid: UUID) -> int:
    """One person's part of an audience's checksum: the first 8 bytes of the SHA-256 of the 16 bytes of their id, as a signed number.

    Parts are joined by exclusive or, so the order in which people came doesn't matter.
    """
    return int.from_bytes(sha256(uuid.bytes).digest()[:8], "big", signed=True)


def keep_all() -> Kept:
    """Rounds until nothing is left to do; waits for a keeper that is at it."""
    done = Kept()
    while True:
        with transaction.atomic():
            wait_for_the_keeper()
            found = _round()
        done += replace(found, is_behind=False)
        if not found.is_behind:
            return done


def keep_once() -> Kept | None:
    """What one round did; None while another keeper is at it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [KEEPER_LOCK])
        if not cursor.fetchone()[0]:
            return None
        return _round()


def wait_for_the_keeper() -> None:
    """Keeps keepers out until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [KEEPER_LOCK])


def terms_of(audience: Audience) -> str:
    """What decides whom the audience takes in, besides people themselves; another text means another audience."""
    segment, purpose = audience.segment, audience.purpose
    is_readable = segment.status in READABLE and segment.live_version_id is not None
    return f"{'open' if is_readable else 'closed'} {purpose.mode} {','.join(sorted(stopped_by(purpose)))} {audience.channel}"


def belonging(audience: Audience, profile_ids: Iterable[int]) -> QuerySet[Profile]:
    """Those of the people who belong to the audience now."""
    people: QuerySet[Profile] = Profile.objects.filter(pk__in=any_of(profile_ids))
    if audience.segment.status not in READABLE or audience.segment.live_version_id is None:
        return people.none()
    people = permitted(people, audience.purpose)
    people = people.filter(Exists(Membership.objects.filter(segment=audience.segment_id, profile_id=OuterRef("pk"))))
    if audience.channel:
        people = people.filter(Exists(Identifier.objects.filter(profile_id=OuterRef("pk"), namespace=audience.channel)))
    return people


def any_of(ids: Iterable[int]) -> RawSQL:
    """For a look-up ``__in`` any number of keys, in one operand."""
    return RawSQL("SELECT unnest(%s::bigint[])", [list(ids)])


# ---- One round -----------------------------------------------------------------------------------------------


def _round() -> Kept:
    """Under the keeper's lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now = cursor.fetchone()[0]
    keeper = Keeper.objects.get(pk=1)
    ready = _ready(list(Audience.objects.select_related("segment", "purpose")))
    causes: Causes = {one.pk: {} for one in ready}
    # One that nobody was judged for yet needs to hear nothing: everybody is still to come.
    begun = [one for one in ready if one.judged_to != 0 or one.compared_at is not None]
    is_behind = _hear_segments(keeper, begun, causes)
    is_behind |= _hear_touched(begun, causes)
    _hear_ended(keeper.looked_to, now, begun, causes)
    done = Kept(is_behind=is_behind)
    for audience in ready:
        if causes[audience.pk]:
            done += _judge(keeper, audience, causes[audience.pk], now=now)
        done += _judge_everybody(keeper, audience, now=now)
    keeper.looked_to = keeper.heard_at = now
    keeper.save(update_fields=["numbered", "segments_to", "looked_to", "heard_at"])
    return done


# Whoever has written to these tables holds this lock until their transaction is over.
WRITERS: Final = """
    SELECT DISTINCT virtualtransaction FROM pg_locks
     WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted AND pid <> pg_backend_pid()
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND relation IN ('consent_consentstate'::regclass, 'consent_stop'::regclass, 'profiles_identifier'::regclass)
"""


def _ready(audiences: list[Audience]) -> list[Audience]:
    """Those of the audiences for which nobody writes any more who began before they could be seen."""
    if all(one.awaited == [] for one in audiences):
        return audiences
    with connection.cursor() as cursor:
        cursor.execute(WRITERS)
        writing = {row[0] for row in cursor.fetchall()}
    for one in audiences:
        if one.awaited != []:
            one.awaited = sorted(writing if one.awaited is None else writing & set(one.awaited))
            one.save(update_fields=["awaited"])
    return [one for one in audiences if one.awaited == []]


def _hear_segments(keeper: Keeper, audiences: list[Audience], causes: Causes) -> bool:
    """What came into the feed of segments; whether there is more of it."""
    of_segment: dict[int, list[int]] = {}
    for one in audiences:
        of_segment.setdefault(one.segment_id, []).append(one.pk)
    changes = MembershipChange.objects.filter(position__gt=keeper.segments_to).order_by("position")
    rows = list(changes.values_list("position", "segment_id", "profile_id", "why", "effective_at")[:CHUNK])
    for position, segment_id, profile_id, why, effective_at in rows:
        for audience_id in of_segment.get(segment_id, ()):
            causes[audience_id][profile_id] = Cause(why=Why(why), at=effective_at)
        keeper.segments_to = position
    return len(rows) == CHUNK


def _hear_touched(audiences: list[Audience], causes: Causes) -> bool:
    """Whom triggers named; whether there are more. What the segment said of somebody in this round is the better reason."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {Touched._meta.db_table}"  # noqa: S608  # a name of ours
            " WHERE id = ANY(ARRAY(SELECT id FROM activation_touched ORDER BY id LIMIT %s))"
            " RETURNING profile_id, purpose_id, why, at",
            [CHUNK],
        )
        rows = cursor.fetchall()
    for profile_id, purpose_id, why, at in rows:
        for audience in audiences:
            if purpose_id is None or purpose_id == audience.purpose_id:
                causes[audience.pk].setdefault(profile_id, Cause(why=Why(why), at=at))
    return len(rows) == CHUNK


def _hear_ended(since: datetime, now: datetime, audiences: list[Audience], causes: Causes) -> None:
    """Whose consent ended since the last look. One recorded late, when it was over already, was heard as a decision."""
    of_purpose: dict[int, list[int]] = {}
    for one in audiences:
        of_purpose.setdefault(one.purpose_id, []).append(one.pk)
    ended = ConsentState.objects.filter(purpose__in=list(of_purpose), expires_at__gt=since, expires_at__lte=now)
    for purpose_id, profile_id, expires_at in ended.values_list("purpose_id", "profile_id", "expires_at"):
        for audience_id in of_purpose[purpose_id]:
            causes[audience_id].setdefault(profile_id, Cause(why=Why.EXPIRED, at=expires_at or now))


def _judge_everybody(keeper: Keeper, audience: Audience, *, now: datetime) -> Kept:
    """Some people of an audience that is new, has other terms, or wasn't compared for a day; the next round goes on after them."""
    terms = terms_of(audience)
    is_nightly = audience.compared_at is not None and audience.compared_at <= now - COMPARED_EVERY
    if audience.terms != terms:
        # Those who were judged by other terms are judged once more.
        audience.terms, audience.judged_to, audience.compared_at = terms, 0, None
    elif audience.judged_to is None and is_nightly:
        audience.judged_to, audience.drift = 0, 0
    if audience.judged_to is None:
        return Kept()
    with connection.cursor() as cursor:
        cursor.execute(
            "(SELECT profile_id FROM segments_membership WHERE segment_id = %(segment)s AND profile_id > %(after)s"
            "  ORDER BY profile_id LIMIT %(limit)s)"
            " UNION (SELECT profile_id FROM activation_audiencemember WHERE audience_id = %(audience)s AND profile_id > %(after)s"
            "  ORDER BY profile_id LIMIT %(limit)s) ORDER BY 1 LIMIT %(limit)s",
            {"segment": audience.segment_id, "audience": audience.pk, "after": audience.judged_to, "limit": CHUNK},
        )
        ids = [row[0] for row in cursor.fetchall()]
    cause = Cause(why=Why.TERMS, at=now)
    done = _judge(keeper, audience, dict.fromkeys(ids, cause), now=now) if ids else Kept()
    if audience.compared_at is not None:
        audience.drift += done.entered + done.exited
    is_over = len(ids) < CHUNK
    if is_over and audience.drift:
        log.error("audience_drifted", audience=audience.key, people=audience.drift)
    audience.judged_to = None if is_over else ids[-1]
    audience.compared_at = now if is_over else audience.compared_at
    audience.save(update_fields=["terms", "judged_to", "compared_at", "drift"])
    return replace(done, is_behind=not is_over)


def _judge(keeper: Keeper, audience: Audience, causes: Mapping[int, Cause], *, now: datetime) -> Kept:
    """Writes who of these people came and who went, with the next positions."""
    ids = list(causes)
    belongs = dict(belonging(audience, ids).values_list("pk", "uuid"))
    members = AudienceMember.objects.filter(audience=audience, profile_id__in=any_of(ids))
    is_in = {row.profile_id: row for row in members}
    entered = [profile_id for profile_id in belongs if profile_id not in is_in]
    exited = _leaving([profile_id for profile_id in is_in if profile_id not in belongs], causes)
    if not entered and not exited:
        return Kept()
    changes = [
        _change(audience, pk, is_in[pk].profile_uuid, Kind.EXITED, causes[pk], max(causes[pk].at, is_in[pk].entered_at))
        for pk in exited
    ] + [_change(audience, pk, belongs[pk], Kind.ENTERED, causes[pk], causes[pk].at) for pk in entered]
    changes.sort(key=lambda one: (one.effective_at, one.profile_id))
    for one in changes:
        keeper.numbered += 1
        audience.size += 1 if one.kind == Kind.ENTERED else -1
        audience.checksum ^= checksum_of(one.profile_uuid)
        one.position, one.size, one.checksum, one.recorded_at = keeper.numbered, audience.size, audience.checksum, now
    audience.position = keeper.numbered
    AudienceMember.objects.filter(audience=audience, profile_id__in=any_of(exited)).delete()
    _copy(changes)
    audience.save(update_fields=["size", "checksum", "position"])
    return Kept(entered=len(entered), exited=len(exited))


def _leaving(profile_ids: list[int], causes: Mapping[int, Cause]) -> list[int]:
    """Those whose exit can be told now. Of a person who is gone, what they decided goes first: why they are gone, and with it
    the better reason, is in the feed of segments a moment later. Reads leave them out meanwhile."""
    heard = [one for one in profile_ids if causes[one].why in (Why.CONSENT, Why.CHANNEL)]
    if not heard:
        return profile_ids
    there = set(Profile.objects.filter(pk__in=any_of(heard)).values_list("pk", flat=True))
    waits = set(heard) - there
    return [one for one in profile_ids if one not in waits]


def _change(
    audience: Audience, profile_id: int, uuid: UUID, kind: Kind, cause: Cause, effective_at: datetime
) -> AudienceChange:
    return AudienceChange(
        audience=audience, profile_id=profile_id, profile_uuid=uuid, kind=kind, why=cause.why, effective_at=effective_at
    )


CHANGE_COLUMNS: Final = (
    "position, audience_id, profile_id, profile_uuid, kind, why, effective_at, recorded_at, size, checksum"
)
MEMBER_COLUMNS: Final = "audience_id, profile_id, profile_uuid, entered_at, position"


def _copy(changes: list[AudienceChange]) -> None:
    """Changes, and whoever came as a member."""
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY activation_audiencechange ({CHANGE_COLUMNS}) FROM STDIN") as copy:
            for one in changes:
                copy.write_row(
                    (one.position, one.audience_id, one.profile_id, one.profile_uuid, one.kind, one.why, one.effective_at,
                     one.recorded_at, one.size, one.checksum)
                )  # fmt: skip
        with cursor.copy(f"COPY activation_audiencemember ({MEMBER_COLUMNS}) FROM STDIN") as copy:
            for one in changes:
                if one.kind == Kind.ENTERED:
                    copy.write_row((one.audience_id, one.profile_id, one.profile_uuid, one.effective_at, one.position))


@transaction.atomic
def purge_changes(*, now: datetime) -> int:
    """How many changes were deleted because nobody can follow them any more; cursors before them are told so."""
    horizon = now - timedelta(days=settings.AUDIENCE_CHANGE_DAYS)
    wait_for_the_keeper()
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH gone AS (DELETE FROM activation_audiencechange WHERE recorded_at < %s RETURNING audience_id, position),"
            " each AS (SELECT audience_id, max(position) AS newest FROM gone GROUP BY 1),"
            " told AS (UPDATE activation_audience a SET kept_after = greatest(a.kept_after, each.newest)"
            "            FROM each WHERE a.id = each.audience_id RETURNING 1),"
            " kept AS (UPDATE activation_keeper SET kept_after = greatest(kept_after, (SELECT max(newest) FROM each))"
            "           WHERE id = 1 AND EXISTS (SELECT FROM each) RETURNING 1)"
            " SELECT count(*) FROM gone",
            [horizon],
        )
        count: int = cursor.fetchone()[0]
    return count
