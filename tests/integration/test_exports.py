"""Exports: an audience's people as a whole file, of one moment, for a purpose they permit, that nobody gets who may not."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from cdp.activation.models import AudienceMember
from cdp.audit.actors import SYSTEM
from cdp.erasure import erase_profile
from cdp.errors import DomainError, DomainErrors, Forbidden
from cdp.exports import keeping, planning, running
from cdp.exports.links import make_link, open_link
from cdp.exports.manifest import manifest_of
from cdp.exports.models import Every, Export, Gone, OffReason, Schedule
from cdp.exports.services import Spec, change_schedule, create_schedule, request_export
from cdp.jobs.models import JobState
from cdp.jobs.services import LeaseLost
from cdp.pipeline import drain_dirty
from consent.models import Decision
from tests.factories import BY, identify, person, process_all, track, tracker
from tests.integration.audiences import keep
from tests.integration.callers import decide
from tests.integration.exporting import EMAIL, content, exporter, made, people_of_a_shop, rows, work

PEOPLE = ("ann", "bob", "cleo")


@pytest.fixture(autouse=True)
def folder(own_database: Any, settings: Any, tmp_path: Path) -> Path:
    settings.EXPORT_DIR = str(tmp_path / "exports")
    settings.EXPORT_RETRY_SECONDS = []
    return tmp_path / "exports"


def uuids(*users: str) -> set[str]:
    return {str(person(one).uuid) for one in users}


# ---- What is in a file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["csv", "ndjson", "parquet"])
def test_a_file_has_everybody_who_permits_the_purpose_with_the_fields_asked_for(format: str) -> None:
    traits = {
        "ann": {"city": "Bern", "points": 12.5},
        "bob": {"city": 'a "b",\nc\\d', "points": -3},
        "cleo": {"city": ""},
    }
    audience = people_of_a_shop(*PEOPLE, "dan", traits=lambda one: traits.get(one, {}))
    decide("dan", EMAIL, Decision.WITHDRAWN)  # nobody has judged it yet
    export = made(
        audience,
        exporter(),
        format=format,
        is_for_spreadsheets=False,
        fields=["entered_at", "identifier:user_id", "trait:city", "trait:points"],
    )
    found = {row["identifier:user_id"]: row for row in rows(export)}
    assert set(found) == set(PEOPLE)
    assert {row["profile"] for row in found.values()} == uuids(*PEOPLE)
    assert found["bob"]["trait:city"] == 'a "b",\nc\\d'
    assert found["cleo"]["trait:city"] == ""
    assert float(found["ann"]["trait:points"]) == 12.5
    assert float(found["bob"]["trait:points"]) == -3
    assert found["cleo"]["trait:points"] in (None, "")
    entered = found["ann"]["entered_at"]
    entered = entered if isinstance(entered, datetime) else datetime.fromisoformat(entered)
    assert entered == AudienceMember.objects.get(profile_uuid=person("ann").uuid).entered_at
    assert (export.rows, export.withheld) == (3, [person("dan").pk])


def test_a_scheduled_copy_by_gzip_is_the_same_and_its_hash_is_of_what_lies_there() -> None:
    audience = people_of_a_shop(*PEOPLE)
    user = exporter()
    plain, packed = made(audience, user), made(audience, user, is_gzipped=True)
    assert rows(plain) == rows(packed)
    raw = keeping.path_of(packed).read_bytes()
    assert (packed.sha256, packed.bytes) == (hashlib.sha256(raw).hexdigest(), len(raw))
    assert packed.name.endswith(".csv.gz")


def test_an_empty_audience_gives_a_whole_file_of_each_format() -> None:
    audience = people_of_a_shop("ann")
    decide("ann", EMAIL, Decision.WITHDRAWN)
    keep()
    user = exporter()
    for format in ("csv", "ndjson", "parquet"):
        assert rows(made(audience, user, format=format)) == []


def test_what_a_spreadsheet_would_run_is_marked_unless_the_file_is_for_machines() -> None:
    bad = ["=1+1", "+1", "-1", "@A1", "\t=1", "\uff1d1", "fine", "1-2"]
    audience = people_of_a_shop(*(f"p{n}" for n in range(len(bad))), traits=lambda one: {"city": bad[int(one[1:])]})
    user = exporter()
    fields = ["trait:city"]
    assert {row["trait:city"] for row in rows(made(audience, user, fields=fields))} == {
        one if one in ("fine", "1-2") else f"'{one}" for one in bad
    }
    plain = made(audience, user, fields=fields, is_for_spreadsheets=False)
    assert {row["trait:city"] for row in rows(plain)} == set(bad)


def test_a_heading_that_a_spreadsheet_would_run_is_marked_too() -> None:
    audience = people_of_a_shop("ann", traits=lambda _: {"=cmd": "x"})
    export = made(audience, exporter(), fields=["trait:=cmd"])
    assert content(export).decode().splitlines()[0] == "profile,trait:=cmd", "it begins with what kind of field it is"


def test_the_newest_identifier_of_a_namespace_is_given() -> None:
    audience = people_of_a_shop("ann")
    shop = tracker()
    shop.send(identify("ann", traits={"email": "old@example.com"}))
    process_all()
    export = made(audience, exporter(), fields=["identifier:email"])
    assert [row["identifier:email"] for row in rows(export)] == ["old@example.com"]


# ---- What changed ------------------------------------------------------------------------------------------------


def test_a_delta_has_who_came_and_who_went_since_and_whoever_applies_it_has_the_members() -> None:
    audience = people_of_a_shop(*PEOPLE)
    user = exporter()
    full = made(audience, user)
    copy = {row["profile"] for row in rows(full)}
    decide("ann", EMAIL, Decision.WITHDRAWN)
    tracker().send(identify("dan"), track("Bought", "dan"))
    process_all()
    decide("dan", EMAIL, Decision.GRANTED)
    keep()
    delta = made(audience, user, since=full, fields=["entered_at", "identifier:user_id"])
    told = rows(delta)
    assert {(row["change"], row["profile"]) for row in told} == {
        ("entered", *uuids("dan")),
        ("exited", *uuids("ann")),
    }
    gone = next(row for row in told if row["change"] == "exited")
    assert (gone["entered_at"], gone["identifier:user_id"]) == ("", ""), "of who left nothing more is told"
    for row in told:
        (copy.add if row["change"] == "entered" else copy.discard)(row["profile"])
    assert copy == uuids("bob", "cleo", "dan")
    assert delta.after == full.position
    assert rows(made(audience, user, since=delta)) == []


def test_whom_a_file_withheld_is_in_the_next_delta_though_nothing_is_told_of_them() -> None:
    """They withdrew, the file was made, and they permitted it again, all before anybody judged them: no change stands in the feed."""
    audience = people_of_a_shop(*PEOPLE)
    user = exporter()
    decide("ann", EMAIL, Decision.WITHDRAWN)
    full = made(audience, user)
    assert {row["profile"] for row in rows(full)} == uuids("bob", "cleo")
    decide("ann", EMAIL, Decision.GRANTED)
    keep()
    delta = made(audience, user, since=full)
    assert [(row["change"], row["profile"]) for row in rows(delta)] == [("entered", *uuids("ann"))]


def test_a_delta_on_what_is_no_longer_kept_is_full_and_says_so() -> None:
    audience = people_of_a_shop(*PEOPLE)
    user = exporter()
    full = made(audience, user)
    decide("ann", EMAIL, Decision.WITHDRAWN)
    keep()
    audience.refresh_from_db()
    type(audience).objects.filter(pk=audience.pk).update(kept_after=audience.position)
    again = made(audience, user, since=full)
    assert (again.after, again.rows) == (None, 2)
    assert manifest_of(again)["kind"] == "full"


# ---- Who may -------------------------------------------------------------------------------------------------------


def test_whoever_may_not_take_members_out_is_refused_when_they_ask_and_when_it_is_made() -> None:
    audience = people_of_a_shop(*PEOPLE)
    nobody = exporter("paula", role="compliance")
    with pytest.raises(DomainError, match="may not take"):
        request_export(audience=audience, spec=Spec(), by=BY, user=nobody)
    user = exporter()
    asked = request_export(audience=audience, spec=Spec(), by=BY, user=user)
    user.groups.clear()
    done = work(asked)
    assert (done.finished_at, done.file) == (None, "")
    assert done.job is not None
    assert (done.job.state, done.job.error_code) == (JobState.FAILED, "no_access")


def test_personal_fields_are_for_who_may_reveal_them() -> None:
    audience = people_of_a_shop("ann")
    marketer = exporter("mary", role="marketer")
    marketer.user_permissions.clear()
    assert not marketer.has_perm("profiles.reveal_pii")
    with pytest.raises(Forbidden) as refused:
        request_export(audience=audience, spec=Spec(fields=["entered_at", "identifier:user_id"]), by=BY, user=marketer)
    assert refused.value.pointer == "/fields/1"
    assert made(audience, marketer, fields=["trait:city"]).has_personal is False
    assert made(audience, exporter(), fields=["identifier:user_id"]).has_personal is True


def test_fields_that_there_are_not_are_named_each() -> None:
    audience = people_of_a_shop("ann")
    with pytest.raises(DomainErrors) as refused:
        request_export(
            audience=audience, spec=Spec(fields=["trait:nope", "entered_at", "entered_at"]), by=BY, user=exporter()
        )
    assert [(one.code, one.pointer) for one in refused.value.errors] == [
        ("field_unknown", "/fields/0"),
        ("field_twice", "/fields/2"),
    ]


# ---- Killed, cancelled, no room ------------------------------------------------------------------------------------


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", ["writing", "written", "done"])
def test_a_worker_killed_at_any_point_leaves_one_whole_file_once_another_took_over(
    at: str, folder: Path, settings: Any
) -> None:
    settings.JOB_LEASE_SECONDS = 60
    audience = people_of_a_shop(*PEOPLE)
    asked = request_export(audience=audience, spec=Spec(), by=BY, user=exporter())

    def dies(done: int, total: int, phase: str) -> None:
        if phase == at or (at == "writing" and phase == "finding people"):
            raise Killed

    with pytest.raises(Killed):
        running.make(Export.objects.get(pk=asked.pk), progress=dies)
    done = work(asked)
    assert done.finished_at is not None
    files = [one.name for one in folder.iterdir() if not one.name.startswith(".")]
    assert files == [done.file]
    assert hashlib.sha256(keeping.path_of(done).read_bytes()).hexdigest() == done.sha256
    assert {row["profile"] for row in rows(done)} == uuids(*PEOPLE)


def test_who_lost_the_lease_writes_nothing_down(folder: Path) -> None:
    audience = people_of_a_shop(*PEOPLE)
    asked = request_export(audience=audience, spec=Spec(), by=BY, user=exporter())

    def lost(done: int, total: int, phase: str) -> None:
        if phase == "written":
            raise LeaseLost(1)

    with pytest.raises(LeaseLost):
        running.make(Export.objects.get(pk=asked.pk), progress=lost)
    assert list(folder.iterdir()) == []
    assert Export.objects.get(pk=asked.pk).file == ""


# ---- How long files stay -------------------------------------------------------------------------------------------


def test_files_go_when_their_days_are_over_and_say_so() -> None:
    export = made(people_of_a_shop("ann"), exporter())
    path = keeping.path_of(export)
    Export.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert keeping.purge() == 1
    export.refresh_from_db()
    assert (path.exists(), export.gone, export.is_kept) == (False, Gone.OVER, False)
    with pytest.raises(DomainError) as refused:
        keeping.open_file(export=export, by=BY)
    assert refused.value.status == 410


def test_a_file_of_somebody_who_is_erased_goes_and_cannot_be_fetched_meanwhile() -> None:
    audience = people_of_a_shop(*PEOPLE)
    export = made(audience, exporter())
    ann = person("ann")
    assert list(keeping.files_that_may_hold([ann.pk])) == [export]
    erase_profile(profile=ann, by=SYSTEM, reason="PR-1")
    while drain_dirty():
        pass
    keep()
    with pytest.raises(DomainError) as refused:
        keeping.open_file(export=export, by=BY)
    assert refused.value.status == 410
    assert keeping.purge() == 1
    export.refresh_from_db()
    assert export.gone == Gone.ERASED


# ---- Links -----------------------------------------------------------------------------------------------------------


def test_a_link_opens_the_file_until_it_ends_or_its_maker_may_not_any_more() -> None:
    user = exporter()
    export = made(people_of_a_shop("ann"), user)
    link = make_link(export=export, user=user, by=BY, hours=1)
    token = link.path.rstrip("/").rsplit("/", 1)[1]
    found, file = open_link(token, ip_prefix="")
    with file:
        assert found.pk == export.pk
        assert file.read() == keeping.path_of(export).read_bytes()
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "nonsense"):
        with pytest.raises(DomainError, match="doesn't open"):
            open_link(wrong, ip_prefix="")
    user.groups.clear()
    with pytest.raises(DomainError, match="doesn't open"):
        open_link(token, ip_prefix="")
    export.refresh_from_db()
    assert export.downloads == 1


# ---- Schedules -------------------------------------------------------------------------------------------------------


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("every", "now", "last", "following"),
    [
        (Every.HOUR, "2026-11-24T10:20", "2026-11-24T10:00", "2026-11-24T11:00"),
        (Every.DAY, "2026-11-24T05:59", "2026-11-23T05:00", "2026-11-24T06:00"),
        (Every.WEEK, "2026-11-24T12:00", "2026-11-23T05:00", "2026-11-30T05:00"),
        # Clocks of Zürich are set back on 25 October 2026: 6 o'clock is 4 before it by UTC, and 5 after it.
        (Every.DAY, "2026-10-25T04:30", "2026-10-24T04:00", "2026-10-25T05:00"),
    ],
)
def test_when_a_schedule_is_due(every: str, now: str, last: str, following: str) -> None:
    schedule = Schedule(every=every, hour=6, weekday=0)
    found = planning.last_planned(schedule, now=at(now), zone="Europe/Zurich")
    if (every, now) == (Every.DAY, "2026-11-24T05:59"):
        last, following = "2026-11-24T05:00", "2026-11-25T05:00"
    assert found == at(last)
    assert planning.next_planned(schedule, now=at(now), zone="Europe/Zurich") == at(following)


def test_a_schedule_makes_a_full_file_then_what_changed_and_never_two_for_one_time() -> None:
    audience = people_of_a_shop(*PEOPLE)
    schedule = create_schedule(
        name="Nightly", audience=audience, spec=Spec(), by=BY, user=exporter(), is_delta=True, every=Every.HOUR
    )
    assert planning.request_due() == 0, "nothing was planned since it was made"
    due(schedule)
    assert planning.request_due() == 1
    assert planning.request_due() == 0
    [first] = Export.objects.all()
    assert work(first).after is None
    tracker().send(identify("dan"), track("Bought", "dan"))
    process_all()
    decide("dan", EMAIL, Decision.GRANTED)
    keep()
    due(schedule)
    Export.objects.update(planned_for=timezone.now() - timedelta(hours=3))
    assert planning.request_due() == 1
    second = work(Export.objects.order_by("-pk")[0])
    assert [(row["change"], row["profile"]) for row in rows(second)] == [("entered", *uuids("dan"))]


def due(schedule: Schedule) -> None:
    Schedule.objects.filter(pk=schedule.pk).update(planned_to=timezone.now() - timedelta(hours=2))


def test_a_schedule_of_who_may_not_any_more_is_turned_off() -> None:
    user = exporter()
    schedule = create_schedule(name="Nightly", audience=people_of_a_shop("ann"), spec=Spec(), by=BY, user=user)
    user.groups.clear()
    Schedule.objects.update(planned_to=timezone.now() - timedelta(days=8))
    assert planning.request_due() == 0
    schedule.refresh_from_db()
    assert schedule.off_reason == OffReason.NO_ACCESS
    other = exporter("otto")
    assert change_schedule(schedule=schedule, by=BY, user=other, is_on=True).is_on
    assert planning.request_due() == 0, "what was missed while it was off isn't made up for"
