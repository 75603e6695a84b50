"""The screens of compliance staff: the trail and one record, conflicts, rates; and what is taken away of them."""

import csv
import io
import random
import zipfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cdp.audit.check_proof import check
from cdp.audit.models import AuditEntry
from cdp.audit.sequencing import sequence
from cdp.audit.signing import load_signer, make_key
from cdp.console.consent_lanes import just_after
from cdp.identity.merging import merge_profiles
from consent import trail
from consent.models import (
    ConsentConflict,
    ConsentRecord,
    ConsentState,
    Decision,
    Method,
    NoticeVersion,
    Purpose,
    StopKind,
)
from consent.notices import serve
from consent.rates import funnels, ways, weeks
from consent.services import Shown, record_decisions
from consent.stops import stop
from consent.trail import CAME_LATE, Wanted, page_of, records_of
from tests.factories import BY, identify, person, process_all, tracker
from tests.integration.test_audit_screen import staff

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
TRAIL = "/admin/consent/consentrecord/"
EMAIL, SMS = "marketing_email", "sms"
NOTHING = Shown()


@pytest.fixture
def officer() -> Client:
    shop = tracker()
    users = ("ann", "bob", "eve", "dan")
    shop.send(*(identify(user, traits={"email": f"{user}@example.com"}, ago=90 * DAY) for user in users))
    process_all()
    return staff("compliance")


def say(
    user: str,
    decision: Decision,
    at: datetime | None = None,
    *,
    purpose: str = EMAIL,
    method: Method = Method.FORM,
    shown: Shown = NOTHING,
    jurisdiction: str = "",
) -> ConsentRecord:
    record_decisions(
        profile=person(user), decisions={Purpose.objects.get(key=purpose): decision}, method=method,
        at=at or timezone.now(), by=BY, shown=shown, jurisdiction=jurisdiction,
    )  # fmt: skip
    return ConsentRecord.objects.latest("pk")


def banner(locale: str = "en") -> NoticeVersion:
    return NoticeVersion.objects.get(notice__key="banner", locale=locale, number=1)


def text(client: Client, path: str, **query: Any) -> str:
    response = client.get(path, query or None)
    assert response.status_code == 200, response.content
    return response.content.decode()


def listed(client: Client, **query: Any) -> list[str]:
    """The records on the page, by their ids, in its order."""
    page = text(client, TRAIL, **query)
    return [part[:36] for part in page.split(f'href="{TRAIL}')[1:] if part[8:9] == "-"]


# ---- The trail -----------------------------------------------------------------------------------------------------


def test_the_trail_is_in_the_order_in_which_we_learned_it_and_marks_what_came_late(officer: Client) -> None:
    now = timezone.now()
    first = say("ann", Decision.GRANTED, now - 2 * timedelta(hours=1))
    second = say("bob", Decision.WITHDRAWN, now - 40 * DAY)
    assert listed(officer) == [str(second.uuid), str(first.uuid)]
    assert listed(officer, late="on") == [str(second.uuid)]
    assert text(officer, TRAIL).count(" later</small>") == 1
    merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="email", by=BY)
    assert listed(officer, late="on") == [str(second.uuid)], "what a merge writes down was known"


@pytest.mark.parametrize("seed", range(6))
def test_pages_of_a_time_long_ago_hold_all_of_it_in_order(
    officer: Client, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever came late, or was only written down again: page by page it is what the filters say of all records."""
    chance, now, purpose = random.Random(seed), timezone.now(), Purpose.objects.get(key=EMAIL)
    monkeypatch.setattr(trail, "PAGE", 7)
    learned = sorted(now - chance.random() * 60 * DAY for _ in range(120))
    ConsentRecord.objects.bulk_create(
        ConsentRecord(
            profile_id=chance.randrange(5), purpose=purpose, decision=chance.choice(Decision.values), recorded_at=at,
            method=chance.choice((Method.FORM, Method.FORM, Method.MERGE, Method.REPEATED)),
            collected_at=at - chance.choice((timedelta(0), timedelta(hours=30), 9 * DAY, 40 * DAY)) * chance.random(),
        )
        for at in learned
    )  # fmt: skip
    for _ in range(12):
        since, until = sorted(now - chance.random() * 80 * DAY for _ in range(2))
        given: dict[str, Any] = {"since": since, "until": until, "decision": chance.choice((None, "granted"))}
        wanted = Wanted(**{**given, chance.choice(list(given)): None}, only_late=chance.random() < 0.3)
        found, before = list[int](), None
        while True:
            page = page_of(wanted, before=before)
            found += [one.pk for one in page.records]
            if (before := page.older) is None:
                break
        assert found == list(records_of(wanted).values_list("pk", flat=True)), wanted


def test_late_records_are_found_by_their_own_index(officer: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        list(ConsentRecord.objects.filter(CAME_LATE).order_by("-pk").values("pk")[:50])
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        cursor.execute("EXPLAIN " + queries[0]["sql"])
        assert "consent_record_late" in " ".join(row[0] for row in cursor.fetchall()), "in the words of the condition"


def test_each_filter_leaves_what_it_says(officer: Client) -> None:
    now = timezone.now()
    one = say("ann", Decision.GRANTED, now - 20 * DAY, shown=Shown(version_id=banner().pk), jurisdiction="US-CA")
    other = say("bob", Decision.DENIED, now - DAY, purpose=SMS, method=Method.IMPORT)
    local = timezone.localtime(now - 20 * DAY).date()
    only_one: list[dict[str, Any]] = [
        {"purpose": EMAIL}, {"decision": "granted"}, {"method": "form"}, {"version": banner().pk},
        {"jurisdiction": "us-ca"}, {"since": local, "until": local}, {"person": "ann@example.com"},
        {"person": str(person("ann").uuid)}, {"person": "user_id:ann", "purpose": EMAIL},
    ]  # fmt: skip
    for query in only_one:
        assert listed(officer, **query) == [str(one.uuid)], query
    assert listed(officer, since=local + DAY) == [str(other.uuid)]
    assert listed(officer, person="nobody@example.com") == []
    assert officer.get(TRAIL, {"since": "yesterday"}).status_code == 400
    assert officer.get(TRAIL, {"since": "2026-02-02", "until": "2026-02-01"}).status_code == 400
    assert officer.get(TRAIL, {"source": "1 OR 1=1"}).status_code == 400
    filters = [entry.detail["filters"] for entry in AuditEntry.objects.filter(action="consent.listed")]
    assert ["profile_ids"] in filters and not any("ann" in str(entry) for entry in filters)


def test_a_person_is_found_with_what_was_merged_into_them(officer: Client) -> None:
    one, other = say("ann", Decision.GRANTED), say("bob", Decision.GRANTED)
    merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="email", by=BY)
    found = listed(officer, person="bob@example.com")
    assert {str(one.uuid), str(other.uuid)} < set(found) and len(found) == 3


def test_people_are_told_apart_by_the_end_of_their_ids(officer: Client) -> None:
    """Ids of ours begin with when they were made: those of one import look alike at their beginning."""
    say("ann", Decision.GRANTED)
    say("bob", Decision.GRANTED)
    page = text(officer, TRAIL)
    for user in ("ann", "bob"):
        assert f"<code>…{str(person(user).uuid)[-12:]}</code>" in page


def test_pages_go_on_where_the_last_one_ended_whatever_comes_in(officer: Client) -> None:
    made = [str(say("ann", Decision.GRANTED if n % 2 else Decision.DENIED).uuid) for n in range(53)][::-1]
    assert listed(officer) == made[:50]
    older = ConsentRecord.objects.get(uuid=made[49]).pk
    assert f"before={older}" in text(officer, TRAIL)
    say("bob", Decision.GRANTED)
    assert listed(officer, before=older) == made[50:]


def test_the_export_has_what_the_filters_leave_and_is_audited(officer: Client) -> None:
    one = say("ann", Decision.GRANTED, jurisdiction="EU")
    say("bob", Decision.DENIED, purpose=SMS)
    response = officer.get(f"{TRAIL}export/", {"purpose": EMAIL})
    body = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    rows = list(csv.DictReader(io.StringIO(body)))
    assert [(row["record"], row["person"], row["jurisdiction"]) for row in rows] == [
        (str(one.uuid), str(person("ann").uuid), "EU")
    ]
    assert "example.com" not in body
    assert AuditEntry.objects.get(action="consent.exported").detail == {"filters": ["purpose_id"]}


def test_a_cell_that_looks_like_a_formula_is_text(officer: Client) -> None:
    say("ann", Decision.GRANTED, jurisdiction="=1+1")
    body = b"".join(officer.get(f"{TRAIL}export/").streaming_content).decode()  # type: ignore[attr-defined]
    assert ",'=1+1," in body


def test_only_compliance_staff_see_decisions(officer: Client) -> None:
    one = say("ann", Decision.GRANTED)
    marketer = staff("marketer")
    for path in ("", "export/", f"{one.uuid}/", f"{one.uuid}/proof/", f"{one.uuid}/receipt/kantara/"):
        assert marketer.get(f"{TRAIL}{path}").status_code == 403, path
    assert officer.get(f"{TRAIL}00000000-0000-4000-8000-000000000000/").status_code == 404


# ---- One record ----------------------------------------------------------------------------------------------------


def test_a_record_shows_all_of_its_story(officer: Client) -> None:
    served = serve(version=banner(), place="https://boat.example/join")
    now = timezone.now()
    one = say("ann", Decision.GRANTED, now - DAY, shown=Shown(version_id=banner().pk, served_id=served.pk))
    say("ann", Decision.WITHDRAWN, now)
    page = text(officer, f"{TRAIL}{one.uuid}/")
    assert "May we?" in page and banner().sha256 in page and "https://boat.example/join" in page
    assert "Waits for its place" in page and "Withdrawn" in page
    assert "Kantara" in page
    entry = AuditEntry.objects.get(action="consent.viewed")
    assert (entry.object_id, entry.purpose) == (str(one.uuid), EMAIL)
    assert "Kantara" not in text(officer, f"{TRAIL}{ConsentRecord.objects.latest('pk').uuid}/"), "that is of a yes only"


def test_the_proof_of_a_record_is_taken_from_its_page_and_from_a_moment(
    officer: Client, settings: Any, tmp_path: Path
) -> None:
    one = say("ann", Decision.GRANTED, timezone.now() - DAY)
    refused = officer.get(f"{TRAIL}{one.uuid}/proof/", follow=True)
    assert "isn&#x27;t signed" in refused.content.decode()
    make_key(tmp_path / "key.pem")
    settings.AUDIT_KEY = str(tmp_path / "key.pem")
    signer = load_signer(tmp_path / "key.pem", name=settings.AUDIT_ORIGIN)
    sequence(signer)
    at = (timezone.now() - timedelta(hours=1)).isoformat()
    page = text(officer, f"/admin/profiles/profile/{person('ann').uuid}/consent/", at=at[:19])
    assert f"{TRAIL}proof/{person('ann').pk}/{EMAIL}/?at=" in page
    for path in (f"{TRAIL}{one.uuid}/proof/", f"{TRAIL}proof/{person('ann').pk}/{EMAIL}/?at={at.replace('+', '%2B')}"):
        taken = officer.get(path)
        assert taken["Content-Type"] == "application/zip", taken.content
        with zipfile.ZipFile(io.BytesIO(taken.content)) as archive:
            found = check({name: archive.read(name) for name in archive.namelist()}, keys=[signer.key])
        assert found.is_valid and "was PERMITTED by" in found.verdict, found.wrong
    assert officer.get(f"{TRAIL}proof/1/{EMAIL}/?at=2999-01-01T00:00:00").status_code == 404
    assert officer.get(f"{TRAIL}proof/1/{EMAIL}/?at=now").status_code == 404
    assert "Verified" in text(officer, f"{TRAIL}{one.uuid}/")


# ---- What held at a moment -----------------------------------------------------------------------------------------


def at_moment(client: Client, user: str, **query: str) -> Any:
    response = client.get(f"/admin/profiles/profile/{person(user).uuid}/consent/", query)
    assert response.status_code == 200
    return response


def test_what_was_true_stands_beside_what_was_known_and_a_step_leads_to_each_decision(officer: Client) -> None:
    now = timezone.now()
    say("ann", Decision.GRANTED, now - 20 * DAY)
    withdrawn = say("ann", Decision.WITHDRAWN, now - 10 * DAY)
    then = at_moment(officer, "ann", at=(now - 15 * DAY).isoformat())
    [answer] = [one for one in then.context["rows"][0].answers if one.held.purpose.key == EMAIL]
    assert answer.held.permits and answer.known_then is not None and not answer.known_then.permits, "it came late"
    assert "differ for <b>Marketing email</b>" in then.content.decode()
    assert f'value="{timezone.localtime(now - 15 * DAY):%Y-%m-%dT%H:%M:%S}"' in then.content.decode(), (
        "as a form knows it"
    )
    steps = then.context["steps"]
    assert steps.after == just_after(withdrawn.collected_at) and steps.before == just_after(now - 20 * DAY)
    after = at_moment(officer, "ann", at=steps.after.isoformat())
    assert not after.context["rows"][0].differing and "Withdrawn by Form" in after.content.decode()
    assert at_moment(officer, "ann", at=steps.before.isoformat()).context["steps"].before is None


def test_a_picture_shows_what_held_over_time_and_what_came_late(officer: Client) -> None:
    now = timezone.now()
    assert at_moment(officer, "ann").context["rows"][0].lanes is None, "nothing was ever on record"
    given, withdrawn = say("ann", Decision.GRANTED, now - 20 * DAY), say("ann", Decision.WITHDRAWN, now - 10 * DAY)
    old = say("ann", Decision.GRANTED, now - 15 * DAY)
    stop(profile=person("ann"), kind=StopKind.RESTRICTION, by=BY)
    page = at_moment(officer, "ann", at=(now - 12 * DAY).isoformat())
    lanes = page.context["rows"][0].lanes
    [email] = [lane for lane in lanes.lanes if lane.purpose.key == EMAIL]
    drawn = [(one.word, one.look) for one in email.stretches]
    assert drawn == [("No record means no", "none"), ("Granted", "ok"), ("Withdrawn", "no"), ("Halted", "no")]
    assert [(one.is_applied, one.end) for one in email.late][-1][0] is False, "it lay before the withdrawal"
    assert len(email.late) == 3 and lanes.has_late and lanes.has_late_for_nothing
    places = [float(one.x.rstrip("%")) for one in email.stretches]
    assert places == sorted(places) and places[1] < float(lanes.cursor.rstrip("%")) < places[2]
    text = page.content.decode()
    for one in (given, withdrawn):
        assert f"?at={quote(just_after(one.collected_at).isoformat(), safe='/')}" in text
    assert old.pk and "late, not applied" in text


def test_whoever_is_halted_is_said_to_be_whatever_they_had_answered(officer: Client) -> None:
    say("ann", Decision.GRANTED)
    stop(profile=person("ann"), kind=StopKind.RESTRICTION, by=BY)
    now = at_moment(officer, "ann").content.decode()
    assert "halted by their restriction or objection" in now
    page = text(officer, f"/admin/profiles/profile/{person('ann').uuid}/")
    panel = page.split('id="cs-h"')[1].split("</section>")[0]
    assert "Halted" in panel and ">Granted<" not in panel and "so allowed" not in panel


def test_a_receipt_that_can_not_be_given_says_why(officer: Client) -> None:
    one = say("ann", Decision.GRANTED)
    page = officer.get(f"{TRAIL}{one.uuid}/receipt/iso-27560/", follow=True).content.decode()
    assert "CDP_CONTROLLER_ADDRESS" in page


# ---- Conflicts -----------------------------------------------------------------------------------------------------

CONFLICTS = "/admin/consent/consentconflict/"


@pytest.fixture
def conflict(officer: Client) -> ConsentConflict:
    say("ann", Decision.GRANTED, timezone.now() - 2 * DAY, shown=Shown(version_id=banner("de").pk))
    say("bob", Decision.DENIED, timezone.now() - 5 * DAY)
    merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="email", by=BY)
    return ConsentConflict.objects.get()


def test_two_answers_stand_side_by_side_and_the_stricter_holds(officer: Client, conflict: ConsentConflict) -> None:
    assert (conflict.theirs, conflict.absorbed) == ("granted", "denied")
    assert "1 consent conflict" in text(officer, "/admin/"), "and it waits on Home"
    assert "the stricter: no" in text(officer, CONFLICTS)
    page = text(officer, f"{CONFLICTS}{conflict.pk}/")
    assert "Banner 1 (de)" in page and "Of two answers the stricter holds" in page
    assert page.count('href="/admin/consent/consentrecord/') >= 2
    assert ConsentState.objects.get(profile=person("ann"), purpose__key=EMAIL).decision == "denied"


def test_settling_says_who_looked_and_permits_nothing(officer: Client, conflict: ConsentConflict) -> None:
    assert officer.post(f"{CONFLICTS}{conflict.pk}/", {"note": " "}).status_code == 422
    assert officer.post(f"{CONFLICTS}{conflict.pk}/", {"note": "Two mailboxes, one person."}).status_code == 302
    conflict.refresh_from_db()
    assert (conflict.settled_by, conflict.note) == ("compliance", "Two mailboxes, one person.")
    assert ConsentState.objects.get(profile=person("ann"), purpose__key=EMAIL).decision == "denied"
    assert AuditEntry.objects.get(action="consent.conflict_settled").purpose == EMAIL
    again = officer.post(f"{CONFLICTS}{conflict.pk}/", {"note": "Again"}, follow=True)
    assert "settled this one meanwhile" in again.content.decode()
    assert "No open conflicts" in text(officer, CONFLICTS)
    assert "compliance" in text(officer, CONFLICTS, show="settled")
    assert "consent conflict" not in text(officer, "/admin/waiting/")


def test_a_conflict_is_not_for_marketers(conflict: ConsentConflict) -> None:
    marketer = staff("marketer")
    assert marketer.get(CONFLICTS).status_code == 403
    assert marketer.post(f"{CONFLICTS}{conflict.pk}/", {"note": "x"}).status_code == 403


# ---- Rates ---------------------------------------------------------------------------------------------------------

RATES = "/admin/consent/rates/"


def asked(user: str, decision: Decision | None, version: NoticeVersion, purpose: str = EMAIL) -> None:
    """Shown a minute ago, and perhaps decided."""
    served = serve(version=version, served_at=timezone.now() - timedelta(minutes=1))
    if decision is not None:
        shown = Shown(version_id=version.pk, served_id=served.pk)
        say(user, decision, purpose=purpose, method=Method.BANNER, shown=shown)


def test_what_was_shown_decided_and_granted_is_counted_by_the_time_it_was_shown(officer: Client) -> None:
    since, until = timezone.now() - DAY, timezone.now() + DAY
    english, german = banner(), banner("de")
    for user, decision in (("ann", Decision.GRANTED), ("bob", Decision.DENIED), ("eve", None)):
        asked(user, decision, english)
    asked("dan", Decision.GRANTED, german)
    asked("ann", Decision.GRANTED, english, purpose=SMS)
    pk = Purpose.objects.get(key=EMAIL).pk
    found = funnels(purpose_id=pk, version_ids=[english.pk, german.pk], since=since, until=until)
    assert {one.version_id: (one.shown, one.decided, one.granted) for one in found} == {
        english.pk: (4, 2, 1), german.pk: (1, 1, 1),
    }  # fmt: skip
    assert funnels(purpose_id=pk, version_ids=[english.pk], since=until, until=until + DAY) == []
    [way] = ways(purpose_id=pk, since=since, until=until)
    assert (way.method, way.source_id, way.granted, way.refused, way.answered) == ("banner", None, 2, 1, 3)


def test_who_changed_their_mind_on_one_showing_counts_once(officer: Client) -> None:
    served = serve(version=banner())
    shown = Shown(version_id=banner().pk, served_id=served.pk)
    say("ann", Decision.DENIED, timezone.now() - DAY, shown=shown)
    say("ann", Decision.GRANTED, shown=shown)
    pk = Purpose.objects.get(key=EMAIL).pk
    [one] = funnels(purpose_id=pk, version_ids=[banner().pk], since=timezone.now() - DAY, until=timezone.now() + DAY)
    assert (one.shown, one.decided, one.granted) == (1, 1, 1)


def test_weeks_begin_on_the_monday_of_the_workspace(officer: Client) -> None:
    sunday = datetime.fromisoformat("2026-11-01T23:30:00+00:00")  # Monday already in Berlin
    say("ann", Decision.GRANTED, sunday)
    say("ann", Decision.WITHDRAWN, sunday + timedelta(hours=1))
    say("bob", Decision.DENIED, sunday - 3 * DAY)
    merge_profiles(survivor=person("ann"), absorbed=person("bob"), reason="email", by=BY)
    pk = Purpose.objects.get(key=EMAIL).pk
    found = weeks(purpose_id=pk, since=sunday - 30 * DAY, until=sunday + 30 * DAY, time_zone="Europe/Berlin")
    told = {str(day): (week.granted, week.refused, week.withdrawn) for day, week in found.items()}
    assert told == {"2026-11-02": (1, 0, 1), "2026-10-26": (0, 1, 0)}, "and what the merge wrote down is none"


def test_the_screen_says_whether_two_versions_differ_by_more_than_chance(officer: Client) -> None:
    empty = text(officer, RATES)
    assert "Nobody has answered in this time" in empty and "No words led to a decision" in empty
    asked("ann", Decision.GRANTED, banner())
    asked("bob", Decision.DENIED, banner("de"))
    query = {"purpose": EMAIL, "a": banner().pk, "b": banner("de").pk}
    assert "It may well be chance" in text(officer, RATES, **query)
    for _ in range(12):
        asked("ann", Decision.GRANTED, banner())
        asked("bob", Decision.DENIED, banner("de"))
    page = text(officer, RATES, **query)
    assert "More than chance" in page and "Banner 1 (en) earned more trust" in page
    assert "less than once in 1,000" in page
    assert officer.get(RATES, {"weeks": "1000"}).status_code == 400


def test_the_screen_of_rates_asks_as_often_for_many_as_for_few(officer: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            text(officer, RATES, purpose=EMAIL)
        return len(seen)

    asked("ann", Decision.GRANTED, banner())
    few = queries()
    for user in ("bob", "eve", "dan"):
        asked(user, Decision.DENIED, banner("de"))
    assert queries() == few
