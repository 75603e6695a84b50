"""An erasure that somebody asked for: it reaches every target, one that fails hides none, and nothing that races it is left over."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.utils import timezone

from cdp.errors import Conflict
from cdp.identity.merging import merge_profiles
from cdp.jobs.models import Job, JobState
from cdp.jobs.services import cancel
from cdp.privacy import exporting, running, services, targets
from cdp.privacy.exporting import export_folder, path_of
from cdp.privacy.models import (
    PrivacyExport,
    PrivacyRequest,
    PrivacyTarget,
    RequestKind,
    RequestState,
    TargetState,
    Tombstone,
)
from cdp.privacy.tasks import purge
from cdp.profiles.models import Profile
from cdp.vault.services import Item, seal
from segments.models import MembershipChange
from tests.factories import BY, Tracker, identify, live, members, performed, person, process_all, track, tracker
from tests.integration.rights import ANN, asked, begun, done, run, states

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.PRIVACY_EXPORT_DIR = str(tmp_path / "exports")


@pytest.fixture
def shop(db: None) -> Tracker:
    shop = tracker()
    shop.send(
        identify(ANN, traits={"email": f"{ANN}@b.ch", "city": "Bern"}), track("Bought", ANN), track("Bought", "bob")
    )
    process_all()
    return shop


def test_an_erasure_reaches_every_target_and_tells_each(shop: Tracker) -> None:
    segment = live("buyers", performed("Bought"))
    request = done(RequestKind.ERASURE)
    assert list(states(request)) == ["people", "keys", "memberships", "rules", "imports", "files", "feed"]
    assert set(states(request).values()) == {"done"}
    assert request.targets.get(key="people").counts["events"] == 2
    assert members(segment) == {"bob"}
    assert request.identity_note == ""
    assert Tombstone.objects.filter(profile_id__in=request.subject_ids).count() == 1


def test_one_target_that_fails_hides_none_of_the_others_and_is_tried_again_alone(
    shop: Tracker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is broken is a target of ours, put in the place of one: nothing else could make just this one fail."""

    def broken(request: PrivacyRequest, by: Any) -> dict[str, Any]:
        raise OSError(f"no space for {ANN}")

    told = tuple(replace(one, do=broken) if one.key == "rules" else one for one in targets.ERASURE)
    request = begun(asked(RequestKind.ERASURE))
    with monkeypatch.context() as patched:
        patched.setattr(targets, "ERASURE", told)
        run(request)
    assert request.state == RequestState.IN_PROGRESS
    failed = request.targets.get(key="rules")
    assert (failed.state, failed.error_code, failed.attempts) == (TargetState.FAILED, "internal", 1)
    assert set(states(request).values()) == {"done", "failed"} and list(states(request).values()).count("done") == 6
    assert Job.objects.get(uuid=request.job_uuid).error_code == "targets_failed"
    assert ANN not in caplog.text
    with pytest.raises(Conflict):
        services.retry_target(target=request.targets.get(key="people"), by=BY)
    services.retry_target(target=failed, by=BY)
    run(request)
    assert request.state == RequestState.DONE
    assert request.targets.get(key="rules").attempts == 2 and request.targets.get(key="people").attempts == 1


def test_killed_in_the_middle_it_goes_on_with_what_is_left(shop: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is stopped before each of the targets in turn, as a signal stops it."""
    request = begun(asked(RequestKind.ERASURE))
    for number in range(len(targets.ERASURE)):
        cut = targets.ERASURE[number]

        def stopped(request: PrivacyRequest, by: Any) -> dict[str, Any]:
            raise KeyboardInterrupt

        told = tuple(replace(o, do=stopped) if o is cut else o for o in targets.ERASURE)
        with monkeypatch.context() as patched:
            patched.setattr(targets, "ERASURE", told)
            with pytest.raises(KeyboardInterrupt):
                running.carry_out(PrivacyRequest.objects.get(pk=request.pk), progress=lambda *_: None)
        assert request.targets.get(key=cut.key).state == TargetState.RUNNING
    run(request)
    assert request.state == RequestState.DONE and not Profile.objects.filter(uuid=request.profile_uuid).exists()


def test_work_that_was_cancelled_is_taken_up_again(shop: Tracker) -> None:
    request = begun(asked(RequestKind.RESTRICTION))
    target = request.targets.get()
    with pytest.raises(Conflict):
        services.retry_target(target=target, by=BY)
    cancel(job=Job.objects.get(uuid=request.job_uuid), by=BY)
    assert run(request).state == RequestState.IN_PROGRESS
    services.retry_target(target=target, by=BY)
    assert run(request).state == RequestState.DONE


def test_systems_outside_are_ticked_off_by_hand(shop: Tracker, settings: Any) -> None:
    settings.PRIVACY_OUTSIDE = ["Mail house", "Warehouse"]
    request = run(begun(asked(RequestKind.ERASURE)))
    assert request.state == RequestState.IN_PROGRESS
    mail, house = request.targets.filter(is_outside=True)
    with pytest.raises(Conflict):
        services.tick_off(target=request.targets.get(key="people"), by=BY)
    assert services.tick_off(target=mail, by=BY) is False
    with pytest.raises(Conflict):
        services.tick_off(target=mail, by=BY)
    assert services.tick_off(target=house, by=BY) is True
    request.refresh_from_db()
    assert request.state == RequestState.DONE and PrivacyTarget.objects.get(pk=mail.pk).done_by == BY.label


def test_feeds_keep_a_tombstone_for_its_days(shop: Tracker) -> None:
    live("buyers", performed("Bought"))
    request = done(RequestKind.ERASURE)
    theirs = MembershipChange.objects.filter(profile_id__in=request.subject_ids)
    assert list(theirs.order_by("position").values_list("kind", "why")) == [("entered", "time"), ("exited", "erasure")]
    assert running.drop_tombstones() == 0
    Tombstone.objects.update(drop_after=timezone.now())
    assert running.drop_tombstones() == 2
    assert not theirs.exists() and not Tombstone.objects.exists()
    assert MembershipChange.objects.count() == 1, "bob's"


def test_what_was_asked_under_the_id_of_somebody_absorbed_goes_too(shop: Tracker) -> None:
    """Their file, and what was noted in words, is the person's, by whichever of their ids it came."""
    shop.send(identify("cyd", traits={"email": "cyd@b.ch"}))
    process_all()
    file = done(RequestKind.ACCESS, profile=person("cyd")).exports.get()
    noted = asked(RequestKind.RECTIFICATION, profile=person("cyd"), corrections={"name": "Cydney"})
    merge_profiles(survivor=person(ANN), absorbed=person("cyd"), reason="one person", by=BY)
    done(RequestKind.ERASURE)
    file.refresh_from_db()
    noted.refresh_from_db()
    assert file.deleted_at is not None and not path_of(file).exists()
    assert noted.corrections == {} and file.request.targets.exists()
    assert PrivacyRequest.objects.get(pk=file.request_id).identity_note == ""


def test_a_file_that_is_finished_after_the_erasure_is_thrown_away(
    shop: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds was read before; the erasure can't have found it."""
    access, erasure = begun(asked(RequestKind.ACCESS)), begun(asked(RequestKind.ERASURE))
    written = exporting._write

    def meanwhile(*arguments: Any, **named: Any) -> None:
        written(*arguments, **named)
        run(erasure)

    monkeypatch.setattr(exporting, "_write", meanwhile)
    run(access)
    assert erasure.state == RequestState.DONE
    assert access.targets.get().error_code == "profile_not_found"
    assert list(export_folder().iterdir()) == [] and not PrivacyExport.objects.exists()


def test_no_file_is_made_of_somebody_who_is_being_erased(shop: Tracker, settings: Any) -> None:
    """Should the first target fail, the files are done by then, and nobody would look for another one."""
    erasure = begun(asked(RequestKind.ERASURE))
    before, settings.VAULT_KEY_FILE = settings.VAULT_KEY_FILE, "/nowhere/keys.json"
    run(erasure)
    settings.VAULT_KEY_FILE = before
    assert states(erasure)["files"] == "done"
    access = run(begun(asked(RequestKind.ACCESS)))
    assert access.targets.get().error_code == "erasure_begun" and not list(export_folder().iterdir())


def test_a_database_that_says_no_to_one_target_hides_none_of_the_others(
    shop: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit of time is no lost connection: the work isn't given up for it, nor tried for ever."""

    def slow(request: PrivacyRequest, by: Any) -> dict[str, Any]:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = '20ms'")
            cursor.execute("SELECT pg_sleep(5)")
        return {}

    told = tuple(replace(one, do=slow) if one.key == "memberships" else one for one in targets.ERASURE)
    monkeypatch.setattr(targets, "ERASURE", told)
    request = run(begun(asked(RequestKind.ERASURE)))
    failed = request.targets.get(key="memberships")
    assert (failed.state, failed.error_code) == (TargetState.FAILED, "database_refused")
    assert list(states(request).values()).count("done") == 6


def test_without_the_vaults_key_the_person_stays_and_the_target_says_why(shop: Tracker, settings: Any) -> None:
    request = begun(asked(RequestKind.ERASURE))
    before, settings.VAULT_KEY_FILE = settings.VAULT_KEY_FILE, "/nowhere/keys.json"
    run(request)
    assert request.targets.get(key="people").error_code == "vault_unusable"
    assert person(ANN).traits["city"] == "Bern"
    # What would be wrong while the person is there waits for it; what wouldn't doesn't.
    waiting = {key for key, state in states(request).items() if state == "waiting"}
    assert waiting == {"keys", "memberships", "rules", "imports", "feed"} and states(request)["files"] == "done"
    settings.VAULT_KEY_FILE = before
    with transaction.atomic():
        assert seal([Item(person(ANN).pk, uuid4(), b"they called again")]), "their key is there as well"
    services.retry_target(target=request.targets.get(key="people"), by=BY)
    run(request)
    assert request.state == RequestState.DONE
    assert Job.objects.filter(state=JobState.SUCCEEDED, kind=running.KIND).exists()


def test_an_erasure_of_somebody_who_is_gone_already_is_done(shop: Tracker) -> None:
    first, second = begun(asked(RequestKind.ERASURE)), begun(asked(RequestKind.ERASURE))
    run(first)
    run(second)
    assert first.state == RequestState.DONE
    assert second.state == RequestState.DONE and second.targets.get(key="people").counts == {"already": True}


def test_the_database_keeps_no_sample_of_their_values(shop: Tracker) -> None:
    """PostgreSQL notes values of each column, for planning, and would keep them long after the rows are gone."""
    shop.send(*(identify(f"user-{n}", traits={"email": f"user-{n}@b.ch"}) for n in range(5)))
    process_all()
    with connection.cursor() as cursor:
        cursor.execute("SELECT cdp_forget_statistics()")

    def columns_that_say() -> set[str]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT tablename || '.' || attname FROM pg_stats WHERE schemaname = 'public'"
                " AND concat(most_common_vals::text, histogram_bounds::text) LIKE %s",
                [f"%{ANN}%"],
            )
            return {row[0] for row in cursor.fetchall()}

    assert {"profiles_identifier.value", "profiles_traitvalue.text"} <= columns_that_say()
    assert purge()["statistics"] == 0, "while nobody was erased nothing is done"
    done(RequestKind.ERASURE)
    assert purge()["statistics"] == 1
    assert columns_that_say() == set()
