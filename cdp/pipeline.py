"""The story of one batch of events: claim > read > drop repeats > resolve > store > settle > evaluate > done.

One transaction tells all of it: a consumer that is killed has done everything or nothing. Each step is one call into
the app that owns it; nothing else imports this file's steps, and it decides nothing itself.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import DataError, Error, IntegrityError, transaction
from psycopg.errors import ProgramLimitExceeded, StatementTooComplex

from cdp.audit.actors import Actor
from cdp.batches import Report
from cdp.database import bound_cursor
from cdp.identity.models import Merge
from cdp.identity.resolve import Claim
from cdp.identity.services import Resolved, Sighting, resolve_people
from cdp.ingestion import inbox, quarantine, watching
from cdp.ingestion.inbox import Waiting
from cdp.ingestion.keys import places_of_sources
from cdp.ingestion.limits import Refusal
from cdp.ingestion.models import Outcome
from cdp.ingestion.quarantine import Refused
from cdp.ingestion.rows import event_rows, heard, trait_rows
from cdp.ingestion.suppressed import count_dropped, keep_silent, without_the_erased
from cdp.ingestion.wire import CONSENT_EVENT, Message, read, read_shared, split
from cdp.logs import get_logger
from cdp.profiles import catalogue, store, totals
from cdp.profiles.models import DirtyProfile, EventType, Workspace
from cdp.profiles.rates import Converter
from cdp.profiles.session_store import extend_sessions
from cdp.profiles.sessions import SESSION_STARTED
from cdp.profiles.settling import settle_orders
from cdp.profiles.store import EventRow
from cdp.vault.ring import VaultUnusable
from consent import notices
from consent.hearing import said_by_signals
from consent.models import Decision, Method, Purpose, Reach
from consent.notices import Seen
from consent.services import Said, append_consents
from segments.evaluation import Facts, end_memberships, evaluate
from segments.lists import settle_entries
from segments.live import live_rules, rules_lock
from segments.models import ChangeWhy
from segments.moments import moment_of_writing

log = get_logger(__name__)

PIPELINE = Actor.system("pipeline")
# What one message can do to the database. Its other errors (gone, a table missing, a right taken away, two of us
# collided) are no message's fault: nothing was done, and the batch waits as before.
OF_A_MESSAGE = (DataError, IntegrityError)
# Operational by their class, but a value was too large for an index or a statement: trying again would fail for ever.
TOO_LARGE = (ProgramLimitExceeded, StatementTooComplex)


def process_batch(*, messages: int | None = None) -> Report:
    """What was done with the next requests of the inbox; all zeros when nothing waited.

    A message that breaks the whole batch is found by halving it, and quarantined: it never stops the others.
    """
    limit = messages or settings.BATCH_MESSAGES
    try:
        with transaction.atomic():
            waiting = list(inbox.claim(messages=limit))
            return _process(waiting) if waiting else Report()
    except Exception as error:  # noqa: BLE001  (sorted out in the next line)
        _raise_unless_of_a_message(error)
        log.error("batch_failed", reason=type(error).__name__, requests=len(waiting))
    with transaction.atomic():
        again = list(inbox.claim(messages=limit))
        read_messages, refused = _read(again)
        report = _process_in_halves(read_messages, watching.watched())
        _refuse(refused, report)
        report.requests = len(again)
        report.count(read_messages, refused)
        inbox.delete([w.id for w in again])
        return report


def _raise_unless_of_a_message(error: Exception) -> None:
    """Raises the error again when no single message can be to blame.

    An error of ours that a message brings out is treated as the message's: it is quarantined, can be seen and replayed,
    and the others go on. The alternative would be a consumer that dies of it again at every start.
    """
    if isinstance(error, VaultUnusable):
        raise error  # without the key nobody can tell whom it would bring back
    if isinstance(error, Error) and not isinstance(error, OF_A_MESSAGE) and not isinstance(error.__cause__, TOO_LARGE):
        raise error


def _process(waiting: Sequence[Waiting]) -> Report:
    messages, refused = _read(waiting)
    watched = watching.watched()
    report = _store_and_evaluate(messages, watched) if messages else Report(watched=watched)
    report.requests = len(waiting)
    _refuse(refused, report)
    report.count(messages, refused)
    inbox.delete([w.id for w in waiting])
    return report


def _refuse(refused: Sequence[Refused], report: Report) -> None:
    """Keeps what can't be used, but for what names nobody but people who were erased."""
    kept = without_the_erased(refused)
    report.messages += len(refused)
    report.suppressed += len(refused) - len(kept)
    report.quarantined += quarantine.keep(kept)
    report.tell_refused(refused, kept)


def _process_in_halves(messages: Sequence[Message], watched: frozenset[int]) -> Report:
    if not messages:
        return Report(watched=watched)
    try:
        with transaction.atomic():
            return _store_and_evaluate(messages, watched)
    except Exception as error:
        _raise_unless_of_a_message(error)
        if len(messages) == 1:
            log.error("message_unstorable", reason=type(error).__name__, exc_info=True)
            refusal = Refusal("unstorable", f"storing it failed: {type(error).__name__}")
            kept = quarantine.keep([_refused(messages[0], refusal)])
            report = Report(messages=1, quarantined=kept, watched=watched)
            report.tell(messages, Outcome.QUARANTINED, refusal.code)
            return report
    middle = len(messages) // 2
    one = _process_in_halves(messages[:middle], watched)
    other = _process_in_halves(messages[middle:], watched)
    return one + other


def _read(waiting: Iterable[Waiting]) -> tuple[list[Message], list[Refused]]:
    """The messages that can be used, and those that can't."""
    messages: list[Message] = []
    refused: list[Refused] = []
    for request in waiting:
        items, around = [request.body], b""
        try:
            items, around = split(request.endpoint, request.body)
            shared = read_shared(around)
        except Refusal as refusal:
            refused += [
                Refused(request.source_id, request.received_at, request.endpoint, refusal, raw, around, request.asks)
                for raw in items
            ]
            continue
        for position, raw in enumerate(items):
            try:
                messages.append(
                    read(
                        raw,
                        endpoint=request.endpoint,
                        source_id=request.source_id,
                        is_trusted=request.is_trusted,
                        received_at=request.received_at,
                        fallback_id=f"inbox-{request.id}-{position}",
                        shared=shared,
                        asks=request.asks,
                    )
                )
            except Refusal as refusal:
                refused.append(
                    Refused(
                        request.source_id, request.received_at, request.endpoint, refusal, raw, around, request.asks
                    )
                )
    return messages, refused


def _store_and_evaluate(messages: Sequence[Message], watched: frozenset[int]) -> Report:
    report = Report(messages=len(messages), watched=watched)
    fresh = _drop_repeats(messages)
    report.repeats = len(messages) - len(fresh)
    if report.repeats:
        is_fresh = {id(message) for message in fresh}
        report.tell((m for m in messages if id(m) not in is_fresh), Outcome.REPEATED)
    names = catalogue.event_name_ids({m.name: m.type for m in fresh})
    unnamed = [m for m in fresh if m.name not in names]
    if unnamed:
        refusal = Refusal(
            "too_many_event_names", f"the catalogue holds {catalogue.MAX_EVENT_NAMES} event names already", "/event"
        )
        report.quarantined += quarantine.keep([_refused(m, refusal) for m in unnamed])
        _forget_seen(unnamed)
        report.tell(unnamed, Outcome.QUARANTINED, refusal.code, refusal.pointer)
        fresh = [m for m in fresh if m.name in names]
    if not fresh:
        return report
    workspace = Workspace.current()
    told = Told()
    convert = Converter(workspace.reporting_currency)
    purposes, shown = _purposes_named(fresh), _shown(fresh)
    accepted = [m for m in fresh if m.source_id in watched] if watched else []
    while fresh:  # once, but for people who decided something and then proved to be one
        fresh = _store(fresh, told, names=names, purposes=purposes, shown=shown, convert=convert)
    report.stored, report.suppressed = len(told.rows), len(told.suppressed)
    if told.suppressed:
        # Should the person wish to come back, what is sent again must not be taken for a repeat.
        _forget_seen(told.suppressed)
        count_dropped(message.source_id for message in told.suppressed)
        report.tell(told.suppressed, Outcome.DROPPED)
    if accepted:
        is_dropped = {id(message) for message in told.suppressed}
        report.tell((m for m in accepted if id(m) not in is_dropped), Outcome.ACCEPTED)
    if not told.rows:
        return report

    gone = {m.absorbed_id: m.absorbed_uuid for m in told.merges}
    facts = Facts(new=told.new - gone.keys())
    name_of = {number: name for name, number in names.items()}
    effective_at: dict[int, datetime] = {}
    for row in told.rows:
        profile_id = told.is_now(row.profile_id)
        facts.events[name_of[row.name_id]].add(profile_id)
        if profile_id not in effective_at or row.occurred_at > effective_at[profile_id]:
            effective_at[profile_id] = row.occurred_at
    for name, profile_ids in told.changed_facts.items():
        facts.events[name] |= {told.is_now(profile_id) for profile_id in profile_ids}
    for profile_id, key in told.changed_traits:
        facts.traits[key].add(told.is_now(profile_id))
    key_of = {number: key for key, number in purposes.items()}
    for profile_id, purpose_id in told.consents:
        facts.consents[key_of[purpose_id]].add(told.is_now(profile_id))

    # The people have been locked since they were resolved; only now is it said as of when they are judged.
    rules_lock(exclusive=False)
    as_of = moment_of_writing(workspace)
    effective_at = {profile_id: min(at, as_of) for profile_id, at in effective_at.items()}
    if gone:
        facts.anything |= {m.survivor_id for m in told.merges} - gone.keys()
        settle_entries(gone)
        end_memberships(gone=gone, as_of=as_of, why=ChangeWhy.MERGE)
    changes = evaluate(facts, live_rules(), as_of=as_of, why=ChangeWhy.EVENT, effective_at=effective_at)
    report.entered, report.exited = changes.entered.total(), changes.exited.total()
    return report


@dataclass(slots=True)
class Told:
    """What has been written of a batch so far."""

    rows: list[EventRow] = field(default_factory=list)
    changed_traits: list[tuple[int, str]] = field(default_factory=list)
    # Event name -> of whom that counts otherwise now which follows from what was said.
    changed_facts: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    # (profile id, purpose id) for which something else may hold.
    consents: set[tuple[int, int]] = field(default_factory=set)
    new: set[int] = field(default_factory=set)
    merges: list[Merge] = field(default_factory=list)
    # Messages of nobody but people who were erased.
    suppressed: list[Message] = field(default_factory=list)
    _became: dict[int, int] = field(default_factory=dict)

    def add(self, people: Resolved, rows: Sequence[EventRow], changed_traits: Iterable[tuple[int, str]]) -> None:
        self.rows += rows
        self.changed_traits += changed_traits
        self.new |= people.new
        self.merges += people.merges
        self._became |= {m.absorbed_id: m.survivor_id for m in people.merges}

    def follows(self, changed: Mapping[str, set[int]]) -> None:
        for name, profile_ids in changed.items():
            self.changed_facts[name] |= profile_ids

    def is_now(self, profile_id: int) -> int:
        """Who the profile has become by a merge within the batch, or itself."""
        while profile_id in self._became:
            profile_id = self._became[profile_id]
        return profile_id


def _store(
    messages: Sequence[Message],
    told: Told,
    *,
    names: dict[str, int],
    purposes: dict[str, int],
    shown: Mapping[UUID, Seen],
    convert: Converter,
) -> list[Message]:
    """The messages that must wait until what the others say has been written, as it now is."""
    people = resolve_people(
        sightings=[
            Sighting(
                Claim(tuple(m.identifiers), m.is_trusted, m.is_alias, decides=_decides(m)),
                m.occurred_at,
                m.source_id,
            )
            for m in messages
        ],
        by=PIPELINE,
    )
    waiting = [messages[number] for number in sorted(people.waiting)]
    for number, silenced in people.silenced.items():
        keep_silent(messages[number], silenced)
    if people.dropped:
        told.suppressed += [messages[number] for number in people.dropped]
    if waiting or people.dropped:
        left_out = people.waiting | people.dropped
        messages = [message for number, message in enumerate(messages) if number not in left_out]
    if not messages:
        return waiting
    rows = event_rows(messages, people, names, convert)
    totals.add_to_totals(rows)
    changed_traits = store.apply_traits(trait_rows(messages, people))
    told.consents |= _append_consents(messages, people, purposes, shown)
    store.copy_events(rows)
    told.add(people, rows, changed_traits)
    orders = {(row.profile_id, row.order_key) for row in rows if row.order_key is not None}
    told.follows(settle_orders(orders, convert=convert))
    told.follows({SESSION_STARTED: extend_sessions(rows)})
    return waiting


def _drop_repeats(messages: Sequence[Message]) -> list[Message]:
    """The messages never seen before, marked as seen. The order of the statement keeps two consumers from deadlock."""
    first: dict[tuple[int, bytes], Message] = {}
    for message in messages:
        first.setdefault((message.source_id, message.digest), message)
    keys = sorted(first)
    with bound_cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingestion_seenmessage (source_id, digest, seen_at)"
            " SELECT s, d, now() FROM unnest(%s::int[], %s::bytea[]) AS g(s, d) ON CONFLICT DO NOTHING RETURNING source_id, digest",
            [[s for s, _ in keys], [d for _, d in keys]],
        )
        new = {(source_id, bytes(digest)) for source_id, digest in cursor.fetchall()}
    return [message for key, message in first.items() if key in new]


def _forget_seen(messages: Sequence[Message]) -> None:
    """What was seen but not stored is no repeat when it is replayed."""
    with bound_cursor() as cursor:
        cursor.execute(
            "DELETE FROM ingestion_seenmessage s USING unnest(%s::int[], %s::bytea[]) AS g(source_id, digest)"
            " WHERE s.source_id = g.source_id AND s.digest = g.digest",
            [[m.source_id for m in messages], [m.digest for m in messages]],
        )


def _purposes_named(messages: Sequence[Message]) -> dict[str, int]:
    """Numbers of the purposes that the messages speak of; a message that names one that doesn't exist is flagged."""
    if not any(message.consents or message.opts_out or message.consent_strings for message in messages):
        return {}
    purposes = dict(Purpose.objects.values_list("key", "pk"))
    for message in messages:
        if not message.consents.keys() <= purposes.keys():
            message.flags.append("purpose_unknown")
    return purposes


def _shown(messages: Sequence[Message]) -> dict[UUID, Seen]:
    """What the messages say their people were shown. A message that names what this source never showed is flagged."""
    seen = notices.seen({message.served for message in messages if message.served is not None})
    for message in messages:
        if message.served is None:
            continue
        found = seen.get(message.served)
        if found is None or found.source_id not in (None, message.source_id):
            message.served = None
            message.flags.append("served_unknown")
    return seen


def _append_consents(
    messages: Sequence[Message], people: Resolved, purposes: dict[str, int], shown: Mapping[UUID, Seen]
) -> set[tuple[int, int]]:
    """Writes what the messages say of consent: each decision, and from a server also the stamp that any message may carry.
    Gives (profile id, purpose id) for which something else may hold."""
    said: list[Said] = []
    for message, profile_id in zip(messages, people.profile_ids, strict=True):
        is_decision = message.type == EventType.TRACK and message.name == CONSENT_EVENT
        seen = shown[message.served] if message.served is not None else None
        said += [
            Said(
                profile_id=profile_id,
                purpose_id=purposes[key],
                decision=Decision.GRANTED if choice else Decision.DENIED,
                collected_at=min(message.occurred_at, message.received_at),
                # A banner of ours was shown in a browser; what a server passes on was chosen wherever it says.
                method=Method.BANNER if seen is not None and not message.is_trusted else Method.EVENT,
                reach=Reach.PERSON if message.is_trusted else Reach.DEVICE,
                source_id=message.source_id,
                message_id=message.message_id,
                is_stamp=not is_decision,
                # Only what the notice told of was chosen on its words.
                notice_version_id=seen.version_id if seen is not None and key in seen.purposes else None,
                served_id=message.served if seen is not None and key in seen.purposes else None,
                jurisdiction=seen.jurisdiction if seen is not None else "",
            )
            for key, choice in message.consents.items()
            if key in purposes and (is_decision or message.is_trusted)
        ]
    said += said_by_signals(heard(messages, people.profile_ids, people.identifier_ids))
    return append_consents(said=said, by=PIPELINE, places=places_of_sources()) if said else set()


def _decides(message: Message) -> bool:
    """Whether it may say something for the person it is about by then."""
    return message.opts_out or bool(message.consent_strings) or (message.is_trusted and bool(message.consents))


def _refused(message: Message, refusal: Refusal) -> Refused:
    at, around = message.received_at, message.shared
    return Refused(message.source_id, at, message.endpoint, refusal, message.raw, around, message.asks)


def drain_dirty(*, limit: int = 1000) -> int:
    """How many people who were changed from outside the pipeline were evaluated anew."""
    with transaction.atomic():
        dirty = list(DirtyProfile.objects.select_for_update(skip_locked=True).order_by("pk")[:limit])
        if not dirty:
            return 0
        ids = {row.profile_id for row in dirty}
        present = set(store.lock_profiles(sorted(ids)))
        rules_lock(exclusive=False)
        as_of = moment_of_writing(Workspace.current())
        reasons = {row.facts.get("why", "edit") for row in dirty if row.profile_id in present}
        why = ChangeWhy(reasons.pop()) if len(reasons) == 1 else ChangeWhy.EDIT
        for why_gone, gone in _gone(row for row in dirty if row.profile_id not in present).items():
            end_memberships(gone=gone, as_of=as_of, why=why_gone)
        became_others = (ChangeWhy.MERGE, ChangeWhy.UNMERGE)
        settle_entries({row.profile_id for row in dirty if row.facts.get("why") in became_others})
        evaluate(_facts_of(dirty, present), live_rules(), as_of=as_of, why=why)
        DirtyProfile.objects.filter(pk__in=[row.pk for row in dirty]).delete()
    return len(dirty)


def _gone(dirty: Iterable[DirtyProfile]) -> dict[ChangeWhy, dict[int, UUID]]:
    """Why they are gone -> people who no longer exist, with the uuid by which their end is announced.

    Whoever was merged away, restored and erased since is erased: the last of it, which comes last here.
    """
    last: dict[int, tuple[ChangeWhy, UUID]] = {}
    for row in dirty:
        for said, why in (("absorbed_uuid", ChangeWhy.MERGE), ("erased_uuid", ChangeWhy.ERASURE)):
            if said in row.facts:
                last[row.profile_id] = why, UUID(row.facts[said])
    gone: dict[ChangeWhy, dict[int, UUID]] = defaultdict(dict)
    for profile_id, (why, uuid) in last.items():
        gone[why][profile_id] = uuid
    return gone


# What a row says of a person beside why; whoever is changed in some other way may be changed in any.
SAID = ("events", "traits", "scores", "consents", "lists")


def _facts_of(dirty: Iterable[DirtyProfile], present: Set[int]) -> Facts:
    """What changed, of those who still exist: as much as the rows say, and anything where one doesn't."""
    facts = Facts()
    for row in dirty:
        if row.profile_id not in present:
            continue
        said = {name: row.facts[name] for name in SAID if name in row.facts}
        if not said or row.facts.keys() - {"why", *SAID}:
            facts.anything.add(row.profile_id)
        for name, changed in said.items():
            for key in changed:
                getattr(facts, name)[key].add(row.profile_id)
    return facts


__all__ = ["Report", "drain_dirty", "process_batch"]
