"""The screens of RFM: each state they can be in, what is picked, and what is done on them."""

import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from cdp.audit.models import AuditEntry
from cdp.jobs.models import Job, JobState
from cdp.profiles.models import ScoreRun
from cdp.profiles.score_services import Scored, add_scores, publish_run, start_run
from segments.analytics.rfm_groups import DEFAULT_SCHEME
from segments.models import Segment
from segments.rfm.models import RfmMove, RfmRun, RfmSettings
from segments.rfm.moving import moves_since
from segments.rfm.services import request_run
from tests.factories import BY, identify, members, person, process_all, refresh_now, track, tracker
from tests.integration.rfm_runs import AS_OF, complete_run

pytestmark = pytest.mark.django_db

PAGE = "segments_rfmrun_changelist"


def url(name: str) -> str:
    return reverse(f"admin:{name}")


def logged_in(role: str) -> Client:
    user = User.objects.create_user(role, password="not used", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def text(response: HttpResponse) -> str:
    """What is read, with single blanks between words."""
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", response.content.decode(), flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


@pytest.fixture
def marketer() -> Client:
    return logged_in("marketer")


# ---- What is seen ----------------------------------------------------------------------------------------------------


def test_before_the_first_run_it_says_what_is_missing_and_who_may_start(marketer: Client) -> None:
    page = marketer.get(url(PAGE))
    assert "Never worked out yet" in text(page) and "There are no orders yet" in text(page)
    assert "Work it out now" in text(page)
    source = tracker()
    source.send(track("Order Completed", "ann", properties={"order_id": "1", "revenue": 10}))
    process_all()
    assert "Everybody who bought in the 12 months" in text(marketer.get(url(PAGE)))
    looking = logged_in("compliance").get(url(PAGE))
    assert "Work it out now" not in text(looking) and "Your role may look, not start it." in text(looking)
    for tab in ("distributions", "movers", "runs"):
        assert "Never worked out yet" in text(marketer.get(url(f"segments_rfmrun_{tab}")))


def test_who_may_not_see_it_is_told_so() -> None:
    integrator = logged_in("integrator")
    assert integrator.get(url(PAGE)).status_code == 403
    assert url(PAGE) not in integrator.get("/admin/").content.decode()


def test_the_grid_has_people_revenue_and_group_of_each_cell(marketer: Client) -> None:
    complete_run({(5, 5): 8, (1, 1): 12}, notes=["Only two cells have people."])
    page = marketer.get(url(PAGE), {"pick": "5-5"})
    said = text(page)
    assert "People who bought 20" in said and "Revenue, net 2,600.00 EUR" in said and "Only two cells" in said
    assert "R 5, FM 5: Champions 8 people, 77% of revenue , picked" in said
    assert page.content.decode().count('class="rf-c"') == 25
    assert "bought in the last 12 days" in said and "6 orders or more" in said
    picked = said[said.index("R 5, FM 5: 8 people") :]
    assert "2,000.00 EUR, 77%" in picked and "Average order 25.00 EUR" in picked and "Thank them" in picked
    assert 'value="Champions (R 5, FM 5)"' in page.content.decode()


def test_a_group_and_several_cells_are_picked_together(marketer: Client) -> None:
    complete_run({(5, 5): 8, (4, 5): 2, (1, 1): 12})
    assert "Champions: 10 people" in text(marketer.get(url(PAGE), {"group": "Champions"}))
    several = marketer.get(url(PAGE), {"pick": "5-5.1-1", "several": "1"})
    assert "R 5, FM 5; R 1, FM 1: 20 people" in text(several)
    assert "?several=1&amp;pick=1-1" in several.content.decode(), "a press on a picked cell lets it go"


def test_an_earlier_run_is_looked_at_and_an_unknown_one_is_the_newest(marketer: Client) -> None:
    old = complete_run({(1, 1): 7}, as_of=AS_OF - timedelta(days=1))
    complete_run({(5, 5): 9})
    earlier = marketer.get(url(PAGE), {"run": old.pk})
    assert "People who bought 7" in text(earlier) and "an earlier run. Show the newest" in text(earlier)
    assert f"{url('segments_rfmrun_movers')}?run={old.pk}" in earlier.content.decode()
    for unknown in ("0", "x", "9" * 30, "²"):
        assert "People who bought 9" in text(marketer.get(url(PAGE), {"run": unknown}))


def test_a_loss_has_no_shares_and_nobody_no_means(marketer: Client) -> None:
    run = complete_run({(5, 5): 8})
    run.cells = [one | {"revenue": "-10.0000"} if one["people"] else one for one in run.cells]
    run.save()
    page = marketer.get(url(PAGE), {"pick": "5-5", "by": "revenue"})
    assert page.status_code == 200 and "Revenue, net -10.00 EUR" in text(page)
    assert "0 people" in text(marketer.get(url(PAGE), {"pick": "1-1"}))


def test_distributions_and_thresholds_over_time_are_drawn(marketer: Client) -> None:
    first = complete_run(as_of=AS_OF - timedelta(days=1))
    complete_run(previous=first, flows=[("New", "Loyal", 3), ("Lost", "Lost", 4)])
    page = marketer.get(url("segments_rfmrun_distributions"))
    assert page.content.decode().count("data-chart=") == 3
    runs = marketer.get(url("segments_rfmrun_runs"))
    assert runs.content.decode().count("data-chart=") == 3
    assert "as they are now" in text(runs) and "the one that rules read" in text(runs)


# ---- Movers ----------------------------------------------------------------------------------------------------------


def test_movers_are_told_since_the_run_before(marketer: Client) -> None:
    first = complete_run(as_of=AS_OF - timedelta(days=1))
    assert "Nothing to compare with yet" in text(marketer.get(url("segments_rfmrun_movers")))
    moves = [("New", "Loyal", 3), ("Loyal", "Lost", 2), ("Lost", "Lost", 5), ("", "New", 4), ("Lost", "", 1)]
    complete_run(previous=first, flows=moves)
    said = text(marketer.get(url("segments_rfmrun_movers")))
    assert "Stayed 5 50.0% of who is in both runs" in said
    assert "Came up 3" in said and "Went down 2" in said and "Came in 4" in said and "Dropped out 1" in said
    assert "Not scored before → to New 4 people" in said and "New → to Loyal up 3 people" in said


def test_between_distant_runs_first_and_last_of_each_persons_moves_count() -> None:
    def day(number: int, **more: object) -> RfmRun:
        return complete_run({(5, 5): 3, (1, 1): 5}, as_of=AS_OF + timedelta(days=number), **more)  # type: ignore[arg-type]

    first = day(0)
    second, third = day(1, previous=first), day(2)
    third.previous = second
    third.save()
    for profile, told in {
        1: [(second, "Lost", "New"), (third, "New", "Champions")],
        2: [(second, "Lost", "New"), (third, "New", "Lost")],
        3: [(third, "", "Champions")],
        4: [(second, "New", ""), (third, "", "Lost")],
        5: [(second, "", "New"), (third, "New", "")],
    }.items():
        for run, before, after in told:
            RfmMove.objects.create(run=run, profile_id=profile, before=before, after=after)
    found = {(one.before, one.after): one.people for one in moves_since(third, first)}
    # Three Champions are 1 and 3 and one who stayed; of the five Lost, 2 came back, 4 is new, three never moved.
    assert found == {
        ("Lost", "Champions"): 1, ("", "Champions"): 1, ("Champions", "Champions"): 1, ("New", "Lost"): 1, ("Lost", "Lost"): 4,
    }  # fmt: skip


# ---- Doing -----------------------------------------------------------------------------------------------------------


def test_a_run_is_followed_cancelled_and_shown_once_it_ended(marketer: Client) -> None:
    assert marketer.post(url("segments_rfmrun_start")).url == url(PAGE)  # type: ignore[attr-defined]
    job = Job.objects.get()
    page = marketer.get(url(PAGE))
    assert (
        "Being worked out" in text(page)
        and "Waiting for its turn" in text(page)
        and "first run is under way" in text(page)
    )
    Job.objects.update(state=JobState.RUNNING, phase="scoring", done=2, total=10)
    standing = marketer.get(url("segments_rfmrun_standing"))
    assert "Scoring, 2 of 10" in text(standing) and "HX-Refresh" not in standing
    marketer.post(url("segments_rfmrun_cancel"))
    job.refresh_from_db()
    assert job.cancel_requested
    Job.objects.update(state=JobState.CANCELLED)
    assert marketer.get(url("segments_rfmrun_standing"))["HX-Refresh"] == "true"
    assert "The last try was cancelled" in text(marketer.get(url(PAGE)))
    assert "Nothing is being worked out now." in text(marketer.post(url("segments_rfmrun_cancel"), follow=True))


def test_what_came_to_nothing_says_why_and_the_run_before_stays(marketer: Client) -> None:
    complete_run({(5, 5): 8})
    run = request_run(by=BY)
    RfmRun.objects.filter(pk=run.pk).update(problem="Nobody bought in the 30 days before 1 May 2026.")
    Job.objects.update(state=JobState.FAILED, error_code="nobody_bought")
    said = text(marketer.get(url(PAGE)))
    assert "came to nothing" in said and "Nobody bought in the 30 days" in said and "People who bought 8" in said
    RfmRun.objects.filter(pk=run.pk).update(problem="")
    Job.objects.update(error_code="internal", error_message="KeyError")
    said = text(marketer.get(url(PAGE)))
    assert "for a reason that isn't yours" in said.replace("&#x27;", "'") and "KeyError" not in said


def scored(**cells: tuple[int, int]) -> None:
    tracker().send(*(identify(name) for name in cells))
    process_all()
    run = start_run(kind="rfm", version="1", by=BY)
    said = []
    for name, (r, fm) in cells.items():
        group = "Champions" if min(r, fm) > 3 else "Lost"
        pk = person(name).pk
        said += [Scored(pk, "recency", Decimal(r)), Scored(pk, "fm", Decimal(fm)), Scored(pk, "group", label=group)]
    add_scores(run=run, scores=said)
    publish_run(run=run, by=BY)


def test_a_segment_of_what_is_picked_is_live_and_has_just_these_people(marketer: Client) -> None:
    scored(ann=(5, 5), bob=(4, 5), cyd=(1, 1), dee=(5, 4))
    run = complete_run()
    for given, who in (
        ({"pick": "5-5.4-5"}, {"ann", "bob"}),
        ({"group": "Champions"}, {"ann", "bob", "dee"}),
        ({"pick": "1-1"}, {"cyd"}),
    ):
        made = marketer.post(url("segments_rfmrun_segment"), {"name": f"Of {given}", "run": run.pk, **given})
        segment = Segment.objects.get(name=f"Of {given}")
        assert made.url == reverse("admin:segments_segment_detail", args=[segment.uuid])  # type: ignore[attr-defined]
        refresh_now(segment)
        assert segment.status == "live" and members(segment) == who


def test_a_segment_without_a_name_or_cells_is_refused_at_its_field(marketer: Client) -> None:
    scored(ann=(5, 5))
    run = complete_run()
    refused = marketer.post(url("segments_rfmrun_segment"), {"pick": "5-5", "run": run.pk, "name": " "})
    assert refused.status_code == 422 and 'id="segment-error"' in refused.content.decode()
    assert marketer.post(url("segments_rfmrun_segment"), {"run": run.pk, "name": "x"}).status_code == 422
    assert not Segment.objects.exists()


def test_figures_are_taken_away_on_record_and_by_group_and_cell_alone(marketer: Client) -> None:
    run = complete_run({(5, 5): 8, (1, 1): 12})
    groups = b"".join(marketer.get(url("segments_rfmrun_groups_csv"), {"run": run.pk}).streaming_content).decode()  # type: ignore[attr-defined]
    lines = groups.splitlines()
    assert lines[0].startswith("group,people,people_share,revenue_eur,") and len(lines) == 12
    assert lines[1].startswith("Champions,8,0.400000,2000.00,0.769231,80,25.00,30.00,10.0000,250.00,")
    cells = b"".join(marketer.get(url("segments_rfmrun_cells_csv")).streaming_content).decode()  # type: ignore[attr-defined]
    assert len(cells.splitlines()) == 26
    taken = AuditEntry.objects.filter(action="rfm.exported").order_by("pk").values_list("detail__what", flat=True)
    assert set(taken) == {"groups", "cells"}


# ---- Settings --------------------------------------------------------------------------------------------------------


def form(page: HttpResponse) -> dict[str, list[str]]:
    """What the settings' form would send as it stands."""
    body = page.content.decode()
    body = body[body.index('id="rfm-settings"') :]
    sent: dict[str, list[str]] = {}
    for tag in re.findall(r"<select\b.*?</select>|<input\b[^>]*>", body, flags=re.S):
        name = re.search(r'\bname="([^"]+)"', tag)
        if name is None or ('type="checkbox"' in tag and " checked" not in tag):
            continue
        chosen = re.search(r'<option value="([^"]*)" selected', tag) if tag.startswith("<select") else None
        value = chosen or re.search(r'\bvalue="([^"]*)"', tag)
        sent.setdefault(name[1], []).append(value[1].replace("&#x27;", "'") if value else "")
    return sent


def test_settings_are_saved_as_they_stand_and_said_to_be_for_the_next_run(marketer: Client) -> None:
    complete_run()
    page = marketer.get(url("segments_rfmrun_settings"))
    assert "All 25 cells have a group, and each of the 11 rows takes some." in text(page)
    sent = form(page)
    assert sent["name"][:2] == ["Champions", "Loyal"] and len(sent["r_low"]) == 11
    sent |= {"window_days": ["180"], "frequency-how": ["fixed"], "is_nightly": []}
    sent |= {f"frequency-value-{n}": [str(n + 1)] for n in range(4)}
    saved = marketer.post(url("segments_rfmrun_settings"), {**sent, "save": "1"}, follow=True)
    assert "Scores are as they were until the next run" in text(saved)
    settings = RfmSettings.current()
    assert settings.as_scheme.window_days == 180 and not settings.is_nightly
    assert settings.as_scheme.frequency.values == (1, 2, 3, 4) and settings.as_scheme.groups == DEFAULT_SCHEME.groups
    assert not Job.objects.exists()
    marketer.post(url("segments_rfmrun_settings"), {**sent, "save": "run"})
    assert RfmRun.objects.get(published_at=None).as_scheme.window_days == 180


def test_steps_on_the_table_are_checked_at_once_and_nothing_with_gaps_is_saved(marketer: Client) -> None:
    complete_run({(5, 5): 8, (1, 1): 12})
    sent = form(marketer.get(url("segments_rfmrun_settings")))
    gap = marketer.post(url("segments_rfmrun_draft"), {**sent, "do": "remove-10"})
    assert "1 of 25 cells belong to no group: R 1, FM 1." in text(gap) and "no group" in text(gap)
    assert re.search(r'name="save" value="1" disabled', gap.content.decode())
    assert "Lost 12 0" in text(gap), "who was in it is told before it is saved"
    refused = marketer.post(url("segments_rfmrun_settings"), {**form(gap), "save": "1"})
    assert refused.status_code == 422 and RfmSettings.current().as_scheme == DEFAULT_SCHEME
    up = marketer.post(url("segments_rfmrun_draft"), {**sent, "do": "up-1"})
    assert "“Champions” gets nobody: “Loyal”" in text(up).replace("&quot;", '"') or "Champions" in text(up)
    assert 'data-focus="up-0"' in up.content.decode() and form(up)["name"][:2] == ["Loyal", "Champions"]
    back = marketer.post(url("segments_rfmrun_draft"), {**form(gap), "do": "defaults"})
    assert form(back)["name"] == [row.name for row in DEFAULT_SCHEME.groups]


def test_who_may_only_look_changes_nothing() -> None:
    looking = logged_in("compliance")
    page = looking.get(url("segments_rfmrun_settings"))
    assert "Your role may look at the settings, not change them." in text(page)
    assert not re.search(r"<button[^>]*name=\"(do|save)\"", page.content.decode())
    for name in ("settings", "draft", "start", "cancel", "segment"):
        assert looking.post(url(f"segments_rfmrun_{name}")).status_code == 403


# ---- A person's page -------------------------------------------------------------------------------------------------


def test_a_persons_page_says_the_group_what_it_means_and_since_when(marketer: Client) -> None:
    scored(ann=(5, 5), bob=(1, 1))
    first = complete_run(as_of=AS_OF - timedelta(days=9))
    run = complete_run(previous=first)
    RfmRun.objects.filter(pk=run.pk).update(score_run_id=ScoreRun.objects.get().pk)
    page = reverse("admin:profiles_profile_detail", args=[person("ann").uuid])
    said = text(marketer.get(page))
    assert "RFM group Champions" in said and "Bought lately, buy often and spend the most." in said
    assert "Recency 5 of 5" in said and "since" not in said[said.index("In the grid") :][:60]
    RfmMove.objects.create(run=first, profile_id=person("ann").pk, before="", after="Loyal")
    RfmMove.objects.create(run=run, profile_id=person("ann").pk, before="Loyal", after="Champions")
    assert "Champions since 23 Nov 2026 , before that Loyal" in text(marketer.get(page))
    ScoreRun.objects.update(is_current=False)
    assert "RFM group" not in text(marketer.get(page))
