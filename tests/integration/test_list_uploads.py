"""Files of people for lists: what is recognised, what each row comes to, and that a list changes whole or not at all."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.collecting.tasks import discard_forgotten
from cdp.erasure import erase_profile
from cdp.errors import Conflict, DomainError
from cdp.identity.merging import merge_profiles
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import cancel
from segments.by_hand import ready_lists
from segments.lists import add_people, create_list, delete_list
from segments.models import ByHand, ListEntry, ListUpload, StaticList, UploadRow
from segments.sharing import share_segment
from segments.tasks import apply_upload
from segments.uploads import services
from segments.uploads.forgetting import forget_upload_rows
from segments.uploads.models import UploadMode, UploadState
from tests.factories import BY, identify, live, members, performed, person, process_all, track, tracker

pytestmark = pytest.mark.django_db

PEOPLE = ("ann", "bob", "cyd", "dee")


@pytest.fixture
def guests(db: None) -> StaticList:
    tracker().send(
        *(identify(name, traits={"email": f"{name}@example.com"}) for name in PEOPLE), track("Order Completed", "ann")
    )
    process_all()
    return create_list(name="Guests", by=BY)


def uploaded(of: StaticList, *lines: str, mode: UploadMode = UploadMode.APPEND, raw: bytes | None = None) -> ListUpload:
    content = io.BytesIO("\n".join(lines).encode() if raw is None else raw)
    return services.upload(static_list=of, mode=mode, name="guests.csv", content=content, reason="invited", by=BY)


def applied(file: ListUpload) -> ListUpload:
    services.ask_to_apply(file=file, by=BY, user=None)
    done = services.apply(file=file, by=BY, progress=lambda *_: None)
    process_all()
    return done


def on(of: StaticList) -> set[str]:
    entries = set(ListEntry.objects.filter(list=of).values_list("profile_id", flat=True))
    return {name for name in PEOPLE if person(name).pk in entries}


# ---- What is recognised ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "headings", "namespaces", "first"),
    [
        (["E-Mail,Name", "ann@example.com,Ann"], ["E-Mail", "Name"], ["email", ""], 2),
        (["Customer ID;City", "ann;Bern"], ["Customer ID", "City"], ["user_id", ""], 2),
        (["contact", "ann@example.com", "bob@example.com"], ["contact"], ["email"], 2),
        (["ann@example.com,x", "bob@example.com,y"], ["Column 1", "Column 2"], ["email", ""], 1),
        (["a\tb", "1\t2"], ["a", "b"], ["", ""], 2),
        (["\ufeffuser_id,", "ann,"], ["user_id", "Column 2"], ["user_id", ""], 2),
    ],
)
def test_columns_are_recognised_by_name_or_by_what_stands_in_them(
    guests: StaticList, lines: list[str], headings: list[str], namespaces: list[str], first: int
) -> None:
    file = uploaded(guests, *lines)
    assert (file.headings, file.namespaces) == (headings, namespaces)
    assert UploadRow.objects.filter(upload=file).order_by("line")[0].line == first
    assert on(guests) == set()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "file_empty"), (b"\n\n", "file_empty"), (b"email\n", "file_empty"), (b"email\n,,\n\n", "file_empty"),
        (b"email\n\xff\xfe", "file_not_utf8"), (b'email\n"open', "file_not_csv"), (b"," * 40 + b"\na", "too_many_columns"),
        (b"email\nann@example.com\n" + b";" * 30_000, "line_too_long"), (b"x" * 30_000, "line_too_long"),
    ],
)  # fmt: skip
def test_what_is_no_such_file_is_refused_and_leaves_nothing(guests: StaticList, raw: bytes, code: str) -> None:
    raw = raw.replace(b"," * 40, b"a," * 40)
    with pytest.raises(DomainError) as refused:
        uploaded(guests, raw=raw)
    assert refused.value.code == code
    assert not ListUpload.objects.exists() and not UploadRow.objects.exists()


def test_hostile_cells_lead_to_nobody_and_break_nothing(guests: StaticList) -> None:
    evil = [
        "=cmd|' /C calc'!A0",
        "<img src=x onerror=alert(1)>",
        "x" * 5000,
        "\x00ann@example.com",
        "';DROP TABLE x;--",
        "null",
    ]
    rows = "".join(f'"{one}"\n' for one in evil)
    done = applied(uploaded(guests, raw=f"email\n{rows}ann@example.com\n".encode()))
    assert (done.matched, done.added) == (1, 1) and on(guests) == {"ann"}
    assert done.problem_counts == {"unmatched": 4, "empty": 2}


# ---- What it comes to ------------------------------------------------------------------------------------------------


def test_each_row_without_effect_is_told_with_its_line_and_its_rows_are_gone(guests: StaticList) -> None:
    file = uploaded(
        guests,
        "email,customer",
        "ann@example.com,ann",
        "bob@example.com,cyd",
        "",
        "nobody@example.com,",
        "ANN@example.com,",
        ",",
        ",dee",
    )
    seen = services.look(file)
    assert (seen.looked_at, seen.found) == (5, [3, 3])
    done = applied(file)
    assert (done.matched, done.added, done.removed) == (2, 2, 0) and on(guests) == {"ann", "dee"}
    assert done.problems == [[3, "ambiguous"], [5, "unmatched"], [6, "repeated"]]
    assert not UploadRow.objects.exists() and done.state == UploadState.APPLIED
    entry = ListEntry.objects.get(profile=person("dee"))
    assert (entry.reason, entry.added_by) == ("invited", BY.label)
    told = AuditEntry.objects.get(action="list_upload.applied").detail
    assert told == {"matched": 2, "added": 2, "removed": 0, "problems": {"ambiguous": 1, "unmatched": 1, "repeated": 1}}


def test_a_list_is_added_to_said_anew_or_taken_from_and_members_follow(guests: StaticList) -> None:
    segment = live("guests", {"in_list": "guests"})
    for mode, names, expected in (
        (UploadMode.APPEND, ("ann", "bob"), {"ann", "bob"}),
        (UploadMode.APPEND, ("bob", "cyd"), {"ann", "bob", "cyd"}),
        (UploadMode.REPLACE, ("cyd", "dee"), {"cyd", "dee"}),
        (UploadMode.REMOVE, ("dee", "ann"), {"cyd"}),
        (UploadMode.REPLACE, ("nobody",), set()),
    ):
        applied(uploaded(guests, "user_id", *names, mode=mode))
        assert on(guests) == members(segment) == expected, mode


def test_applying_twice_changes_nothing_more_and_nothing_is_applied_without_a_column(guests: StaticList) -> None:
    file = applied(uploaded(guests, "user_id", "ann"))
    again = services.apply(file=file, by=BY, progress=lambda *_: None)
    assert (again.added, on(guests)) == (1, {"ann"})
    with pytest.raises(Conflict, match="already"):
        services.ask_to_apply(file=file, by=BY, user=None)
    with pytest.raises(Conflict):
        services.discard(file=file, by=BY)
    unread = uploaded(guests, "a,b", "bob,cyd")
    with pytest.raises(DomainError, match="at least one column"):
        services.ask_to_apply(file=unread, by=BY, user=None)
    for wrong in (["user_id"], ["user_id", "B AD"], []):
        with pytest.raises(DomainError, match="for each column"):
            services.choose_columns(file=unread, chosen=wrong, by=BY)
    services.choose_columns(file=unread, chosen=["user_id", ""], by=BY)
    applied(unread)
    assert on(guests) == {"ann", "bob"}


def test_killed_or_stopped_in_the_middle_nothing_has_changed_and_it_goes_on(
    guests: StaticList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "AT_ONCE", 1)
    file = uploaded(guests, "user_id", "ann", "bob", "cyd", mode=UploadMode.REPLACE)
    add_people(static_list=guests, profile_ids=[person("dee").pk], by=BY)
    services.ask_to_apply(file=file, by=BY, user=None)

    def killed(done: int, total: int, phase: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        services.apply(file=file, by=BY, progress=killed)
    assert on(guests) == {"dee"} and UploadRow.objects.filter(cells=None).count() == 2
    seen: list[int] = []
    services.apply(file=file, by=BY, progress=lambda done, total, phase: seen.append(done))
    assert seen[0] == 2, "what was found stays found"
    assert on(guests) == {"ann", "bob", "cyd"}


@pytest.mark.parametrize("mode", list(UploadMode))
def test_killed_while_the_list_changes_nothing_is_lost_or_doubled(
    guests: StaticList, monkeypatch: pytest.MonkeyPatch, mode: UploadMode
) -> None:
    add_people(static_list=guests, profile_ids=[person("cyd").pk, person("dee").pk], by=BY)
    file = uploaded(guests, "user_id", "ann", "bob", "cyd", mode=mode)
    services.ask_to_apply(file=file, by=BY, user=None)

    def killed(file: ListUpload) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(services, "_forget", killed)  # the last that is done
        with pytest.raises(KeyboardInterrupt):
            services.apply(file=file, by=BY, progress=lambda *_: None)
    assert on(guests) == {"cyd", "dee"}
    done = services.apply(file=file, by=BY, progress=lambda *_: None)
    after = {
        UploadMode.APPEND: ({"ann", "bob", "cyd", "dee"}, 2, 0),
        UploadMode.REPLACE: ({"ann", "bob", "cyd"}, 2, 1),
        UploadMode.REMOVE: ({"dee"}, 0, 1),
    }
    assert (on(guests), done.added, done.removed) == after[mode]
    assert ListEntry.objects.filter(list=guests).count() == len(after[mode][0])
    assert AuditEntry.objects.filter(action="list_upload.applied").count() == 1


def test_what_somebody_else_matches_meanwhile_is_not_left_out(
    guests: StaticList, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "AT_ONCE", 1)
    file = uploaded(guests, "user_id", "ann", "bob", "cyd")
    services.ask_to_apply(file=file, by=BY, user=None)

    def others(done: int, total: int, phase: str) -> None:
        if done == 1:  # the one after the next
            UploadRow.objects.filter(upload=file, line=4).update(cells=None, profile_id=person("cyd").pk)

    done = services.apply(file=file, by=BY, progress=others)
    assert on(guests) == {"ann", "bob", "cyd"} and (done.matched, done.problem_counts) == (3, {})


def test_many_rows_cost_as_many_statements_as_few(guests: StaticList) -> None:
    def statements(rows: int) -> int:
        with CaptureQueriesContext(connection) as seen:
            file = uploaded(guests, "user_id", *(f"u{number}" for number in range(rows)))
            services.ask_to_apply(file=file, by=BY, user=None)
            services.apply(file=file, by=BY, progress=lambda *_: None)
        return len(seen)

    assert statements(2_000) == statements(2)


def test_a_cancelled_job_leaves_the_file_to_go_on_with_or_to_be_let_go(guests: StaticList) -> None:
    file = uploaded(guests, "user_id", "ann")
    job = services.ask_to_apply(file=file, by=BY, user=None)
    with pytest.raises(Conflict, match="Stop its job"):
        services.discard(file=file, by=BY)
    cancel(job=job, by=BY)
    apply_upload.apply(args=[job.pk])
    assert on(guests) == set()
    again = services.ask_to_apply(file=file, by=BY, user=None)
    assert again.pk != job.pk
    apply_upload.apply(args=[again.pk])
    again.refresh_from_db()
    assert (again.state, again.result) == (JobState.SUCCEEDED, {"matched": 1, "added": 1, "removed": 0})


# ---- Who somebody is, and who was erased -----------------------------------------------------------------------------


def test_who_merges_between_is_put_on_as_whoever_they_became(
    guests: StaticList, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = uploaded(guests, "user_id", "ann", "bob")
    services.ask_to_apply(file=file, by=BY, user=None)

    def merges(done: int, total: int, phase: str) -> None:
        if phase == "changing the list":
            merge_profiles(survivor=person("cyd"), absorbed=person("ann"), by=BY, reason="same")

    services.apply(file=file, by=BY, progress=merges)
    process_all()
    assert ListEntry.objects.filter(list=guests).count() == 2
    assert set(ListEntry.objects.values_list("profile_id", flat=True)) == {person("cyd").pk, person("bob").pk}


def test_rows_of_who_was_erased_go_whichever_column_names_them_and_matched_ones_too(guests: StaticList) -> None:
    ann, bob = person("ann"), person("bob")
    waits = uploaded(guests, "number,note", "1,ANN@example.com", "2,", f"3,{bob.uuid}", "4,cyd")
    matched = uploaded(guests, "user_id", "ann", "cyd")
    services._match_some(matched, 0)
    for one in (ann, bob):
        erase_profile(profile=one, by=BY, reason="PR-1")
    gone = forget_upload_rows(
        namespaces=["email", "user_id"], uuids=[ann.uuid, bob.uuid], profile_ids=[ann.pk, bob.pk], by=BY
    )
    assert gone == 3
    assert sorted(UploadRow.objects.filter(upload=waits).values_list("line", flat=True)) == [3, 5]
    waits.refresh_from_db(), matched.refresh_from_db()
    assert (waits.problem_counts, matched.problem_counts) == ({"erased": 2}, {"erased": 1})
    services.ask_to_apply(file=matched, by=BY, user=None)
    done = services.apply(file=matched, by=BY, progress=lambda *_: None)
    assert (done.added, done.problem_counts) == (1, {"erased": 1})


def test_forgotten_files_and_those_of_deleted_lists_leave_no_row(guests: StaticList) -> None:
    file = uploaded(guests, "user_id", "ann")
    ListUpload.objects.filter(pk=file.pk).update(uploaded_at=timezone.now() - timedelta(days=31))
    assert discard_forgotten() == 1 and not UploadRow.objects.exists() and not ListUpload.objects.exists()
    uploaded(guests, "user_id", "bob")
    delete_list(static_list=guests, by=BY)
    assert not UploadRow.objects.exists() and not ListUpload.objects.exists()


def test_files_fill_a_segments_own_lists_and_a_removal_by_hand_holds_against_them(guests: StaticList) -> None:
    segment = live("buyers", performed("Order Completed"))
    lists = ready_lists(segment=segment, by=BY)
    applied(uploaded(lists.exclude, "email", "ann@example.com"))
    assert members(segment) == set()
    applied(uploaded(lists.include, "email", "ann@example.com", "bob@example.com"))
    assert members(segment) == {"bob"}


# ---- Screens ---------------------------------------------------------------------------------------------------------


def client(role: str) -> Client:
    user, _ = User.objects.get_or_create(username=role or "newcomer", defaults={"is_staff": True})
    if role:
        user.groups.add(Group.objects.get(name=role))
    made = Client()
    made.force_login(user)
    return made


def csv_file(*lines: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("guests.csv", "\n".join(lines).encode(), content_type="text/csv")


def test_a_marketer_uploads_looks_chooses_applies_and_takes_what_had_no_effect(guests: StaticList) -> None:
    browser = client("marketer")
    base = "/admin/segments/staticlist/"
    sent: dict[str, Any] = {"mode": "append", "file": csv_file("who,more", "ann@example.com,=1+1", "nobody,x")}
    answer = browser.post(f"{base}list/guests/upload/", sent)
    file = ListUpload.objects.get()
    assert answer["Location"] == f"{base}uploads/{file.uuid}/"
    page = browser.get(answer["Location"]).content.decode()
    assert "1 of the first 2 rows lead" in page and "a•••@example.com" in page and "ann@example.com" not in page
    browser.post(f"{base}uploads/{file.uuid}/columns/", {"column": ["", "user_id"]})
    assert "none of the first 2 rows leads to anybody" in browser.get(answer["Location"]).content.decode()
    browser.post(f"{base}uploads/{file.uuid}/columns/", {"column": ["email", ""]})
    browser.post(f"{base}uploads/{file.uuid}/apply/")
    assert "progress" in browser.get(answer["Location"]).content.decode(), "it survives a reload"
    apply_upload.apply(args=[Job.objects.get(kind=services.APPLY_KIND).pk])
    assert "Came onto the list" in browser.get(answer["Location"]).content.decode() and on(guests) == {"ann"}
    told = b"".join(browser.get(f"{base}uploads/{file.uuid}/problems.csv").streaming_content).decode()  # type: ignore[attr-defined]
    assert list(csv.reader(io.StringIO(told)))[1:] == [["3", "unmatched", "Leads to nobody"]]
    refused = browser.post(f"{base}list/guests/upload/", {"mode": "burn", "file": csv_file("a", "b")})
    assert (
        refused.status_code == 422 and browser.post(f"{base}list/guests/upload/", {"mode": "append"}).status_code == 422
    )


def test_a_list_is_made_with_a_segment_renamed_and_deleted_unless_a_rule_reads_it(guests: StaticList) -> None:
    browser = client("marketer")
    base = "/admin/segments/staticlist/"
    made = browser.post(f"{base}new/", {"name": "Opening", "segment": "yes", "upload": "yes"})
    assert made["Location"] == f"{base}list/opening/upload/"
    segment = StaticList.objects.get(key="opening").used_by.get().user
    applied(uploaded(StaticList.objects.get(key="opening"), "user_id", "cyd"))
    assert members(segment) == {"cyd"}
    assert browser.post(f"{base}new/", {"name": " "}).status_code == 422
    page = browser.get(f"{base}list/opening/").content.decode()
    assert str(person("cyd").uuid) in page and "Opening" in page
    browser.post(f"{base}list/opening/settings/", {"name": "Grand opening", "description": "<b>x</b>"})
    assert "Grand opening" in browser.get(base).content.decode()
    assert "&lt;b&gt;x" in browser.get(base).content.decode()
    refused = browser.post(f"{base}list/opening/delete/")
    assert refused.status_code == 409 and "It is read by" in refused.content.decode()
    browser.post(f"{base}list/opening/remove/{person('cyd').uuid}/")
    process_all()
    assert members(segment) == set()
    assert browser.post(f"{base}list/guests/delete/").status_code == 302
    assert not StaticList.objects.filter(key="guests").exists()


@pytest.mark.parametrize("field", ["name", "description"])
def test_a_text_that_no_column_takes_is_refused_at_its_field(guests: StaticList, field: str) -> None:
    browser, texts = client("marketer"), {"name": "Crew", "description": "Staff"} | {field: "a\x00b"}
    for address in ("new/", f"list/{guests.key}/settings/"):
        answer = browser.post(f"/admin/segments/staticlist/{address}", texts)
        assert answer.status_code == 422 and "There is a NUL in this text" in answer.content.decode()
    assert StaticList.objects.get().name == "Guests"


def test_lists_and_who_is_on_one_go_page_by_page(guests: StaticList, monkeypatch: pytest.MonkeyPatch) -> None:
    from segments.screens import lists as screen

    monkeypatch.setattr(screen, "PAGE", 2)
    for name in ("Guests", "Alpha", "Guests"):
        create_list(name=name, by=BY)
    add_people(static_list=guests, profile_ids=[person(name).pk for name in PEOPLE], by=BY)  # all of one moment
    browser = client("marketer")

    def walked(path: str, pattern: str) -> list[str]:
        import re

        found: list[str] = []
        query: dict[str, str] = {}
        while True:
            page = browser.get(path, query)
            found += re.findall(pattern, page.content.decode())
            if not page.context["next"]:
                return found
            query = {"after": page.context["next"]}

    names = walked("/admin/segments/staticlist/", r"<small><code>([\w-]+)</code>")
    assert names == ["alpha", "guests", "guests-2", "guests-3"]
    people = walked("/admin/segments/staticlist/list/guests/", r'<a href="/admin/profiles/profile/([\w-]+)/">')
    assert people == [str(person(name).uuid) for name in reversed(PEOPLE)]
    sizes = browser.get("/admin/segments/staticlist/sizes/", {"keys": "guests,alpha,x"}).content.decode()
    assert '<span id="size-guests" hx-swap-oob="true">4</span>' in sizes


def test_each_door_of_lists_opens_for_whom_it_is_meant(guests: StaticList) -> None:
    file = uploaded(guests, "user_id", "ann")
    base = "/admin/segments/staticlist/"
    doors = {
        ("get", ""): "marketer compliance integrator admin",
        ("get", "sizes/"): "marketer compliance integrator admin",
        ("get", "list/guests/"): "marketer compliance admin",
        ("get", "list/guests/settings/"): "marketer compliance admin",
        ("get", "new/"): "marketer admin",
        ("post", "list/guests/settings/"): "marketer admin",
        ("get", "list/guests/upload/"): "marketer admin",
        ("get", f"uploads/{file.uuid}/"): "marketer admin",
        ("get", f"uploads/{file.uuid}/problems.csv"): "marketer admin",
        ("post", f"uploads/{file.uuid}/columns/"): "marketer admin",
        ("post", f"list/guests/remove/{person('ann').uuid}/"): "marketer admin",
    }
    for role in ("marketer", "compliance", "integrator", "admin", ""):
        browser = client(role)
        for (method, rest), allowed in doors.items():
            sent = {"name": "Guests", "column": ["user_id"]}
            status = getattr(browser, method)(base + rest, sent).status_code
            expected = {200, 302} if role and role in allowed.split() else {403, 404}
            assert status in expected, (role, method, rest, status)
    for rest in ("list/guests/delete/", f"uploads/{file.uuid}/apply/", f"uploads/{file.uuid}/discard/"):
        assert client("compliance").post(base + rest).status_code == 403


def test_a_segments_own_lists_open_for_who_may_see_it_and_are_changed_by_who_may_do_so(guests: StaticList) -> None:
    segment = live("buyers", performed("Order Completed"))
    own = ready_lists(segment=segment, by=BY).of(ByHand.INCLUDE)
    base = "/admin/segments/staticlist/"
    assert client("marketer").get(f"{base}list/{own.key}/").status_code == 200
    assert client("marketer").get(f"{base}list/{own.key}/settings/").status_code == 404
    assert client("compliance").get(f"{base}list/{own.key}/upload/").status_code == 403
    no_reason = client("marketer").post(f"{base}list/{own.key}/upload/", {"mode": "append", "file": csv_file("a", "b")})
    assert no_reason.status_code == 422 and "Say why" in no_reason.content.decode()
    newcomer = client("")
    assert newcomer.get(f"{base}list/{own.key}/").status_code == 404
    share_segment(segment=segment, user=User.objects.get(username="newcomer"), by=BY)
    assert newcomer.get(f"{base}list/{own.key}/").status_code == 403
    assert own.key not in client("marketer").get(base).content.decode()
    # By a role that sees lists, but not this segment: neither its name nor how many it has.
    lister = User.objects.create_user("lister", is_staff=True)
    lister.user_permissions.add(Permission.objects.get(codename="view_staticlist"))
    browser = Client()
    browser.force_login(lister)
    assert browser.get(f"{base}{guests.pk}/change/").status_code == 200
    for rest in (f"{own.pk}/change/", f"{own.pk}/history/", f"sizes/?keys={own.key}"):
        assert "buyers" not in browser.get(base + rest, follow=True).content.decode().lower(), rest
