"""Previews: estimates from a sample, limits on what they cost, and places for them. Who ends whom is in test_superseding."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from cdp.audit.models import AuditEntry
from cdp.profiles.models import Profile, Trait, Workspace
from consent.models import Purpose
from segments import previews
from segments.catalogue import catalog
from segments.engines import estimating, postgres
from segments.models import Segment
from segments.previews import Accuracy, preview
from segments.refresh import refresh
from segments.rules import load
from segments.rules.limits import MAX_DEPTH, MAX_LEAVES
from segments.running import Superseded, Ticket
from tests.factories import performed, process_all, rule, track, tracker
from tests.integration.callers import found, key, logged_in, problem

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
PEOPLE, ASKED = 2000, 500
# Ids of our own, so that who is drawn is the same in every run.
FIRST = 5_000_000
LOW = {"trait": "points", "op": "lt", "value": 400}  # 40 of 100
RARE = {"trait": "points", "op": "gte", "value": 999.5}  # nobody


@pytest.fixture
def crowd(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """People with 0 to 999 points, as many with each, and one more of whom nothing is known."""
    settings.PREVIEW_SAMPLE = ASKED
    monkeypatch.setattr(previews, "FIRST_SECONDS", 5)  # however busy the machine
    previews.forget()
    Workspace.objects.update_or_create(pk=1, defaults={"frozen_at": NOW})
    points = Trait.objects.create(key="points", label="Points", type="number")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO profiles_profile (id, uuid, traits, first_seen_at, last_seen_at, created_at)"
            " SELECT n, gen_random_uuid(), '{}', now(), now(), now() FROM generate_series(%s, %s) AS n",
            [FIRST, FIRST + PEOPLE],
        )
        cursor.execute(
            "INSERT INTO profiles_traitvalue (trait_id, profile_id, number, raw, occurred_at, message_id)"
            " SELECT %s, n, n %% 1000, to_jsonb(n %% 1000), now(), 'made' FROM generate_series(%s, %s) AS n",
            [points.pk, FIRST, FIRST + PEOPLE - 1],
        )
    yield
    previews.forget()


def estimate(condition: dict[str, Any], **more: Any) -> previews.Preview:
    purpose = Purpose.objects.get(key="internal_analysis")
    return preview(rule=rule(condition), purpose=purpose, accuracy=Accuracy.SAMPLE, **more)


# ---- Estimates -------------------------------------------------------------------------------------------------


def test_an_estimate_says_of_how_many_it_was_made_and_how_far_off_it_may_be(crowd: None) -> None:
    seen = estimate(LOW)
    assert (seen.accuracy, seen.sampled, seen.of) == (Accuracy.SAMPLE, ASKED, PEOPLE + 1)
    assert seen.interval is not None and seen.count is not None
    assert seen.interval.low <= PEOPLE * 0.4 <= seen.interval.high
    assert 100 < seen.interval.high - seen.interval.low < 200
    assert seen.share == seen.count / (PEOPLE + 1)
    assert seen.sample == []


def test_an_estimate_asks_the_same_people_all_day_and_others_the_next(crowd: None) -> None:
    first = [estimate(LOW, as_of=NOW + timedelta(hours=hour)).count for hour in (0, 5, 11)]
    assert len(set(first)) == 1
    assert len({estimate(LOW, as_of=NOW + timedelta(days=day)).count for day in range(10)}) > 3


def test_whoever_comes_or_goes_is_in_the_sample_or_out_of_it_at_once(crowd: None) -> None:
    drawn = _drawn()
    assert len(drawn) == ASKED
    Profile.objects.filter(pk__in=sorted(drawn)[:50]).delete()
    assert len(_drawn()) == ASKED
    assert len(_drawn() & drawn) == ASKED - 50


def _drawn(**operands: int) -> set[int]:
    params = {"ring_start": estimating.point_of(NOW.date()), "ring_size": ASKED} | operands
    with connection.cursor() as cursor:
        cursor.execute(f"{estimating.SAMPLED} SELECT id FROM sampled", params)
        return {row[0] for row in cursor.fetchall()}


@pytest.mark.parametrize("start", [-(2**63), 2**63 - 1, 0])
def test_the_ring_has_no_end(crowd: None, start: int) -> None:
    assert len(_drawn(ring_start=start)) == ASKED


def test_a_sample_is_read_from_an_index(crowd: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        cursor.execute(f"EXPLAIN {estimating.SAMPLED} SELECT id FROM sampled", {"ring_start": 0, "ring_size": ASKED})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert plan.count("Index Only Scan using profiles_at_random") == 2


def test_an_estimate_is_what_the_rule_says_of_the_people_drawn(crowd: None) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann"))
    process_all()
    asked = {
        "any": [{"all": [LOW, {"not": {"trait": "points", "op": "lt", "value": 100}}]}, {"not": performed("Bought")}]
    }
    seen, known, drawn = estimate(asked, with_parts=True), catalog(), _drawn()
    assert seen.parts is not None and len(seen.parts) == 7
    for part in seen.parts:
        condition: Any = rule(asked)
        for step in part.pointer.split("/")[1:]:
            condition = condition[int(step) if step.isdecimal() else step]
        condition = {"version": 1, **condition}
        true_of = postgres.among(load(condition, known), known, as_of=NOW, scope=drawn)
        assert part.interval is not None
        assert part.count == (round(len(true_of) / ASKED * seen.of) if true_of else None), part.pointer
    assert seen.count == seen.parts[0].count


def test_nobody_in_the_sample_is_not_nobody(crowd: None) -> None:
    body = found(key().post("segments/preview/", {"rule": rule(RARE), "accuracy": "sample"}))
    assert (body["count"], body["share"], body["interval"]["low"]) == (None, None, 0)
    assert 10 < body["interval"]["high"] < 20
    exact = found(key().post("segments/preview/", {"rule": rule(RARE)}))
    assert (exact["count"], exact["interval"], exact["accuracy"], exact["sampled"]) == (0, None, "exact", None)


def test_where_there_are_few_people_the_first_answer_is_exact_and_says_so(crowd: None, settings: Any) -> None:
    settings.PREVIEW_SAMPLE = PEOPLE + 2
    body = found(key().post("segments/preview/", {"rule": rule(LOW), "accuracy": "sample", "counts": True}))
    assert (body["accuracy"], body["count"], body["total"]) == ("exact", PEOPLE * 0.4, PEOPLE + 1)
    assert (body["interval"], body["sampled"], body["parts"][0]["interval"]) == (None, None, None)
    settings.PREVIEW_SAMPLE = PEOPLE + 1
    assert found(key().post("segments/preview/", {"rule": rule(LOW), "accuracy": "sample"}))["accuracy"] == "sample"


def test_what_should_take_long_even_of_a_sample_is_asked_of_fewer(crowd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "QUICK_COST", 0)
    seen = estimate(LOW)
    assert seen.sampled == ASKED // 10
    assert seen.interval is not None and seen.interval.low <= PEOPLE * 0.4 <= seen.interval.high


def _begin_with(statement: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each count begins with the statement; gives the time limits that were in force."""
    limits: list[str] = []
    counted = estimating.counted

    def begun(text: Any) -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('statement_timeout')")
            limits.append(cursor.fetchone()[0])
            if len(limits) == 1:
                cursor.execute(statement)
        return counted(text)

    monkeypatch.setattr(estimating, "counted", begun)
    return limits


def test_what_takes_long_against_expectation_is_asked_of_fewer(crowd: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(previews, "FIRST_SECONDS", 0.06)
    limits = _begin_with("SELECT pg_sleep(20)", monkeypatch)
    seen = estimate(LOW, with_parts=True)
    assert seen.sampled == ASKED // 10
    assert seen.interval is not None and seen.interval.low <= PEOPLE * 0.4 <= seen.interval.high
    assert limits == ["60ms", "5s"]


def test_a_first_answer_that_somebody_cuts_off_is_not_asked_of_fewer(
    crowd: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = _begin_with("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(20)", monkeypatch)
    with pytest.raises(Superseded):
        estimate(LOW, ticket=Ticket(caller=1, token=uuid4()))
    assert limits == ["5s"]


def test_few_are_asked_one_by_one_and_many_together_with_one_meaning(crowd: None) -> None:
    shop = tracker()
    shop.send(track("Bought", "ann"), track("Bought", "bob"), track("Looked", "ann"))
    process_all()
    known = catalog()
    asked: list[dict[str, Any]] = [
        LOW,
        {"not": LOW},
        {"any": [LOW, performed("Bought", within={"days": 3})]},
        {"all": [performed("Bought"), {"not": performed("Looked", within={"days": 3})}]},
        {"sequence": [{"performed": "Looked"}, {"performed": "Bought"}]},
        {"everyone": True},
    ]
    # More than there are: everybody is asked, those who did something too.
    for size in (7, 100, PEOPLE * 2):
        rules = [load(rule(one), known) for one in asked]
        together, one_by_one = (
            estimating.counted(
                estimating.sampled_counts_of(rules, known, as_of=NOW, size=size, day=NOW.date(), one_by_one=way)
            )
            for way in (False, True)
        )
        assert together == one_by_one
        assert together[0] == min(size, PEOPLE + 3)


def test_an_estimate_over_rest_shows_nobody_and_is_on_record(crowd: None) -> None:
    asked = {"rule": rule(LOW), "accuracy": "sample", "purpose": "internal_analysis"}
    body = found(key().post("segments/preview/", asked))
    assert (body["accuracy"], body["sampled"], body["sample"]) == ("sample", ASKED, None)
    assert body["interval"]["low"] < body["count"] < body["interval"]["high"]
    entry = AuditEntry.objects.get(action="segment.previewed")
    assert (entry.detail["sampled"], entry.detail["count"], entry.detail["sample"]) == (ASKED, body["count"], [])


def test_how_accurate_must_be_known(crowd: None) -> None:
    assert (
        problem(key().post("segments/preview/", {"rule": rule(LOW), "accuracy": "roughly"}), 400)["pointer"]
        == "/accuracy"
    )


# ---- In the editor ---------------------------------------------------------------------------------------------


@pytest.fixture
def marketer(crowd: None) -> Client:
    caller = logged_in("marketer")
    caller.user.is_staff = True
    caller.user.save()
    caller.client.handler.enforce_csrf_checks = False
    return caller.client


@pytest.fixture
def panel(marketer: Client) -> Callable[..., HttpResponse]:
    def ask(condition: dict[str, Any] | str, **more: str) -> HttpResponse:
        text = condition if isinstance(condition, str) else json.dumps(rule(condition))
        sent = {"rule": text, "purpose": "internal_analysis", "preview": str(uuid4())} | more
        return marketer.post(reverse("admin:segments_segment_preview"), sent)

    return ask


def test_the_panel_gives_an_estimate_that_asks_for_the_exact_count_by_itself(panel: Any) -> None:
    text = panel(LOW).content.decode()
    assert re.search(r"<b>about \d+0</b>", text) and "from 500 people" in text
    assert 'hx-trigger="load"' in text and '"accuracy": "exact"' in text
    assert "fewer than 17</b> of 2,001 people" in panel(RARE).content.decode()
    exact = panel(LOW, accuracy="exact").content.decode()
    assert "<b>800</b>" in exact and "Exact" in exact and "preview-exact" not in exact
    assert "draft/permits/" in exact and "draft/permits/" not in text, "who permits what comes last"


def test_while_somebody_writes_nobody_is_shown_and_what_is_not_sound_changes_nothing(panel: Any) -> None:
    assert panel("{", typed="1").status_code == 204
    assert panel({"trait": "nothing", "op": "exists"}, typed="1").status_code == 204
    assert "Mend the rule first" in panel("{").content.decode()
    assert panel(LOW, typed="1", accuracy="exact").status_code == 200
    assert AuditEntry.objects.get(action="segment.previewed").detail["sample"] == []


def test_what_keeps_everybody_from_being_counted_stands_below_the_estimate(panel: Any, settings: Any) -> None:
    settings.RULE_COST_LIMIT = 0.001
    for accuracy, target in (("exact", "#preview-exact"), ("sample", None)):
        response = panel(LOW, accuracy=accuracy)
        assert "times what one may cost" in response.content.decode()
        assert response.headers.get("HX-Retarget") == target


# ---- Hostile and huge rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [150, 400, 900, 5000, 80_000])
@pytest.mark.parametrize(("opening", "closing"), [('{"not":', "}"), ('{"all":[', "]}"), ("[", "]"), ('{"a":', "}")])
def test_bombs_are_refused_at_every_door(marketer: Client, depth: int, opening: str, closing: str) -> None:
    text = opening * depth + "1" + closing * depth
    assert problem(key().post("segments/preview/", '{"rule": ' + text + "}"), 400)["detail"]
    assert problem(key().post("segments/", '{"name": "x", "rule": ' + text + "}"), 400)["detail"]
    said = marketer.post(reverse("admin:segments_segment_check"), {"rule": text})
    assert "nested" in said.content.decode()
    seen = marketer.post(reverse("admin:segments_segment_preview"), {"rule": text, "purpose": "internal_analysis"})
    assert "Mend the rule first" in seen.content.decode()
    assert marketer.post(reverse("admin:segments_segment_new"), {"rule": text, "name": "x"}).status_code == 422


def test_the_deepest_and_largest_rules_go_all_the_way(crowd: None) -> None:
    deep: dict[str, Any] = LOW
    for level in range(MAX_DEPTH - 1):
        deep = {"not": deep} if level % 3 == 0 else {("any", "all")[level % 2]: [LOW, deep]}
    large = {"any": [{"trait": "points", "op": "equals", "value": n} for n in range(MAX_LEAVES)]}
    caller = key()
    for name, condition in (("deep", deep), ("large", large)):
        sent = {"rule": rule(condition), "counts": True}
        exact = found(caller.post("segments/preview/", sent))
        quick = found(caller.post("segments/preview/", {**sent, "accuracy": "sample"}))
        assert len(exact["parts"]) == len(quick["parts"]) > MAX_DEPTH
        made = found(caller.post("segments/", {"name": name, "rule": rule(condition), "publish": True}), 201)
        refresh(segment=Segment.objects.get(key=made["key"]), progress=lambda done, total, phase: None)
        assert Segment.objects.get(key=name).memberships.count() == exact["count"] > 0
        found(caller.patch(f"segments/{name}/", {"rule": rule({"not": LOW})}))
        assert found(caller.get(f"segments/{name}/versions/1/diff/2/"))["changes"]
        somebody = Profile.objects.get(pk=FIRST + 7)
        told = found(caller.get(f"segments/{name}/why/uuid:{somebody.uuid}/?version=1"))
        assert told["holds"] is somebody.memberships.filter(segment__key=name).exists()
