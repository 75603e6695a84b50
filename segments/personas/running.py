"""Draws the portraits of all personas and publishes who has which: by a job, each night and whenever something changes.

Nothing is seen of a run until all of it is there: portraits and scores appear in one transaction. One that is stopped or killed
leaves scores that nobody reads, and the next takes them away.
"""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from cdp.audit import SYSTEM
from cdp.audit.services import record
from cdp.database import bound_cursor
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import Progress
from cdp.profiles.models import ScoreRun, Workspace
from cdp.profiles.score_services import delete_runs, hold_run, publish_run, purge_runs, start_run
from consent.models import Purpose
from consent.querysets import INTERNAL_ANALYSIS, purpose_or_error
from segments.analytics.narrative import tell
from segments.analytics.portraits import Portrait
from segments.clustering import services as clustering
from segments.features.people import who_may_be_profiled
from segments.moments import moment_of_judgement
from segments.personas.analysing import Analysed, analyse
from segments.personas.counting import Counting
from segments.personas.models import Persona, PersonaPortrait
from segments.personas.portraying import draw
from segments.personas.services import KIND, request_portraits
from segments.personas.services import PORTRAY_KIND as PORTRAY_KIND
from segments.personas.sources import members_of
from segments.queries import Query
from segments.rfm import services as rfm
from segments.schedule import last_time_of_day

# After RFM groups and clusters, which are worked out from the nightly hour on.
HOURS_LATER: Final = 1
PAUSE_AFTER_FAILURE: Final = timedelta(minutes=10)
PHASES: Final = 11
OLD_RUNS: Final = 1
MOST_ROUNDS: Final = 3


@dataclass(frozen=True, kw_only=True)
class Portrayed:
    """What a run came to: personas with a portrait, those with fewer than five people, and how many people have one."""

    personas: int = 0
    too_small: int = 0
    people: int = 0


# Set operations, which take as long as their sides are large whatever the planner believes of rows that were just written.
BELONG: Final = """
    INSERT INTO profiles_score (run_id, key, profile_id, number)
    SELECT %(run)s::bigint, %(key)s::text, belongs.profile_id, 1
      FROM (({members}) INTERSECT ({permitted})) AS belongs(profile_id)
"""
# Of several, the first by the order that somebody gave them.
FIRST: Final = """
    INSERT INTO profiles_score (run_id, key, profile_id, label)
    SELECT DISTINCT ON (s.profile_id) s.run_id, 'persona', s.profile_id, given.name
      FROM profiles_score AS s
      JOIN unnest(%(keys)s::text[], %(names)s::text[]) WITH ORDINALITY AS given(key, name, place) USING (key)
     WHERE s.run_id = %(run)s ORDER BY s.profile_id, given.place
"""
NO_LONGER: Final = """
    DELETE FROM profiles_score AS s
     USING ((SELECT profile_id FROM profiles_score WHERE run_id = %(run)s) EXCEPT ({permitted})) AS gone(profile_id)
     WHERE s.run_id = %(run)s AND s.profile_id = gone.profile_id
"""


def portray(*, job: Job, progress: Progress) -> Portrayed:
    """Draws all portraits anew. Safe to stop anywhere and to run again; what is there stays until the new ones are complete.

    Whoever changes personas while they are drawn finds this job under way: so it draws them once more.
    """
    for _ in range(MOST_ROUNDS):
        found, is_current = _round(job, progress)
        if is_current:
            break
    return found


def _round(job: Job, progress: Progress) -> tuple[Portrayed, bool]:
    """What was drawn, and whether personas are still as they were when it began."""
    done = 0

    def step(phase: str) -> None:
        nonlocal done
        progress(done, max(total, done), phase)
        done += 1

    personas = list(Persona.objects.filter(is_active=True).select_related("segment"))
    total = PHASES + 2 * len(personas)
    step("who belongs")
    _forget_unpublished()
    as_of = moment_of_judgement()
    purpose = purpose_or_error(INTERNAL_ANALYSIS)
    everybody = who_may_be_profiled(purpose)
    run = start_run(kind=KIND, version=as_of.isoformat(timespec="seconds")[:64], by=SYSTEM)
    try:
        for number, persona in enumerate(personas, start=1):
            step(f"who belongs to persona {number} of {len(personas)}")
            _belong(run, persona, everybody)
        _first(run, personas)
        keys = [one.key for one in personas]
        zone = Workspace.current().time_zone
        portraits = draw(Counting(everybody=everybody, run=run.pk, as_of=as_of, zone=zone), keys, step=step)
        analysed = analyse(keys, everybody=everybody, run=run.pk, as_of=as_of, purpose=purpose, step=step)
        step("publishing")
        return _publish(job, run, personas, portraits, analysed, as_of=as_of, purpose=purpose)
    finally:
        # Whatever ended it: what was not published is of no use. A killed worker can't do this; the next run does.
        _forget_unpublished()


def _belong(run: ScoreRun, persona: Persona, everybody: Query) -> None:
    members = members_of(persona)
    if members is None:
        return
    with transaction.atomic(), bound_cursor() as cursor:
        hold_run(run.pk)
        sql = BELONG.replace("{members}", members.sql).replace("{permitted}", everybody.sql)
        cursor.execute(sql, {**members.params, **everybody.params, "run": run.pk, "key": persona.key})


def _first(run: ScoreRun, personas: list[Persona]) -> None:
    with transaction.atomic(), bound_cursor() as cursor:
        hold_run(run.pk)
        keys, names = [one.key for one in personas], [one.name for one in personas]
        cursor.execute(FIRST, {"run": run.pk, "keys": keys, "names": names})


@transaction.atomic
def _publish(
    job: Job,
    run: ScoreRun,
    personas: list[Persona],
    portraits: dict[str, Portrait],
    analysed: dict[str, Analysed],
    *,
    as_of: datetime,
    purpose: Purpose,
) -> tuple[Portrayed, bool]:
    """Portraits and scores together. Of a persona that was deleted meanwhile there is none; who objected meanwhile has no score."""
    still = {one.pk: one for one in Persona.objects.select_for_update().filter(is_active=True)}
    kept = [one for one in personas if one.pk in still]
    everybody = who_may_be_profiled(purpose)
    with bound_cursor() as cursor:
        cursor.execute(NO_LONGER.replace("{permitted}", everybody.sql), {**everybody.params, "run": run.pk})
    for persona in kept:
        _store(persona, portraits[persona.key], analysed[persona.key], as_of=as_of, job=job)
    published = publish_run(run=run, by=SYSTEM)
    purge_runs(kind=KIND, keep=OLD_RUNS, by=SYSTEM)
    people = run.scores.filter(key=KIND).count()
    counted = [portraits[one.key].people for one in kept]
    found = Portrayed(personas=len(kept), too_small=counted.count(None), people=people)
    detail = {**asdict(found), "scores": published.scores, "as_of": as_of.isoformat()}
    record(by=SYSTEM, action="personas.portrayed", object=job, purpose=purpose.key, detail=detail)
    return found, [_drawn(one) for one in personas] == [_drawn(one) for one in still.values()]


def _drawn(persona: Persona) -> tuple[int, str, int]:
    """By what it is told that a persona is no longer as it was drawn."""
    return persona.pk, persona.name, persona.position


def _store(persona: Persona, portrait: Portrait, analysed: Analysed, *, as_of: datetime, job: Job) -> None:
    is_told = portrait.people is not None
    sentences = tell(portrait, apart=analysed.apart, buying=analysed.buying, traits=analysed.traits)
    PersonaPortrait.objects.update_or_create(
        persona=persona,
        defaults={
            "as_of": as_of,
            "people": portrait.people,
            "figures": portrait.as_json(),
            "attributes": (analysed if is_told else Analysed()).attributes_json(),
            "factors": (analysed if is_told else Analysed()).factors_json(),
            "sentences": [one.as_json() for one in sentences],
            "job": job,
            "drawn_at": timezone.now(),
        },
    )


def _forget_unpublished() -> None:
    left = list(ScoreRun.objects.filter(kind=KIND, published_at=None).values_list("pk", flat=True))
    if left:
        delete_runs(left)


# ---- At night --------------------------------------------------------------------------------------------------------


def request_due_portraits() -> Job | None:
    """The job that draws them anew, once a night; None when that has been asked for, or other analyses are still under way."""
    now = timezone.now()
    zone = Workspace.current().time_zone
    night = last_time_of_day(now, hour=(settings.NIGHTLY_HOUR + HOURS_LATER) % 24, zone=zone)
    newest = Job.objects.filter(kind=PORTRAY_KIND).order_by("-created_at").first()
    if newest is not None:
        came_to_nothing = newest.state in (JobState.FAILED, JobState.CANCELLED)
        if newest.created_at >= (now - PAUSE_AFTER_FAILURE if came_to_nothing else night):
            return None
    if not Persona.objects.filter(is_active=True).exists():
        return None
    if Job.objects.unfinished().filter(kind__in=[rfm.RUN_KIND, clustering.RUN_KIND]).exists():
        return None
    return request_portraits(by=SYSTEM)
