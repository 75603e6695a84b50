"""Who was read, by whom, and what of them: from the audit log, also where it names nobody."""

import csv
import io
import itertools
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client

from cdp.accountability import breach, members_then
from cdp.accountability.breach import Answer, Question, ask, deadline
from cdp.accountability.reads import READS
from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.errors import DomainError
from cdp.identity.merging import merge_profiles
from cdp.pipeline import drain_dirty
from cdp.profiles.models import Profile
from consent import stops
from consent.models import ConsentRecord, Decision, Purpose, StopKind
from segments.feed import number_changes
from segments.models import Segment
from segments.services import archive, delete_segment
from tests.factories import BY, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import Caller, decide, key
from tests.integration.test_audit_screen import staff
from tests.integration.test_default_deny import CONSOLE, READERS, World
from tests.integration.test_default_deny import world as world  # a fixture

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)
USERS = [f"u{number}" for number in range(6)]


def asked(**more: Any) -> Answer:
    now = datetime.now(UTC)
    return ask(question=Question(**{"since": now - HOUR, "until": now + HOUR, **more}), by=BY)


def ids(*users: str) -> set[int]:
    return {person(user).pk for user in users}


@pytest.fixture
def shop(settings: Any) -> Segment:
    """Six buyers who permit mails, and nothing that happened within the minute."""
    settings.BATCH_SECONDS = 0
    source = tracker()
    source.send(
        *(track("Bought", user) for user in USERS),
        *(identify(user, traits={"email": f"{user}@b.ch"}) for user in USERS),
    )
    process_all()
    for user in USERS:
        decide(user, "marketing_email", Decision.GRANTED)
    process_all()
    return live("buyers", performed("Bought"))


def read_page(caller: Caller, **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = caller.get("segments/buyers/members/", purpose="marketing_email", **query).json()
    return found


# ---- Whom a page held ----------------------------------------------------------------------------------------------


def test_pages_of_members_are_told_by_their_cursors(shop: Segment) -> None:
    caller = key(sees=[shop])
    first = read_page(caller, limit=4)
    assert {row["profile"] for row in first["results"]} == {str(person(user).uuid) for user in USERS[:4]}
    answer = asked()
    assert (answer.sure, answer.possible, answer.rows) == (ids(*USERS[:4]), set(), 4)
    caller.get(first["next"])
    answer = asked()
    assert (answer.sure, answer.people, answer.people_at_most) == (ids(*USERS), 6, 6)
    [reads] = answer.reads
    assert (reads.entries, reads.rows, reads.fields) == (2, 6, {"uuid", "entered_at"})
    assert reads.kind == "api_key" and caller.key is not None and reads.reader == str(caller.key)


def test_whoever_left_withdrew_merged_or_was_erased_since_was_read_all_the_same(shop: Segment) -> None:
    read_page(key(sees=[shop]))
    shop.refresh_from_db()
    decide("u0", "marketing_email", Decision.WITHDRAWN)
    merge_profiles(survivor=person("u2"), absorbed=person("u1"), reason="a clerk saw it", by=BY)
    survivor, others = ids("u2"), ids("u0", "u4", "u5")
    erase_profile(profile=person("u3"), by=BY, reason="request 12")
    tracker().send(track("Bought", "late"))
    process_all()
    decide("late", "marketing_email", Decision.GRANTED)
    process_all()
    answer = asked()
    assert (answer.sure, answer.possible) == (survivor | others, set())
    assert answer.gone == 1 and answer.unsolved == 0
    assert person("late").pk not in answer.sure, "came after it was read"


def test_who_did_not_permit_it_was_not_on_the_page(shop: Segment) -> None:
    decide("u3", "marketing_email", Decision.WITHDRAWN)
    read_page(key(sees=[shop]))
    decide("u3", "marketing_email", Decision.GRANTED)
    assert asked().sure == ids(*USERS) - ids("u3")


def test_who_was_stopped_was_not_on_the_page(shop: Segment) -> None:
    """Neither who is stopped still, nor who was and isn't any more; who came under a stop since was."""
    for user, kind in (
        ("u1", StopKind.RESTRICTION),
        ("u2", StopKind.RESTRICTION),
        ("u4", StopKind.LEGITIMATE_INTERESTS),
    ):
        stops.stop(profile=person(user), kind=kind, by=BY)
    page = read_page(key(sees=[shop]))
    assert len(page["results"]) == 4, "the last of them doesn't reach this purpose"
    stops.lift(profile=person("u2"), kind=StopKind.RESTRICTION, by=BY)
    stops.stop(profile=person("u5"), kind=StopKind.RESTRICTION, by=BY)
    answer = asked()
    assert (answer.sure, answer.possible, answer.unsolved) == (ids(*USERS) - ids("u1", "u2"), set(), 0)


def test_who_permitted_it_is_told_by_all_that_counted_then(shop: Segment) -> None:
    """A renewal that waits to be confirmed takes nobody off the page; of two who had become one the stricter answer counted."""
    Purpose.objects.filter(key="marketing_email").update(needs_double_opt_in=True)
    decide("u1", "marketing_email", Decision.GRANTED)  # pending
    decide("u3", "marketing_email", Decision.WITHDRAWN)
    merge_profiles(survivor=person("u2"), absorbed=person("u3"), reason="one", by=BY)
    while drain_dirty():
        number_changes()
    page = read_page(key(sees=[shop]))
    assert len(page["results"]) == 4
    answer = asked()
    assert (answer.sure, answer.possible, answer.unsolved) == (ids("u0", "u1", "u4", "u5"), set(), 0)


def test_within_the_minute_of_a_change_it_is_only_an_upper_bound(shop: Segment, settings: Any) -> None:
    decide("u3", "marketing_email", Decision.WITHDRAWN)
    page = read_page(key(sees=[shop]))
    assert len(page["results"]) == 5
    settings.BATCH_SECONDS = 60
    answer = asked()
    truly = ids(*USERS) - ids("u3")
    assert truly <= answer.sure | answer.possible
    assert answer.sure == set(), "all of them decided within the minute"
    assert answer.people_at_most == 6


def test_after_a_purpose_was_set_up_anew_everybody_who_was_in_may_have_been_read(shop: Segment) -> None:
    read_page(key(sees=[shop]))
    purpose = Purpose.objects.get(key="marketing_email")
    officer = staff("admin")
    sent = {"label": purpose.label, "text": purpose.text, "lawful_basis": "contract", "mode": "notice_only",
            "reach": "person", "channel": purpose.channel, "needs_granted": purpose.needs_granted}  # fmt: skip
    assert officer.post(f"/admin/consent/purpose/{purpose.pk}/change/", sent).status_code == 302
    answer = asked(segment=shop.uuid)
    assert answer.sure | answer.possible == ids(*USERS)
    assert AuditEntry.objects.filter(action="purpose.changed").exists()


def test_of_a_deleted_segment_only_how_many_is_known(shop: Segment) -> None:
    read_page(key(sees=[shop]))
    archive(segment=shop, by=BY)
    delete_segment(segment=Segment.objects.get(pk=shop.pk), by=BY)
    answer = asked()
    assert (answer.people, answer.unsolved, answer.unsolved_rows, answer.people_at_most) == (0, 1, 6, None)


def test_a_count_that_does_not_come_out_is_said(shop: Segment) -> None:
    read_page(key(sees=[shop]))
    entry = AuditEntry.objects.get(action="members.read")
    entry.detail["count"] = 9
    then = members_then.Then.load(shop, since=entry.recorded_at)
    page = members_then.page_of(entry, then, Purpose.objects.get(key="marketing_email"))
    assert (page.adds_up, page.sure, page.possible) == (False, frozenset(), frozenset(ids(*USERS)))


@pytest.mark.parametrize("cursor", ["x", "WzFd", "!!:sig", "e30:sig"])
def test_a_cursor_that_cannot_be_read_takes_in_everybody(cursor: str) -> None:
    assert members_then.position_of(cursor) is None


# ---- Other reads ---------------------------------------------------------------------------------------------------


def test_every_reader_is_one_that_the_breach_helper_knows(world: World) -> None:
    """Whatever shows people leaves an entry whose action is in the list."""
    for name, read in READERS.items():
        before = set(AuditEntry.objects.values_list("pk", flat=True))
        assert read(world, "internal_analysis", world.ann).status_code == 200
        new = set(AuditEntry.objects.exclude(pk__in=before).values_list("action", flat=True))
        assert new & READS.keys(), f"{name}: {new}"
    for name, look in CONSOLE.items():
        before = set(AuditEntry.objects.values_list("pk", flat=True))
        if any(response.status_code == 200 for response in look(world)):
            new = set(AuditEntry.objects.exclude(pk__in=before).values_list("action", flat=True))
            assert new & READS.keys(), f"{name}: {new}"


def test_reads_of_one_person_name_them_and_lists_name_nobody(shop: Segment) -> None:
    caller = key(sees=[shop])
    ann, bob = person("u0"), person("u1")
    assert caller.get("profiles/user_id:u0/").status_code == 200
    assert caller.get(f"segments/buyers/members/{bob.uuid}/", purpose="marketing_email").status_code == 200
    answer = asked()
    assert answer.sure == {ann.pk, bob.pk} and answer.people_at_most == 2
    officer = staff("compliance")
    officer.get("/admin/profiles/profile/")
    answer = asked()
    assert answer.unnamed == 6 and answer.people_at_most is None
    only = asked(user=User.objects.get(username="compliance").pk)
    assert [one.action for one in only.reads] == ["profiles.listed"] and only.people == 0


def test_looks_at_what_people_decided_are_reads_of_them(shop: Segment) -> None:
    caller, ann = key(), person("u0")
    uuid = ConsentRecord.objects.get(profile_id=person("u1").pk).uuid
    assert caller.get("consents/current/user_id:u0/").status_code == 200
    assert asked().sure == {ann.pk}
    assert caller.get("consents/history/user_id:u2/").status_code == 200
    officer = staff("compliance")
    assert officer.get(f"/admin/consent/consentrecord/{uuid}/").status_code == 200
    answer = asked()
    assert (answer.sure, answer.people_at_most) == (ids("u0", "u1", "u2"), 3)
    assert {"consent", "evidence"} <= set(answer.fields)
    assert officer.get("/admin/consent/consentrecord/export/").status_code == 200
    assert [one.action for one in asked(exports=True).reads] == ["consent.exported"]
    assert asked().people_at_most is None, "everybody's decisions were taken away"


LOOKS = {
    "read",
    "viewed",
    "listed",
    "exported",
    "downloaded",
    "revealed",
    "explained",
    "previewed",
    "compared",
    "taken",
    "issued",
    "told",
    "over",
}
SHOW_NOBODY = {
    "audit.listed": "acts, by ids that lead to nobody outside", "audit.viewed": "the same",
    "audit.checkpoint_saved": "a signature", "retention.previewed": "counts",
    "record_of_processing.exported": "what is processed, and nobody's data", "retention.run_exported": "counts",
    "rfm.exported": "counts and sums of groups",
    "segment.compared": "counts and sums", "segment.performance_read": "the same", "segments.exported": "rules, and nobody's data",
    "persona.figures_exported": "figures of groups",
}  # fmt: skip


def test_every_act_that_is_called_a_look_is_one_that_the_breach_helper_knows() -> None:
    """Held against the code: whatever is recorded as a read, view, list or export is in the list, or shows nobody."""
    written = set[str]()
    for file in itertools.chain(*(Path(app).rglob("*.py") for app in ("cdp", "consent", "segments"))):
        written |= set(re.findall(r'"([a-z_]+\.[a-z_]+)"', file.read_text()))
    looks = {one for one in written if one.partition(".")[2].rpartition("_")[2] in LOOKS}
    assert {"members.read", "consent.exported", "privacy.export_downloaded"} <= looks
    assert looks - READS.keys() - SHOW_NOBODY.keys() == set()
    assert READS.keys() <= looks and SHOW_NOBODY.keys() <= written


def test_questions_narrow_by_key_purpose_segment_fields_and_time(shop: Segment) -> None:
    one, other = key(sees=[shop]), key(sees=[shop])
    assert one.key is not None and other.key is not None
    read_page(one, limit=2)
    other.get("profiles/user_id:u5/")
    assert asked(key=one.key.pk).sure == ids("u0", "u1")
    assert asked(key=other.key.pk).sure == ids("u5")
    assert asked(purpose="marketing_email").sure == ids("u0", "u1")
    assert asked(segment=shop.uuid).sure == ids("u0", "u1")
    assert asked(exports=True).sure == ids("u0", "u1")
    assert asked(fields=frozenset({"identifiers"})).sure | asked(fields=frozenset({"identifiers, masked"})).sure == ids(
        "u5"
    )
    past = datetime.now(UTC) - 2 * HOUR
    assert asked(until=past, since=past - HOUR).reads == []
    with pytest.raises(DomainError) as error:
        asked(until=past, since=past)
    assert error.value.code == "bounds_reversed"


def test_of_a_source_it_tells_of_whom_it_sent_something(shop: Segment) -> None:
    leaky = tracker()
    leaky.send(track("Looked", "u2"), track("Looked", "u2"), track("Looked", "u4"))
    process_all()
    answer = asked(source=leaky.source_id)
    assert (answer.sure, answer.sent) == (ids("u2", "u4"), 3)


def test_asking_is_on_record_without_anybodys_data(shop: Segment) -> None:
    read_page(key(sees=[shop]))
    asked(purpose="marketing_email")
    entry = AuditEntry.objects.get(action="breach.asked")
    assert entry.purpose == "marketing_email" and str(entry.detail["people"]) == "6"
    assert not {str(profile.uuid) for profile in Profile.objects.all()} & set(json.dumps(entry.detail).split('"'))


# ---- The doors -----------------------------------------------------------------------------------------------------


def span() -> dict[str, str]:
    now = datetime.now(UTC)
    return {"since": f"{now - HOUR:%Y-%m-%dT%H:%M:%S}", "until": f"{now + HOUR:%Y-%m-%dT%H:%M:%S}"}


def test_the_screen_is_for_who_may_investigate(shop: Segment) -> None:
    for role, status in (("marketer", 403), ("integrator", 403), ("compliance", 200), ("admin", 200)):
        client = staff(role)
        assert client.get("/admin/breach/").status_code == status
        assert client.get("/admin/breach/people/", span()).status_code == status


def test_the_screen_says_who_was_read_and_counts_the_hours(shop: Segment) -> None:
    read_page(key(sees=[shop]))
    officer = staff("compliance")
    aware_at = datetime.now(UTC) - 2 * HOUR
    page = officer.get("/admin/breach/", {**span(), "aware_at": f"{aware_at:%Y-%m-%dT%H:%M:%S}"}).content.decode()
    assert "<dt>People, at least</dt><dd>6</dd>" in page
    assert "69 h 59 min left" in page or "70 h 0 min left" in page
    assert "missing" in page, "what only people can say"
    late = datetime.now(UTC) - 80 * HOUR
    page = officer.get("/admin/breach/", {**span(), "aware_at": f"{late:%Y-%m-%dT%H:%M:%S}"}).content.decode()
    assert "72 hours are over" in page
    assert deadline(aware_at) - aware_at == timedelta(hours=72)
    assert officer.get("/admin/breach/", {**span(), "since": "yesterday"}).status_code == 422


def test_whom_to_notify_can_be_taken_away_by_who_may_see_them(shop: Segment) -> None:
    read_page(key(sees=[shop]), limit=2)
    officer = staff("compliance")
    response = officer.get("/admin/breach/people/", span())
    lines = list(csv.reader(io.StringIO(b"".join(response.streaming_content).decode())))  # type: ignore[attr-defined]
    assert lines[0] == ["id", "certainty", "emails", "phones"]
    assert lines[1:] == [[str(person(u).uuid), "read", f"{u}@b.ch", ""] for u in ("u0", "u1")]
    entry = AuditEntry.objects.get(action="breach.people_exported")
    assert str(entry.detail["count"]) == "2" and entry.purpose == "privacy_rights"
    masked = Client()
    user = User.objects.create_user("clerk", password="not used", is_staff=True)
    from django.contrib.auth.models import Permission

    user.user_permissions.add(Permission.objects.get(codename="investigate_breach"))
    masked.force_login(user)
    assert masked.get("/admin/breach/", span()).status_code == 200
    assert masked.get("/admin/breach/people/", span()).status_code == 403


def test_the_command_says_the_same(shop: Segment) -> None:
    read_page(key(sees=[shop]))
    User.objects.create_user("claire")
    now = datetime.now(UTC)
    out = io.StringIO()
    given = ["--since", (now - HOUR).isoformat(), "--until", (now + HOUR).isoformat()]
    call_command("breach_report", *given, "--by", "claire", "--json", stdout=out)
    told = json.loads(out.getvalue())
    assert {fact["label"]: fact["text"] for fact in told["facts"]}["Approximate number of data subjects"] == "6"
    assert [one["rows"] for one in told["reads"]] == [6]
    out = io.StringIO()
    call_command("breach_report", *given, "--by", "claire", stdout=out)
    assert "MISSING" in out.getvalue() and "Approximate number of data subjects: 6" in out.getvalue()
    with pytest.raises(CommandError, match="no user"):
        call_command("breach_report", *given, "--by", "nobody")


def test_many_people_are_followed_through_chains_of_merges(shop: Segment) -> None:
    first, second, third = (person(user) for user in USERS[:3])
    merge_profiles(survivor=second, absorbed=first, reason="one", by=BY)
    merge_profiles(survivor=third, absorbed=second, reason="two", by=BY)
    while drain_dirty():
        number_changes()
    assert breach.who_they_are_now([first.pk, second.pk, third.pk, 10**12]) == ({third.pk}, 1)
