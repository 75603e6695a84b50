"""Is a restored database what it was? Asked of each thing that must hold, once after a restore, without changing any of it.

And what must happen again: whoever was erased after the backup was made is back in it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction

from cdp.activation.models import Audience
from cdp.audit.actors import SYSTEM, Actor
from cdp.audit.services import record
from cdp.audit.verify import read_export
from cdp.database import bound_cursor
from cdp.erasure import erase_profile
from cdp.errors import DomainError
from cdp.exports.keeping import kept, path_of
from cdp.health import CHECKS, NotReady
from cdp.profiles.models import DirtyProfile, Profile
from cdp.vault.models import SubjectKey
from cdp.vault.ring import VaultUnusable
from cdp.vault.services import ring_of_settings
from cdp.verification import verify_now
from segments.catalogue import catalog
from segments.engines import postgres
from segments.live import rules_now
from segments.models import Segment, SegmentStatus
from segments.moments import moment_of_judgement
from segments.refresh import swept_to

# Tables that refuse to be changed, by their triggers; a test holds this against a new database.
PROTECTED: Final = frozenset(
    {
        "accountability_publishedrecord", "activation_audiencechange", "audit_anchor", "audit_auditentry",
        "audit_checkpoint", "audit_leaf", "audit_node", "consent_consentrecord", "consent_noticeversion",
        "consent_servednotice", "consent_stop", "segments_membershipchange", "segments_segmentversion",
    }
)  # fmt: skip
TRIGGERS: Final = """
    SELECT DISTINCT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE p.proname = 'cdp_refuse_change' AND NOT t.tgisinternal AND t.tgenabled <> 'D'
"""
BEHIND: Final = """
    SELECT s.oid::regclass::text, t.oid::regclass::text, a.attname
      FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i') AND d.classid = 'pg_class'::regclass
      JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
     WHERE s.relkind = 'S' AND t.relkind IN ('r', 'p') AND t.relnamespace = 'public'::regnamespace ORDER BY 1
"""
MEMBERS: Final = """
    SELECT count(*), coalesce(bit_xor(('x' || encode(substr(sha256(uuid_send(profile_uuid)), 1, 8), 'hex'))::bit(64)::bigint), 0)
      FROM activation_audiencemember WHERE audience_id = %s
"""
PARTITIONS: Final = """
    SELECT EXISTS (SELECT FROM profiles_event_default),
           EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                    WHERE i.inhparent = 'profiles_event'::regclass AND c.relname LIKE %s)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """One thing that was looked at: ``said`` is what is wrong with it and what to do, or what was found."""

    name: str
    is_good: bool
    said: str


class Wrong(Exception):
    """Something isn't as it must be; says what, and what to do."""


def check_all() -> Iterator[Checked]:
    """Everything, one after another, and what came of it on record."""
    outcomes = []
    for name, check in LOOKS.items():
        try:
            one = Checked(name=name, is_good=True, said=check())
        except (Wrong, NotReady, DomainError, VaultUnusable) as problem:
            one = Checked(name=name, is_good=False, said=str(problem))
        outcomes.append(one)
        yield one
    with transaction.atomic():
        failed = [one.name for one in outcomes if not one.is_good]
        record(by=SYSTEM, action="platform.restore_checked", detail={"checked": len(outcomes), "failed": failed})


def _protected() -> str:
    with connection.cursor() as cursor:
        cursor.execute(TRIGGERS)
        there = {row[0] for row in cursor.fetchall()}
        cursor.execute(
            "SELECT has_table_privilege('audit_auditentry', 'UPDATE'), has_table_privilege('audit_auditentry', 'DELETE')"
        )
        may_write = any(cursor.fetchone())
    if lacking := sorted(PROTECTED - there):
        raise Wrong(
            f"Nothing refuses changes of {', '.join(lacking)}: restore with triggers (pg_restore without --data-only)."
        )
    if may_write:
        raise Wrong(
            "The app's role may change audit entries: restore privileges, too (pg_restore without --no-privileges)."
        )
    return f"{len(there)} tables refuse to be changed"


def _sequences() -> str:
    behind = []
    with connection.cursor() as cursor:
        cursor.execute(BEHIND)
        found = cursor.fetchall()
        for sequence, table, column in found:
            # Names from the database's own catalogue, quoted by it.
            cursor.execute(
                f"SELECT last_value < (SELECT coalesce(max({connection.ops.quote_name(column)}), 0) FROM {table}) FROM {sequence}"  # noqa: S608
            )
            if cursor.fetchone()[0]:
                behind.append(sequence)
    if behind:
        raise Wrong(f"Numbers would be given twice by {', '.join(behind)}: restore sequences, too.")
    return f"{len(found)} sequences are ahead of their tables"


def _partitions() -> str:
    month = f"profiles_event_%{moment_of_judgement():%Y}%{moment_of_judgement():%m}"
    with connection.cursor() as cursor:
        cursor.execute(PARTITIONS, [month])
        has_strays, has_month = cursor.fetchone()
    if has_strays:
        raise Wrong(
            "Events lie outside all months: run the partition maintenance (Celery's profiles.maintain_partitions)."
        )
    if not has_month:
        raise Wrong(
            "There is no partition for this month: run the partition maintenance (Celery's profiles.maintain_partitions)."
        )
    return "events have their months, this one too"


def _vault() -> str:
    ring = ring_of_settings()
    by = set(SubjectKey.objects.filter(wrapped__isnull=False).values_list("wrapped_by", flat=True).distinct())
    if missing := sorted(by - set(ring.masters)):
        raise Wrong(
            f"Keys are wrapped by {', '.join(missing)}, which the file of CDP_VAULT_KEY_FILE lacks: restore that file, too."
        )
    return f"the ring opens the keys of {SubjectKey.objects.filter(wrapped__isnull=False).count():,} people"


def _audit() -> str:
    told = verify_now(lambda *_: None)
    if told["findings"]:
        first = told["findings"][0]
        raise Wrong(f"The audit log isn't as it was written: {first['message']} ({first['entry']}).")
    return f"{told['entries']:,} entries and {told['checkpoints']:,} checkpoints verify"


def _segments() -> str:
    """As of the moment to which each was kept, so that what time changed since isn't taken for a fault; nor what waits to be judged."""
    wrong = []
    rules, known, waiting = rules_now(), catalog(), set(DirtyProfile.objects.values_list("profile_id", flat=True))
    live = Segment.objects.filter(status=SegmentStatus.LIVE, broken_reason="").order_by("key")
    for segment in live:
        rule = rules.by_segment(segment.pk)
        if rule is None:
            continue
        with transaction.atomic():
            as_of = swept_to(rule) or moment_of_judgement()
            amiss = set(postgres.difference(rule.rule, known, segment_id=segment.pk, as_of=as_of)) - waiting
        if amiss:
            wrong.append(f"{segment.key} ({len(amiss):,})")
    if wrong:
        raise Wrong(
            f"Members differ from a rebuild in {', '.join(wrong)}: refresh these segments, and look for the cause."
        )
    return f"the members of {len(live):,} live segments equal a rebuild"


def _audiences() -> str:
    wrong = []
    audiences = list(Audience.objects.order_by("key"))
    for audience in audiences:
        with bound_cursor() as cursor:
            cursor.execute(MEMBERS, [audience.pk])
            if cursor.fetchone() != (audience.size, audience.checksum):
                wrong.append(audience.key)
    if wrong:
        raise Wrong(
            f"Members aren't those of the last change in {', '.join(wrong)}: whoever follows them must load them anew."
        )
    return f"{len(audiences):,} audiences have the members that their changes add up to"


def _files() -> str:
    gone = [one for one in kept().filter(finished_at__isnull=False) if not path_of(one).exists()]
    if gone:
        raise Wrong(
            f"{len(gone):,} files of exports aren't in {settings.EXPORT_DIR}: restore them, or delete these exports' files."
        )
    return "every file of an export that is kept is there"


LOOKS: Final[dict[str, Callable[[], str]]] = {
    "Role": CHECKS["database"],
    "Migrations": CHECKS["migrations"],
    "Append-only tables": _protected,
    "Sequences": _sequences,
    "Months of events": _partitions,
    "Vault": _vault,
    "Audit log": _audit,
    "Segments": _segments,
    "Audiences": _audiences,
    "Files of exports": _files,
}


# ---- Whoever was erased since -----------------------------------------------------------------------------------------


def erased_in(export: Path) -> list[UUID]:
    """Whom an export of the audit log says were erased, by the ids that they had.

    Raises:
        ValueError: the file is no such export; says where.
    """
    found: dict[UUID, None] = {}
    for entry in read_export(export).entries:
        if entry.columns["action"] == "profile.erased":
            found[UUID(str(entry.columns["object_id"]))] = None
    return list(found)


def erase_again(uuids: list[UUID], *, by: Actor) -> int:
    """How many of them were known, and are erased now."""
    done: list[Any] = [
        erase_profile(profile=Profile(uuid=one), by=by, reason="erased after the backup") for one in uuids
    ]
    return sum(one is not None for one in done)
