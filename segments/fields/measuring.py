"""Takes the figures of all fields: by a job, once a night and whenever somebody asks for it.

The statements are in `segments.fields.counting`. Each field is a transaction of its own, and its row takes the place of the
one before: a run that is stopped leaves whole rows, some newer than others, and the next goes over all of them again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, transaction
from django.db.models import Q
from django.utils import timezone
from psycopg.errors import QueryCanceled

from cdp.audit import SYSTEM
from cdp.audit.actors import Actor
from cdp.database import limit_statements
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import Progress, enqueue, let_follow
from cdp.logs import get_logger
from cdp.profiles.models import EventName, Profile, Trait, TraitType, Workspace
from cdp.profiles.score_services import published_scores
from consent.models import Purpose
from consent.querysets import permitted
from segments.fields.counting import common_values, distributions, who_may_be_counted
from segments.fields.distributions import Distribution
from segments.fields.models import FieldKind, FieldStatistics
from segments.fields.personal import PERSONAL_TYPES
from segments.fields.properties import measured_properties
from segments.models import StaticList
from segments.moments import moment_of_judgement
from segments.queries import Query
from segments.schedule import last_time_of_day

log = get_logger(__name__)

MEASURE_KIND: Final = "fields.measure"
RECENT: Final = timedelta(days=30)
PAUSE_AFTER_FAILURE: Final = timedelta(minutes=10)
MOST_SOURCES: Final = 3


@dataclass(slots=True)
class Measured:
    """What a run came to. What was `left` took too long; its figures are those of before."""

    fields: int = 0
    left: int = 0
    forgotten: int = 0


# ---- Asking for it -------------------------------------------------------------------------------------------------


@transaction.atomic
def request_measurement(*, by: Actor, user: User | None = None) -> Job:
    """The job that takes all figures anew; the one that is under way, if there is one."""
    job = enqueue(kind=MEASURE_KIND, params={}, by=by, user=user, dedupe_key=MEASURE_KIND)
    if user is not None:
        let_follow(job=job, user=user)
    return job


def request_due_measurement() -> Job | None:
    """The job that takes them anew, once a night; None when that has been asked for, or there is nothing to count."""
    now = timezone.now()
    night = last_time_of_day(now, hour=settings.NIGHTLY_HOUR, zone=Workspace.current().time_zone)
    newest = Job.objects.filter(kind=MEASURE_KIND).order_by("-created_at").first()
    if newest is not None:
        came_to_nothing = newest.state in (JobState.FAILED, JobState.CANCELLED)
        if newest.created_at >= (now - PAUSE_AFTER_FAILURE if came_to_nothing else night):
            return None
    if not Profile.objects.exists():
        return None
    return request_measurement(by=SYSTEM)


# ---- Doing it ------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    """One run: of whom, as of when, and what it has come to so far."""

    people: Query
    everybody: int
    as_of: datetime
    began: datetime
    done: Measured = field(default_factory=Measured)
    left: Q = field(default_factory=Q)

    def row(self, kind: FieldKind, key: str, *, filled: int, **more: Any) -> FieldStatistics:
        # The people were counted a moment earlier, so there may be more by now who have it.
        more = {"of": max(self.everybody, filled)} | more
        return FieldStatistics(kind=kind, key=key, filled=filled, as_of=self.as_of, computed_at=timezone.now(), **more)

    def store(self, *rows: FieldStatistics) -> None:
        FieldStatistics.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["kind", "event", "key"],
            update_fields=[
                one.name for one in FieldStatistics._meta.fields if one.name not in ("id", "kind", "event", "key")
            ],
        )
        self.done.fields += len(rows)

    @contextmanager
    def field(self, kind: FieldKind, key: str) -> Iterator[None]:
        """What one field takes: at most `settings.LOOK_SECONDS` for each statement, or it is left as it was."""
        try:
            with transaction.atomic():
                limit_statements(seconds=settings.LOOK_SECONDS)
                yield
        except OperationalError as error:
            if not isinstance(error.__cause__, QueryCanceled):
                raise
            log.warning("field_not_measured", kind=kind.value)
            self.done.left += 1
            self.left |= Q(kind=kind, key=key) | Q(kind=FieldKind.PROPERTY, event=key)


def measure(*, progress: Progress) -> Measured:
    """Takes the figures of every field there is, and forgets those of fields that are gone.

    Safe to stop anywhere and to run again.
    """
    people = who_may_be_counted()
    (everybody,) = people.of("SELECT count(*) FROM ({query}) AS people").rows()[0]
    run = _Run(people=people, everybody=everybody, as_of=moment_of_judgement(), began=timezone.now())
    traits = list(Trait.objects.order_by("pk"))
    events = list(EventName.objects.order_by("pk"))
    scores = [(kind, name, said) for kind, keys in published_scores().items() for name, said in keys.items()]
    lists, purposes = list(StaticList.objects.order_by("pk")), list(Purpose.objects.order_by("pk"))
    total = len(traits) + len(events) + len(scores) + len(lists) + len(purposes)
    number = 0

    def step(phase: str) -> None:
        nonlocal number
        progress(number, total, phase)
        number += 1

    for trait in traits:
        step("traits")
        with run.field(FieldKind.TRAIT, trait.key):
            run.store(_trait(run, trait))
    recent: dict[int, tuple[int, int]] = {}
    progress(number, total, "events of 30 days")
    with run.field(FieldKind.EVENT, ""):
        recent = _recent_events(run)
    for event in events:
        step("events")
        with run.field(FieldKind.EVENT, event.name):
            run.store(*_event(run, event, *recent.get(event.pk, (0, 0))))
    for kind, name, said in scores:
        step("scores")
        with run.field(FieldKind.SCORE, f"{kind}.{name}"):
            run.store(_score(run, kind, name, said))
    for one in lists:
        step("lists")
        with run.field(FieldKind.LIST, one.key):
            run.store(run.row(FieldKind.LIST, one.key, filled=_on_list(run, one)))
    for purpose in purposes:
        step("permissions")
        with run.field(FieldKind.PURPOSE, purpose.key):
            run.store(run.row(FieldKind.PURPOSE, purpose.key, filled=_permitting(run, purpose)))
    gone = FieldStatistics.objects.filter(computed_at__lt=run.began)
    run.done.forgotten = (gone.exclude(run.left) if run.left else gone).delete()[0]
    progress(total, total, "done")
    return run.done


# Personal fields are counted and no more: whatever else might be said of them is somebody's.
SOURCES: Final = """
    SELECT v.source_id, count(*) FROM profiles_traitvalue AS v
     WHERE v.trait_id = %(trait)s AND v.profile_id IN ({query}) GROUP BY 1 ORDER BY 2 DESC, 1
"""
NUMBERS: Final = """
    SELECT '' AS key, v.number AS figure FROM profiles_traitvalue AS v
     WHERE v.trait_id = %(trait)s AND v.number IS NOT NULL AND v.profile_id IN ({query})
"""
MOMENTS: Final = """
    SELECT '' AS key, extract(epoch FROM v.moment)::numeric AS figure FROM profiles_traitvalue AS v
     WHERE v.trait_id = %(trait)s AND v.moment IS NOT NULL AND v.profile_id IN ({query})
"""
# Text is compared without case and accents; it is shown as most write it.
TEXTS: Final = """
    SELECT '' AS key, (array_agg(written ORDER BY people DESC, written))[1] AS value, sum(people)::bigint AS people
      FROM (SELECT v.text_folded AS folded, v.text AS written, count(*) AS people FROM profiles_traitvalue AS v
             WHERE v.trait_id = %(trait)s AND v.text_folded IS NOT NULL AND v.profile_id IN ({query})
             GROUP BY 1, 2) AS spelled
     GROUP BY folded
"""
ITEMS: Final = """
    SELECT '' AS key, item AS value, count(*) AS people FROM profiles_traitvalue AS v, unnest(v.items) AS item
     WHERE v.trait_id = %(trait)s AND v.profile_id IN ({query}) GROUP BY item
"""
BOOLEANS: Final = """
    SELECT '' AS key, v.boolean::text AS value, count(*) AS people FROM profiles_traitvalue AS v
     WHERE v.trait_id = %(trait)s AND v.boolean IS NOT NULL AND v.profile_id IN ({query}) GROUP BY v.boolean
"""
VALUES: Final = {TraitType.LIST: ITEMS, TraitType.BOOLEAN: BOOLEANS}


def _trait(run: _Run, trait: Trait) -> FieldStatistics:
    def of(template: str) -> Query:
        return Query(sql=run.people.of(template).sql, params={**run.people.params, "trait": trait.pk})

    sources = of(SOURCES).rows()
    more: dict[str, Any] = {
        "filled": sum(people for _, people in sources),
        "sources": [[source, people] for source, people in sources if source is not None][:MOST_SOURCES],
    }
    if trait.is_pii or trait.type in PERSONAL_TYPES:
        return run.row(FieldKind.TRAIT, trait.key, **more)
    if trait.type in (TraitType.NUMBER, TraitType.DATE):
        is_date = trait.type == TraitType.DATE
        lies = distributions(of(MOMENTS if is_date else NUMBERS), is_date=is_date)
        more["distribution"] = lies.get("", Distribution(people=0)).as_json()
    else:
        found = common_values(of(VALUES.get(TraitType(trait.type), TEXTS))).get("")
        more |= {"distinct": found.distinct if found else 0, "top": found.top if found else []}
    return run.row(FieldKind.TRAIT, trait.key, **more)


RECENT_EVENTS: Final = """
    SELECT e.name_id, count(*), count(DISTINCT e.profile_id) FROM profiles_event AS e
     WHERE e.name_id > 0 AND e.occurred_at >= %(since)s AND e.occurred_at < %(until)s AND e.profile_id IN ({query})
     GROUP BY 1
"""
LAST_EVENT: Final = """
    SELECT date_trunc('hour', e.occurred_at) FROM profiles_event AS e
     WHERE e.name_id = %(name)s AND e.occurred_at < %(until)s ORDER BY e.occurred_at DESC LIMIT 1
"""


def _recent_events(run: _Run) -> dict[int, tuple[int, int]]:
    """By the number of the name, how many events there were in the last 30 days, and of how many people."""
    rows = run.people.of(RECENT_EVENTS).rows(since=run.as_of - RECENT, until=run.as_of)
    return {name: (events, people) for name, events, people in rows}


def _event(run: _Run, event: EventName, events: int, people: int) -> list[FieldStatistics]:
    """Its own row first, then those of its properties."""
    last = Query(sql=LAST_EVENT, params={"name": event.pk, "until": run.as_of}).rows()
    found = measured_properties(run.people, event, events=events, since=run.as_of - RECENT, until=run.as_of)
    row = run.row(
        FieldKind.EVENT,
        event.name,
        filled=people,
        occurrences=events,
        last_seen_at=last[0][0] if last else None,
        distribution=found.value.as_json() if found.value else None,
    )
    properties = [
        run.row(
            FieldKind.PROPERTY,
            one.name,
            event=event.name,
            filled=one.events,
            of=found.looked_at,
            people=one.people,
            type=one.type,
            distinct=one.distinct,
            top=one.top,
            distribution=one.distribution.as_json() if one.distribution else None,
        )
        for one in found.properties
    ]
    return [row, *properties]


SCORED: Final = """
    SELECT count(*) FROM profiles_currentscore AS s
     WHERE s.kind = %(kind)s AND s.key = %(name)s AND s.profile_id IN ({query})
"""
SCORE_NUMBERS: Final = """
    SELECT '' AS key, s.number AS figure FROM profiles_currentscore AS s
     WHERE s.kind = %(kind)s AND s.key = %(name)s AND s.number IS NOT NULL AND s.profile_id IN ({query})
"""
SCORE_LABELS: Final = """
    SELECT '' AS key, s.text AS value, count(*) AS people FROM profiles_currentscore AS s
     WHERE s.kind = %(kind)s AND s.key = %(name)s AND s.text IS NOT NULL AND s.profile_id IN ({query}) GROUP BY s.text
"""


def _score(run: _Run, kind: str, name: str, said: list[str]) -> FieldStatistics:
    def of(template: str) -> Query:
        return Query(sql=run.people.of(template).sql, params={**run.people.params, "kind": kind, "name": name})

    more: dict[str, Any] = {}
    if "numbers" in said:
        more["distribution"] = distributions(of(SCORE_NUMBERS)).get("", Distribution(people=0)).as_json()
    if "labels" in said and (labels := common_values(of(SCORE_LABELS)).get("")):
        more |= {"distinct": labels.distinct, "top": labels.top}
    ((filled,),) = of(SCORED).rows()
    return run.row(FieldKind.SCORE, f"{kind}.{name}", filled=filled, **more)


ON_LIST: Final = """
    SELECT count(DISTINCT e.profile_id) FROM segments_listentry AS e
     WHERE e.list_id = %(list)s AND e.profile_id IN ({query})
"""


def _on_list(run: _Run, one: StaticList) -> int:
    ((people,),) = run.people.of(ON_LIST).rows(list=one.pk)
    return int(people)


def _permitting(run: _Run, purpose: Purpose) -> int:
    """How many of those who may be counted permit this purpose."""
    analysed = permitted(Profile.objects.all(), Purpose.objects.get(key="internal_analysis"))
    return permitted(analysed, purpose).count()
