"""Reviewing a draft, saving it, and what stands around it: who may, what is told, what is recorded, and that nothing is lost."""

import json
import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from cdp.audit.models import AuditEntry
from cdp.profiles.models import Profile
from consent.models import Decision, Purpose
from consent.querysets import permitted
from segments.models import Segment, SegmentStatus
from segments.rule_files import written
from segments.services import archive, save_version
from segments.sharing import share_segment
from segments.text import lay_out
from tests.factories import BY, draft, identify, live, person, process_all, rule, track, tracker
from tests.integration.callers import Caller, decide, logged_in

pytestmark = pytest.mark.django_db

HOSTILE = "<img src=x onerror=alert(1)>"
HTMX = {"HX-Request": "true"}
BERN: dict[str, Any] = {"trait": "city", "op": "equals", "value": "Bern"}
OLD: dict[str, Any] = {"trait": "age", "op": "gte", "value": 26}
OLD_OF_BERN: dict[str, Any] = {"all": [BERN, OLD]}
EITHER: dict[str, Any] = {"any": [BERN, OLD]}


@pytest.fixture
def people(db: None) -> None:
    """Eight of Bern, u0 to u7, and two of Basel; u6 to u9 are 26 or older."""
    tracker().send(
        *(
            identify(
                f"u{n}", traits={"city": "Bern" if n < 8 else "Basel", "age": 20 + n, "email": f"u{n}@example.com"}
            )
            for n in range(10)
        ),
        track("Looked", "u0"),
    )
    process_all()


@pytest.fixture
def bern(people: None) -> Segment:
    segment = live("bern", BERN)
    segment.purposes.set(Purpose.objects.filter(key__in=["marketing_email", "internal_analysis"]))
    return segment


def reader(role: str = "marketer") -> Caller:
    caller = logged_in(role)
    User.objects.filter(pk=caller.user.pk).update(is_staff=True)
    caller.client.handler.enforce_csrf_checks = False
    return caller


def post(caller: Caller, name: str, /, *parts: Any, htmx: bool = True, **sent: Any) -> HttpResponse:
    address = reverse(f"admin:segments_segment_{name}", args=parts)
    return caller.client.post(address, sent, headers=HTMX if htmx else {})  # type: ignore[no-any-return]


def text_of(condition: dict[str, Any]) -> str:
    return lay_out(rule(condition))


def shown(response: HttpResponse, status: int = 200) -> str:
    assert response.status_code == status, response.content[:500]
    return unescape(re.sub(r"\s+", " ", response.content.decode()))


# ---- Review ----------------------------------------------------------------------------------------------------------


def test_a_review_shows_what_changes_in_the_rule_and_saves_nothing(bern: Segment) -> None:
    page = shown(post(reader(), "review", bern.uuid, rule=text_of(OLD_OF_BERN), base=1))
    assert "<dialog" in page and "against version 1, which is live" in page
    assert "Added" in page and "Save as version 2" in page and "Save and go live" in page
    assert "Counting who would enter and leave…" in page, "nothing waits for the count"
    assert not AuditEntry.objects.filter(action="segment.draft_compared").exists()
    assert bern.versions.count() == 1
    alone = shown(post(reader(), "review", bern.uuid, htmx=False, rule=text_of(OLD_OF_BERN), base=1))
    assert "<dialog" not in alone and "<h1>Bern</h1>" in alone and "Save as version 2" in alone


def test_what_was_reviewed_is_what_is_saved(bern: Segment) -> None:
    page = shown(post(reader(), "review", bern.uuid, rule=text_of(OLD_OF_BERN), base=1))
    kept = re.search(r'<textarea name="rule"[^>]*>(.*?)</textarea>', page)
    assert kept and json.loads(kept[1]) == rule(OLD_OF_BERN)
    assert '<input type="hidden" name="base" value="1">' in page
    done = post(reader(), "detail", bern.uuid, rule=kept[1], base=1, publish="yes")
    assert done.status_code == 200 and done["HX-Redirect"] == f"/admin/segments/segment/{bern.uuid}/"
    bern.refresh_from_db()
    assert bern.live_version is not None and bern.live_version.rule == rule(OLD_OF_BERN)
    plain = post(reader(), "detail", bern.uuid, htmx=False, rule=text_of(EITHER), base=2)
    assert plain.status_code == 302 and bern.versions.count() == 3


def test_a_draft_that_changes_nothing_says_so(bern: Segment) -> None:
    page = shown(post(reader(), "review", bern.uuid, rule=text_of(BERN), base=1))
    assert "Nothing to save: version 1 says this, and is live." in page and "Save as version" not in page
    save_version(segment=bern, rule=rule(OLD), by=BY)
    page = shown(post(reader(), "review", bern.uuid, rule=text_of(OLD), base=2))
    assert "Put version 2 live" in page and "Save as version" not in page


def test_errors_keep_the_dialog_away_and_stand_at_their_conditions(bern: Segment) -> None:
    wrong = {"all": [BERN, {"trait": "cty", "op": "exists"}]}
    answer = post(reader(), "review", bern.uuid, rule=text_of(wrong), base=1)
    page = shown(answer, 422)
    assert (answer["HX-Retarget"], answer["HX-Reswap"]) == ("#builder", "morph:outerHTML")
    assert "<dialog" not in page and "cond--bad" in page and 'data-focus="/all/1"' in page
    alone = shown(post(reader(), "review", bern.uuid, htmx=False, rule=text_of(wrong), base=1), 422)
    assert "cond--bad" in alone and "<h1>Bern</h1>" in alone
    broken = shown(post(reader(), "review", bern.uuid, rule="{", base=1), 422)
    assert "not JSON" in broken
    # With no address of its own what is typed next would go to the page's, which saves.
    assert 'hx-post="/admin/segments/segment/build/"' in broken and 'hx-post=""' not in broken


def test_of_a_new_segment_a_name_that_is_missing_stands_at_its_field(people: None) -> None:
    answer = post(reader(), "new_review", rule=text_of(BERN), name=" ")
    assert answer["HX-Retarget"] == answer["HX-Reselect"] == "#new-segment"
    assert "A segment needs a name." in shown(answer, 422)
    assert "whole minutes" in shown(
        post(reader(), "new_review", rule=text_of(BERN), name="x", refresh_minutes="0"), 422
    )
    page = shown(post(reader(), "new_review", rule=text_of(BERN), name=HOSTILE, refresh_minutes="15"))
    assert "Save as a draft" in page and "people whose" in page.lower()
    assert (
        HOSTILE
        not in post(reader(), "new_review", rule=text_of(BERN), name=HOSTILE, refresh_minutes="15").content.decode()
    )
    done = post(reader(), "new", rule=text_of(BERN), name="Of Bern", refresh_minutes="15", publish="yes")
    assert done["HX-Redirect"] == f"/admin/segments/segment/{Segment.objects.get().uuid}/"
    assert Segment.objects.get().status == SegmentStatus.LIVE


def test_what_keeps_it_from_going_live_is_told_and_nothing_is_saved(bern: Segment) -> None:
    answer = post(reader(), "detail", bern.uuid, rule=text_of({"not": {"in_segment": "bern"}}), base=1, publish="yes")
    page = shown(answer, 422)
    assert answer["HX-Retarget"] == "#review" and "would read its own members" in page
    assert bern.versions.count() == 1
    alone = shown(
        post(
            reader(),
            "detail",
            bern.uuid,
            htmx=False,
            rule=text_of({"not": {"in_segment": "bern"}}),
            base=1,
            publish="y",
        ),
        422,
    )
    assert "would read its own members" in alone
    archive(segment=bern, by=BY)
    assert "is archived" in shown(post(reader(), "review", bern.uuid, rule=text_of(OLD), base=1), 409)


def test_a_review_asks_as_often_for_many_conditions_and_people_as_for_few(bern: Segment) -> None:
    caller = reader()

    def asked(size: int, name: str) -> int:
        text = text_of({"all": [{**OLD, "value": n} for n in range(size)]})
        post(caller, name, bern.uuid, rule=text, base=1)
        with CaptureQueriesContext(connection) as seen:
            assert post(caller, name, bern.uuid, rule=text, base=1, purpose="internal_analysis").status_code == 200
        return len(seen)

    assert asked(2, "review") == asked(40, "review")
    assert asked(2, "review_people") == asked(40, "review_people")


# ---- Who comes and goes ----------------------------------------------------------------------------------------------


def test_people_come_about_first_and_exactly_then_with_samples(bern: Segment, settings: Any) -> None:
    settings.PREVIEW_SAMPLE = 5
    caller, sent = reader(), {"rule": text_of(OLD), "base": 1, "purpose": "internal_analysis"}
    about = shown(post(caller, "review_people", bern.uuid, **sent))
    assert "Estimate" in about and "from 5 of 10 people" in about and "Counting exactly…" in about
    assert "/admin/profiles/profile/" not in about
    exact = shown(post(caller, "review_people", bern.uuid, **sent, accuracy="exact"))
    figures = [int(n) for n in re.findall(r"<dd><b>(\d+)</b>", exact)]
    assert figures == [2, 6, 2] and "Exact" in exact and "hx-trigger" not in exact
    assert exact.count("/admin/profiles/profile/") == 2 + 5 and "@example.com" not in exact
    entries = AuditEntry.objects.filter(action="segment.draft_compared").order_by("recorded_at")
    assert [
        (one.actor_label, one.purpose, len(one.detail["sample"]), one.detail.get("sampled")) for one in entries
    ] == [
        (caller.user.username, "internal_analysis", 0, 5),
        (caller.user.username, "internal_analysis", 7, None),
    ]
    assert entries[1].detail["counts"] == {"entering": 2, "leaving": 6, "staying": 2}


def test_of_a_first_version_it_is_told_who_will_be_in_it(people: None) -> None:
    caller, sent = reader(), {"rule": text_of(OLD), "name": "x", "purpose": "internal_analysis", "accuracy": "exact"}
    page = shown(post(caller, "new_people", **sent))
    assert re.findall(r"<dd><b>(\d+)</b>", page) == ["4"] and "In it" in page and "Leave" not in page
    segment = draft("later", BERN)
    page = shown(post(caller, "review_people", segment.uuid, **sent, base=1))
    assert re.findall(r"<dd><b>(\d+)</b>", page) == ["4"], "a draft has no members that could leave"


def test_who_objects_is_in_no_sample_of_a_review(bern: Segment) -> None:
    decide("u8", "internal_analysis", Decision.WITHDRAWN)
    sent = {"rule": text_of(OLD), "base": 1, "purpose": "internal_analysis", "accuracy": "exact"}
    page = shown(post(reader(), "review_people", bern.uuid, **sent))
    assert re.findall(r"<dd><b>(\d+)</b>", page) == ["2", "6", "2"]
    assert str(person("u8").uuid) not in page and str(person("u9").uuid) in page


def test_whoever_was_shown_one_segment_asks_about_nobody_else(bern: Segment) -> None:
    guest = reader("")
    share_segment(segment=bern, user=guest.user, by=BY, permissions=["view_segment", "change_segment", "view_members"])
    sent = {"rule": text_of(OLD), "base": 1, "purpose": "internal_analysis", "segment": bern.uuid}
    page = shown(post(guest, "review", bern.uuid, **sent))
    assert "Save as version 2" in page and "not count people by one that isn't saved" in page
    for name, parts in {"review_people": [bern.uuid], "draft_permits": [], "draft_why": [], "draft_sql": []}.items():
        assert post(guest, name, *parts, **sent).status_code == 403, name
    assert post(guest, "new_review", **sent, name="x").status_code == 403


@pytest.mark.parametrize("role", ["marketer", "compliance", "integrator", ""])
def test_each_answer_is_for_whom_it_is(bern: Segment, role: str) -> None:
    caller = reader(role)
    sent = {"rule": text_of(OLD), "base": 1, "name": "x", "refresh_minutes": 15, "purpose": "internal_analysis"}
    writes, reads, sees = role == "marketer", role in ("marketer", "compliance"), role != ""
    expected = {
        ("review", bern.uuid): 200 if writes else 403,
        ("review_people", bern.uuid): 200 if writes else 403,
        ("new_review",): 200 if writes else 403,
        ("new_people",): 200 if writes else 403,
        ("draft_permits",): 200 if reads else 403,
        ("draft_sql",): 200 if reads else 403,
        ("draft_export",): 200 if sees else 403,
    }
    assert {door: post(caller, *door, **sent).status_code for door in expected} == expected


# ---- Two who write at once -------------------------------------------------------------------------------------------


def test_whoever_comes_second_sees_what_came_first_and_chooses(bern: Segment) -> None:
    rival = User.objects.create_user("rita", first_name="Rita", last_name="Rival", is_staff=True)
    save_version(segment=bern, rule=rule(OLD_OF_BERN), by=BY, user=rival, base=1)
    caller, mine = reader(), text_of(EITHER)
    for name in ("review", "detail"):
        answer = post(caller, name, bern.uuid, rule=mine, base=1, publish="yes")
        page = shown(answer, 409)
        assert (answer["HX-Retarget"], answer["HX-Reswap"]) == ("#review", "innerHTML")
        assert "<b>Rita Rival</b> saved <b>version 2</b>" in page and "begun from version 1" in page
        assert "What version 2 changed" in page and "What yours would make of it" in page
        assert "Save mine over theirs, as version 3, and go live" in page and "Go to theirs, keep mine" in page
    assert bern.versions.count() == 2
    alone = shown(post(caller, "detail", bern.uuid, htmx=False, rule=mine, base=1), 409)
    assert "<dialog" not in alone and "Save mine over theirs, as version 3<" in alone

    theirs = shown(post(caller, "detail", bern.uuid, htmx=False, rule=mine, base=2, theirs="yes"))
    kept = re.search(r'aria-label="Your draft as JSON">(.*?)</textarea>', theirs)
    assert kept and json.loads(kept[1]) == rule(EITHER)
    assert 'name="base" value="2"' in theirs and bern.versions.count() == 2
    on_top = post(caller, "detail", bern.uuid, rule=mine, base=2, publish="yes")
    assert on_top.status_code == 200
    bern.refresh_from_db()
    assert bern.live_version is not None and (bern.live_version.number, bern.live_version.rule) == (3, rule(EITHER))


def test_a_form_that_names_no_base_overwrites_nothing(bern: Segment) -> None:
    for base in ({}, {"base": "x"}, {"base": "²"}, {"base": "9" * 30}):
        assert "doesn't say which version" in shown(post(reader(), "detail", bern.uuid, rule=text_of(OLD), **base), 409)
    assert bern.versions.count() == 1


# ---- Beside the draft ------------------------------------------------------------------------------------------------


def test_reasons_add_up_to_whom_each_purpose_holds_back(bern: Segment) -> None:
    for user in ("u0", "u1", "u2"):
        decide(user, "marketing_email", Decision.GRANTED)
    decide("u3", "marketing_email", Decision.DENIED)
    decide("u1", "marketing_email", Decision.WITHDRAWN)
    decide("u4", "internal_analysis", Decision.WITHDRAWN)
    answer = post(reader(), "draft_permits", rule=text_of(BERN), segment=bern.uuid)
    found = {one["purpose"].key: one for one in answer.context["found"]}
    assert found.keys() == {"marketing_email", "internal_analysis"}
    for key, one in found.items():
        held_back = sum(count for _, _, count in one["reasons"])
        assert one["permitted"] + held_back == one["members"] == 8, key
        among = Profile.objects.filter(memberships__segment=bern)
        assert one["permitted"] == permitted(among, Purpose.objects.get(key=key)).count(), key
    assert "are held back" in shown(answer)
    assert AuditEntry.objects.filter(action="segment.draft_permission_counted").count() == 2
    alone = post(reader(), "draft_permits", rule=text_of(OLD), purpose="marketing_email").context["found"]
    assert [(one["purpose"].key, one["members"]) for one in alone] == [("marketing_email", 4)]


def test_why_is_told_of_a_draft_masked_and_on_record(bern: Segment) -> None:
    sent = {"rule": text_of(OLD_OF_BERN), "segment": bern.uuid, "purpose": "internal_analysis"}
    caller = reader()
    page = shown(post(caller, "draft_why", **sent, person=person("u7").uuid))
    assert page.count("Met") == 2 and "27" in page and "u7@example.com" not in page
    assert "Not met" in shown(post(caller, "draft_why", **sent, person=person("u0").uuid))
    entry = AuditEntry.objects.filter(action="profile.explained").order_by("recorded_at")[0]
    assert (entry.object_id, entry.purpose, entry.detail["version"]) == (
        str(person("u7").uuid),
        "internal_analysis",
        None,
    )
    assert "all" in entry.detail["rule"] and entry.detail["masked"] is True
    decide("u7", "internal_analysis", Decision.WITHDRAWN)
    for one in (person("u7").uuid, "x", ""):
        assert post(caller, "draft_why", **sent, person=one).status_code == 404
    caller.user.groups.clear()
    caller.user.user_permissions.add(Permission.objects.get(codename="view_members"))
    assert post(caller, "draft_why", **sent, person=person("u0").uuid).status_code == 403


def test_the_sql_is_laid_out_with_its_operands_apart_and_nothing_is_run(bern: Segment) -> None:
    value = f"Bern'; DROP TABLE x; -- {HOSTILE}"
    with CaptureQueriesContext(connection) as asked:
        answer = post(reader(), "draft_sql", rule=text_of({**BERN, "value": value}))
    page = answer.content.decode()
    statement = unescape(re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)[0])
    assert statement.count("\n") > 3 and "profiles_traitvalue" in statement and "Bern" not in statement
    assert HOSTILE not in page
    assert "drop table x" in unescape(page), "operands stand beside it, as they are compared"
    named = set(re.findall(r"%\((\w+)\)s", statement))
    assert named and named <= {name for name, _ in answer.context["operands"]}
    assert not [one for one in asked.captured_queries if "profiles_traitvalue" in one["sql"]]
    assert "Mend the rule first" in shown(post(reader(), "draft_sql", rule="{"), 422)


def test_a_draft_goes_into_a_file_and_comes_back_from_it(bern: Segment) -> None:
    caller = reader()
    answer = post(caller, "draft_export", rule=text_of(OLD_OF_BERN), segment=bern.uuid, htmx=False)
    assert answer["Content-Disposition"] == 'attachment; filename="bern.rule.json"'
    assert json.loads(answer.content) == rule(OLD_OF_BERN)
    assert post(caller, "draft_export", rule="{ not yet", htmx=False).content == b"{ not yet\n"

    def taken(content: bytes) -> HttpResponse:
        file = SimpleUploadedFile("rule.json", content, "application/json")
        return post(caller, "draft_import", rule=text_of(BERN), file=file)

    back = taken(answer.content)
    assert json.loads(back.context["text"]) == rule(OLD_OF_BERN) and 'data-said="Import a file"' in shown(back)
    whole = taken(written([bern], by=BY).encode("utf-8-sig"))
    assert json.loads(whole.context["text"])["all"] == [BERN]
    two = written([bern, draft("other", OLD)], by=BY).encode()
    for content, said in [
        (b"{", "not JSON"), (b"[]", "A rule is an object"), (b"\xff\xfe", "no text in UTF-8"), (two, "has 2 segments"),
        (b" " * 1_000_001, "larger than a file"),
    ]:  # fmt: skip
        refused = taken(content)
        assert said in shown(refused, 422) and "The file was left out" in shown(refused, 422)
        assert json.loads(refused.context["text"])["all"] == [BERN], "the draft stays"
    assert "Choose a file" in shown(post(caller, "draft_import", rule=text_of(BERN)), 422)


def test_the_page_leads_to_what_is_set_elsewhere(bern: Segment) -> None:
    page = shown(reader().client.get(f"/admin/segments/segment/{bern.uuid}/"))
    assert "are set on a page of their own" in page and "Review and save" in page
    new = shown(reader().client.get("/admin/segments/segment/new/"))
    assert 'href="/admin/segments/staticlist/new/?segment=yes"' in new
    archive(segment=bern, by=BY)
    page = shown(reader().client.get(f"/admin/segments/segment/{bern.uuid}/"))
    assert "Restore it under Settings" in page and "Review and save" not in page
    assert "Review and save" not in shown(reader("integrator").client.get(f"/admin/segments/segment/{bern.uuid}/"))
