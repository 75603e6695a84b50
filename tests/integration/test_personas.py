"""Portraits say what a small shop's figures come to by hand, of who permits it; and personas are read as scores."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from cdp.audit.models import AuditEntry
from cdp.errors import DomainError
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import JobCancelled, cancel, send_stranded
from cdp.profiles.models import ScoreRun, Trait
from cdp.profiles.score_services import Scored, add_scores, publish_run, published_scores, scores_of, start_run
from consent.models import Decision, Purpose, StopKind
from consent.stops import stop
from segments.analytics.portraits import Portrait
from segments.clustering.models import Clustering
from segments.personas import services
from segments.personas.models import Persona, PersonaPortrait
from segments.personas.running import portray, request_due_portraits
from segments.personas.sources import group_named, group_of_segment, groups_of_scores
from segments.tasks import portray as portray_task
from tests.factories import BY, identify, live, members, performed, person, process_all, set_live, track, tracker
from tests.integration.callers import decide

pytestmark = pytest.mark.django_db

READERS = ("ann", "bob", "cyd", "dee", "eve", "fay")
OTHERS = ("gus", "hal", "ida", "jon")
DAY = timedelta(days=1)


@pytest.fixture
def shop(db: None) -> None:
    """Six readers, each with two orders of a book at 10 and one of them of a lamp at 40; four others with one lamp each."""
    source = tracker()
    for number, name in enumerate(READERS):
        country = "CH" if number < 5 else "DE"
        source.send(identify(name, traits={"country": country, "email": f"{name}@example.com", "religion": "any"}))
        source.send(_order(name, 20 + number, "Books", 10), _order(name, 9 + number, "Books", 10))
        source.send(track("Product Reviewed", name, ago=3 * DAY, properties={"rating": 3 + number % 2}))
        source.send(track("Reader", name))
    source.send(_order("ann", 2, "Lamps", 40))
    for name in OTHERS:
        source.send(identify(name, traits={"country": "DE"}), _order(name, 30, "Lamps", 40))
    process_all()


def _order(name: str, days: int, category: str, price: int) -> dict[str, Any]:
    line = {"product_id": category, "category": category, "price": price, "quantity": 1}
    return track("Order Completed", name, ago=days * DAY, properties={"revenue": price, "products": [line]})


def made(name: str = "Readers", **more: Any) -> Persona:
    segment = live(name.lower(), performed("Reader"))
    return services.create_persona(name=name, group=group_of_segment(segment), by=BY, **more)


def run_now() -> Job:
    """The job that was asked for, done as its task does it."""
    job = services.request_portraits(by=BY)
    portray_task.apply(args=[job.pk])
    job.refresh_from_db()
    assert job.state == JobState.SUCCEEDED, (job.error_code, job.error_message)
    process_all()
    return job


def portrait_of(persona: Persona) -> Portrait:
    return Portrait.from_json(PersonaPortrait.objects.get(persona=persona).figures)


def test_a_portrait_says_what_the_orders_come_to_by_hand(shop: None) -> None:
    persona = made()
    run_now()
    found = portrait_of(persona)
    assert (found.people, found.everybody) == (6, 10)
    said = {one.key: (one.value, one.everyone) for one in found.measures}
    # 6 * 2 * 10 + 40 = 160 of 160 + 4 * 40 = 320, in 13 of 17 orders.
    assert said["revenue_share"] == (pytest.approx(0.5), None)
    assert said["revenue"] == (pytest.approx(160 / 6), pytest.approx(32))
    assert said["order_value"] == (pytest.approx(160 / 13), pytest.approx(320 / 17))
    assert said["orders_per_buyer"] == (pytest.approx(13 / 6), pytest.approx(1.7))
    assert said["buyers_share"] == (1, 1)
    # Their last orders are 2 (ann's lamp), 10, 11, 12, 13 and 14 days old; of everybody four more are 30 days old.
    assert said["recency_days"] == (pytest.approx(11.5, abs=0.01), pytest.approx(13.5, abs=0.01))
    assert said["item_price"] == (10, 10)
    assert found.categories is not None
    assert [(one.key, one.people, one.share, one.everyone) for one in found.categories.rows] == [("Books", 6, 1, 0.6)]
    (country,) = found.demographics or found.traits
    assert country.known == 6 and [(one.label, one.people) for one in country.rows] == [("Switzerland", 5)]
    assert [(one.value, one.everyone, one.people) for one in found.feedback] == [(3.5, 3.5, 6)]
    # Five of them come at any one hour at most if they ordered then; orders stand for visits where there are none.
    assert found.when is not None and found.when.source.startswith("orders") and found.when.people == 6
    sentences = " ".join(one["text"] for one in PersonaPortrait.objects.get(persona=persona).sentences)
    assert "These are 6 people, 60% of everybody, and bring only 50% of revenue." in sentences
    assert "religion" not in str(PersonaPortrait.objects.values()) and "example.com" not in str(
        PersonaPortrait.objects.values()
    )


def test_who_does_not_permit_it_or_objects_is_in_no_figure_and_has_no_persona(shop: None) -> None:
    decide("ann", "internal_analysis", Decision.DENIED)
    persona = made()
    run_now()
    assert portrait_of(persona).people == 5 and "persona.persona" not in scores_of(person("ann"))
    stop(profile=person("bob"), kind=StopKind.PROFILING, by=BY)
    run_now()
    found = PersonaPortrait.objects.get(persona=persona)
    assert found.people is None and found.sentences == [] and portrait_of(persona).measures == ()
    assert "persona.persona" not in scores_of(person("bob"))


def test_personas_are_scores_and_rules_follow_them_by_key_and_by_name(shop: None) -> None:
    first = made("Readers")
    everybody = live("everybody", {"everyone": True})
    second = services.create_persona(name="All of them", group=group_of_segment(everybody), by=BY)
    run_now()
    assert scores_of(person("ann")) == {
        "persona.persona": {"number": None, "label": "Readers"},
        "persona.readers": {"number": 1, "label": None},
        "persona.all-of-them": {"number": 1, "label": None},
    }
    assert scores_of(person("gus"))["persona.persona"]["label"] == "All of them"
    by_key = services.make_segment(persona=first, by=BY, user=User.objects.create_user("mark"))
    set_live(by_key)
    by_name = live("named", {"score": "persona.persona", "op": "equals", "value": "All of them"})
    assert members(by_key) == set(READERS) and members(by_name) == set(OTHERS)

    for persona, change in [(first, {"is_active": False}), (second, {"name": "Others"})]:
        with pytest.raises(services.PersonaInUse):
            services.change_persona(persona=persona, by=BY, **change)
        with pytest.raises(services.PersonaInUse):
            services.delete_persona(persona=persona, by=BY)
    services.move_persona(persona=second, steps=-1, by=BY)
    run_now()
    assert members(by_name) == {*READERS, *OTHERS}, "the first by the order given is theirs"
    set_live(by_name, {"everyone": True})
    services.delete_persona(persona=second, by=BY)
    run_now()
    assert published_scores(["persona"])["persona"].keys() == {"persona", "readers"}
    actions = set(AuditEntry.objects.filter(action__startswith="persona").values_list("action", flat=True))
    assert actions == {"persona.created", "persona.moved", "persona.deleted", "personas.portrayed"}


def test_stopped_or_killed_half_way_nothing_is_seen_of_it_and_the_next_run_appears_once(shop: None) -> None:
    persona = made()
    run_now()
    before = PersonaPortrait.objects.get(persona=persona).drawn_at
    tracker().send(track("Reader", "gus"))
    process_all()

    class Killed(BaseException):
        pass

    for phase in ("who belongs", "purchases and visits", "factors", "publishing"):
        job = services.request_portraits(by=BY)

        def progress(done: int, total: int, said: str, phase: str = phase) -> None:
            if said == phase:
                raise Killed

        with pytest.raises(Killed):
            portray(job=job, progress=progress)
        assert PersonaPortrait.objects.get(persona=persona).drawn_at == before
        assert ScoreRun.objects.filter(kind="persona").count() == 1, "what nobody reads is gone"
    # As a worker leaves it that is shot: its scores lie about, and its lease runs out.
    ScoreRun.objects.create(kind="persona", version="half")
    past = datetime.now(UTC) - timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(state=JobState.RUNNING, lease_until=past, attempts=1)
    send_stranded()
    portray_task.apply(args=[job.pk])
    assert PersonaPortrait.objects.get(persona=persona).people == 7
    assert ScoreRun.objects.filter(kind="persona", is_current=True).count() == 1
    assert ScoreRun.objects.filter(kind="persona", published_at=None).count() == 0

    job = services.request_portraits(by=BY)
    cancel(job=job, by=BY)
    portray_task.apply(args=[job.pk])
    job.refresh_from_db()
    assert job.state == JobState.CANCELLED
    with pytest.raises(JobCancelled):
        portray(job=job, progress=lambda done, total, phase: (_ for _ in ()).throw(JobCancelled(1)))


def test_a_change_while_they_are_drawn_is_drawn_too(shop: None) -> None:
    persona = made()
    changed: list[str] = []

    def progress(done: int, total: int, phase: str) -> None:
        if phase == "factors" and not changed:
            changed.append(phase)
            services.change_persona(persona=persona, name="Bookworms", by=BY)

    portray(job=services.request_portraits(by=BY), progress=progress)
    assert scores_of(person("ann"))["persona.persona"]["label"] == "Bookworms"


def test_what_can_be_portrayed_is_named_and_refused_in_words(shop: None) -> None:
    user = User.objects.create_superuser("root")
    segment = live("readers", performed("Reader"))
    assert group_named(f"segment:{segment.uuid}", user=user).segment == segment
    for value, code in [
        ("", "source_missing"), ("segment:nonsense", "source_unknown"), ("rfm:champions", "source_unknown"),
        ("cluster:x:1", "source_unknown"), ("thing:1", "source_unknown"),
    ]:  # fmt: skip
        with pytest.raises(DomainError) as refused:
            group_named(value, user=user)
        assert refused.value.code == code
    persona = services.create_persona(name="Persona", group=group_of_segment(segment), by=BY)
    assert persona.key != "persona", "which names everybody's own"
    with pytest.raises(DomainError) as refused:
        services.create_persona(name="persona", group=group_of_segment(segment), by=BY)
    assert refused.value.code == "name_taken"


def test_portraits_are_asked_for_once_a_night_and_only_where_there_are_personas(shop: None) -> None:
    assert request_due_portraits() is None
    made()
    Job.objects.filter(kind=services.PORTRAY_KIND).update(
        created_at=datetime.now(UTC) - timedelta(days=2), state="failed"
    )
    Job.objects.create(kind="segments.rfm", state=JobState.RUNNING)
    assert request_due_portraits() is None, "other analyses first"
    Job.objects.update(state=JobState.SUCCEEDED, finished_at=datetime.now(UTC))
    assert request_due_portraits() is not None and request_due_portraits() is None


def test_a_portrait_of_a_deleted_segment_stays_and_its_score_ends(shop: None) -> None:
    persona = made()
    run_now()
    Persona.objects.update(segment=None)
    run_now()
    assert PersonaPortrait.objects.get(persona=persona).people is None
    assert published_scores(["persona"]) == {"persona": {}}
    assert Trait.objects.exists()


def test_rfm_groups_and_clusters_are_portrayed_by_the_scores_that_are_read_now(shop: None) -> None:
    def scored(kind: str, key: str, said: dict[str, tuple[int | None, str]]) -> None:
        run = start_run(kind=kind, version="1", by=BY)
        add_scores(run=run, scores=[Scored(person(name).pk, key, *one) for name, one in said.items()])
        publish_run(run=run, by=BY)

    clustering = Clustering.objects.create(
        key="taste", name="Taste", purpose=Purpose.objects.get(key="internal_analysis")
    )
    scored("rfm", "group", dict.fromkeys(READERS, (None, "Can't lose them")))
    scored("clusters-taste", "cluster", dict.fromkeys((*READERS[:2], *OTHERS), (2, "Lamps")) | {"cyd": (-1, "None")})
    user = User.objects.create_superuser("root")
    rfm, clusters = groups_of_scores()
    assert [(one.value, one.people) for one in rfm] == [("rfm:cant-lose-them", 6)]
    assert [(one.value, one.name, one.people) for one in clusters] == [
        (f"cluster:{clustering.uuid}:2", "Taste: Lamps", 6)
    ], "who is in no cluster is no group"
    personas = [
        services.create_persona(name=name, group=group_named(value, user=user), by=BY)
        for name, value in (("Savers", "rfm:Can't lose them"), ("Lit", clusters[0].value))
    ]
    run_now()
    assert [portrait_of(one).people for one in personas] == [6, 6]
    scored("clusters-taste", "cluster", dict.fromkeys(OTHERS, (2, "Other words")))
    scored("rfm", "group", dict.fromkeys(READERS, (None, "Lost")))
    run_now()
    assert [portrait_of(one).people for one in personas] == [None, None], "four, and none"
    assert published_scores(["persona"])["persona"].keys() == {"persona", "lit"}
