"""Privacy requests on screens and over REST: who may, what is shown, and that every look is on record."""

import csv
import io
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.identity.models import Suppression
from cdp.jobs.models import Job
from cdp.privacy import services
from cdp.privacy.models import CameBy, IdentityMethod, PrivacyRequest, RequestKind, RequestState, TargetState
from cdp.privacy.tasks import carry_out
from cdp.rest.models import Scope
from tests.factories import BY, identify, person, process_all, track, tracker
from tests.integration.callers import Caller, found, key, logged_in, problem

ANN = "ann-4711"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def shop(settings: Any, tmp_path: Path) -> None:
    settings.PRIVACY_EXPORT_DIR = str(tmp_path / "exports")
    shop = tracker()
    shop.send(identify(ANN, traits={"email": f"{ANN}@b.ch"}), track("Bought", ANN))
    process_all()


@pytest.fixture
def clerk() -> Caller:
    return staff("compliance")


def staff(role: str) -> Caller:
    caller = logged_in(role)
    User.objects.filter(pk=caller.user.pk).update(is_staff=True)
    return caller


def address(name: str, *arguments: Any) -> str:
    return reverse(f"admin:privacy_privacyrequest_{name}", args=arguments)


def post(caller: Caller, url: str, page: str, **data: Any) -> Any:
    """As a browser does it: with the token of the page the form stands on."""
    token = str(caller.client.get(page).context["csrf_token"])
    return caller.client.post(url, {**data, "csrfmiddlewaretoken": token}, follow=True)


def asked(kind: RequestKind = RequestKind.ACCESS, **more: Any) -> PrivacyRequest:
    return services.open_request(kind=kind, **{"profile": person(ANN), "came_by": CameBy.EMAIL, "by": BY, **more})


def work(request: PrivacyRequest) -> PrivacyRequest:
    request.refresh_from_db()
    carry_out.apply(args=[Job.objects.get(uuid=request.job_uuid).pk])
    request.refresh_from_db()
    return request


# ---- Screens -------------------------------------------------------------------------------------------------------


def test_the_register_is_taken_away_without_names(clerk: Caller) -> None:
    request = asked(country="DE")
    asked(RequestKind.ERASURE)
    taken = clerk.client.get(address("export"), {"show": "open", "kind": "access"})
    body = _text(taken)
    [row] = list(csv.DictReader(io.StringIO(body)))
    assert (row["number"], row["kind"], row["person"]) == (request.number, "access", str(person(ANN).uuid))
    assert row["due_on"] == request.due_on.isoformat() and row["in_time"] == "" and "b.ch" not in body
    entry = AuditEntry.objects.get(action="privacy.register_exported")
    assert entry.detail == {"show": "open", "kind": "access"}
    services.withdraw(request=request, by=BY)
    [closed] = list(csv.DictReader(io.StringIO(_text(clerk.client.get(address("export"), {"show": "closed"})))))
    assert (closed["state"], closed["in_time"]) == ("withdrawn", "yes")
    assert staff("marketer").client.get(address("export")).status_code == 403


def _text(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def test_a_request_from_its_coming_to_its_file(clerk: Caller) -> None:
    new = address("new")
    given = {
        "kind": "access",
        "who": f"{ANN}@b.ch",
        "came_by": "phone",
        "received_on": str(timezone.localdate()),
        "country": "DE",
    }
    shown = post(clerk, new, new, **given)
    request = PrivacyRequest.objects.get()
    assert (request.profile_uuid, request.came_by, request.country) == (person(ANN).uuid, "phone", "DE")
    text = shown.content.decode()
    assert "Identity needed" in text and "a•••@b.ch" in text and f"{ANN}@b.ch" not in text
    detail = address("detail", request.uuid)
    shown = post(clerk, address("act", request.uuid, "confirm"), detail, method="document", note="passport")
    assert "the work has begun" in shown.content.decode()
    work(request)
    text = clerk.client.get(detail).content.decode()
    assert "File with their data" in text and "Download" in text
    export = request.exports.get()
    token = str(clerk.client.get(detail).context["csrf_token"])
    file = clerk.client.post(address("file", request.uuid, export.file), {"csrfmiddlewaretoken": token})
    assert file["Content-Type"] == "application/zip" and "no-store" in file["Cache-Control"]
    assert b"".join(file.streaming_content).startswith(b"PK")
    downloaded = AuditEntry.objects.get(action="privacy.export_downloaded")
    assert (downloaded.actor_label, downloaded.purpose) == (clerk.user.username, "privacy_rights")
    assert clerk.client.get(address("file", request.uuid, export.file)).status_code == 405


def test_nobody_is_listed_who_is_not_named_exactly(clerk: Caller) -> None:
    new = address("new")
    for who in ("ann", f"{ANN}@", "*", "%"):
        given = {"kind": "access", "who": who, "came_by": "email", "received_on": str(timezone.localdate())}
        answer = post(clerk, new, new, **given)
        assert answer.status_code == 422 and "Nobody is known by this" in answer.content.decode()
    assert not PrivacyRequest.objects.exists()


def test_what_is_overdue_comes_first_and_says_so_in_words(clerk: Caller) -> None:
    late, soon = asked(country="DE"), asked(RequestKind.ERASURE, country="DE")
    today = timezone.localdate()
    PrivacyRequest.objects.filter(pk=late.pk).update(due_on=today - timedelta(days=3))
    PrivacyRequest.objects.filter(pk=soon.pk).update(due_on=today + timedelta(days=1))
    text = clerk.client.get(address("changelist")).content.decode()
    assert text.index("3 days overdue") < text.index("due in 1 day<")
    only = clerk.client.get(address("changelist"), {"show": "overdue"}).content.decode()
    assert late.number in only and soon.number not in only
    of_kind = clerk.client.get(address("changelist"), {"kind": "erasure"}).content.decode()
    assert soon.number in of_kind and late.number not in of_kind
    listed = AuditEntry.objects.filter(action="privacy.listed")
    assert listed.count() == 3 and {entry.purpose for entry in listed} == {"privacy_rights"}
    empty = clerk.client.get(address("changelist"), {"show": "closed"}).content.decode()
    assert "None is in this list" in empty


def test_the_list_asks_the_database_as_often_for_many_as_for_few(clerk: Caller) -> None:
    for _ in range(3):
        asked()

    def questions() -> int:
        with CaptureQueriesContext(connection) as asked_of_it:
            assert clerk.client.get(address("changelist")).status_code == 200
        return len(asked_of_it)

    few = questions()
    for _ in range(15):
        asked()
    assert questions() == few


def test_erasing_wants_a_tick_that_no_script_stands_in_for(clerk: Caller) -> None:
    request = asked(RequestKind.ERASURE)
    detail, confirm = address("detail", request.uuid), address("act", request.uuid, "confirm")
    refused = post(clerk, confirm, detail, method="document")
    request.refresh_from_db()
    assert "Nothing was erased" in refused.content.decode() and request.state == RequestState.IDENTITY_NEEDED
    post(clerk, confirm, detail, method="document", sure="on")
    request.refresh_from_db()
    assert request.state == RequestState.IN_PROGRESS


def test_a_failed_target_is_tried_again_and_an_outside_one_ticked_off(clerk: Caller, settings: Any) -> None:
    settings.PRIVACY_OUTSIDE = ["Mail house"]
    before, settings.VAULT_KEY_FILE = settings.VAULT_KEY_FILE, "/nowhere/keys.json"
    request = asked(RequestKind.ERASURE)
    services.confirm_identity(request=request, method=IdentityMethod.KNOWN, by=BY)
    work(request)
    detail = address("detail", request.uuid)
    text = clerk.client.get(detail).content.decode()
    assert "vault_unusable" in text and "Mail house" in text
    assert "The keys of sealed data can&#x27;t be used here. Tell whoever runs the platform, then retry." in text
    assert text.count("Retry<span") == 1, "what waits for it can't be tried by itself"
    assert "waits for what failed" in text
    settings.VAULT_KEY_FILE = before
    for target in request.targets.filter(state=TargetState.FAILED):
        post(clerk, address("target", request.uuid, target.position), detail)
    work(request)
    assert request.state == RequestState.IN_PROGRESS
    outside = request.targets.get(is_outside=True)
    shown = post(clerk, address("target", request.uuid, outside.position), detail)
    assert "is ticked off" in shown.content.decode()
    request.refresh_from_db()
    assert request.state == RequestState.DONE
    text = clerk.client.get(detail).content.decode()
    assert "any more" in text and ANN not in text


def test_extension_refusal_and_withdrawal_have_their_forms(clerk: Caller) -> None:
    extended, refused, withdrawn = asked(country="DE"), asked(), asked()
    for request, act, data, said in (
        (extended, "extend", {"reason": "Three archives"}, "Tell the person why"),
        (refused, "refuse", {"reason": "The tenth this month"}, "where they can complain"),
        (withdrawn, "withdraw", {}, "It is withdrawn"),
    ):
        shown = post(clerk, address("act", request.uuid, act), address("detail", request.uuid), **data)
        assert said in shown.content.decode()
    shown = post(clerk, address("act", extended.uuid, "refuse"), address("detail", extended.uuid), reason="")
    extended.refresh_from_db()
    assert extended.is_open and extended.was_due_on is not None, "without a reason nothing is refused"
    page = clerk.client.get(address("detail", extended.uuid))
    token = {"csrfmiddlewaretoken": str(page.context["csrf_token"])}
    assert clerk.client.post(address("act", extended.uuid, "no-such-act"), token).status_code == 404


def test_somebody_may_come_back(clerk: Caller) -> None:
    erase_profile(profile=person(ANN), by=BY, reason="PR-1")
    page = address("come_back")
    assert Suppression.objects.count() == 2
    shown = post(clerk, page, page, namespace="email", value=f" {ANN}@B.ch ")
    assert "They can come back" in shown.content.decode() and Suppression.objects.count() == 1
    shown = post(clerk, page, page, namespace="email", value=f"{ANN}@b.ch")
    assert "nothing keeps them away" in shown.content.decode()
    shown = post(clerk, page, page, namespace="email", value="no address")
    assert shown.status_code == 422
    assert ANN not in str(list(AuditEntry.objects.filter(action="suppression.lifted").values()))


@pytest.mark.parametrize("role", ["marketer", "integrator", ""])
def test_others_come_into_none_of_it(role: str) -> None:
    request = asked(RequestKind.ERASURE)
    other = staff(role)
    pages = [address("changelist"), address("new"), address("come_back"), address("detail", request.uuid)]
    assert {other.client.get(page).status_code for page in pages} == {403}
    home = other.client.get(reverse("admin:index"))
    assert "Privacy requests" not in home.content.decode()
    token = {"csrfmiddlewaretoken": str(home.context["csrf_token"]), "method": "known", "reason": "x"}
    acts = [address("act", request.uuid, act) for act in ("confirm", "extend", "refuse", "withdraw", "lift")]
    acts += [address("target", request.uuid, 0), address("file", request.uuid, request.uuid)]
    assert {other.client.post(act, token).status_code for act in acts} == {403}
    request.refresh_from_db()
    assert request.state == RequestState.IDENTITY_NEEDED


def test_a_persons_page_leads_to_a_new_request(clerk: Caller) -> None:
    page = clerk.client.get(reverse("admin:profiles_profile_detail", args=[person(ANN).uuid])).content.decode()
    assert f"{address('new')}?who={person(ANN).uuid}" in page
    assert str(person(ANN).uuid) in clerk.client.get(f"{address('new')}?who={person(ANN).uuid}").content.decode()


# ---- REST ----------------------------------------------------------------------------------------------------------


def test_a_request_is_entered_followed_and_retried_over_rest(settings: Any) -> None:
    system = key(Scope.PRIVACY_READ, Scope.PRIVACY_WRITE)
    sent = {"kind": "erasure", "who": f"user_id:{ANN}", "country": "DE", "identity_method": "logged_in"}
    made = found(system.post("privacy-requests/", sent), 201)
    assert (made["state"], made["came_by"], made["profile"]) == ("in_progress", "api", str(person(ANN).uuid))
    assert [target["key"] for target in made["targets"]][:2] == ["people", "keys"]
    before, settings.VAULT_KEY_FILE = settings.VAULT_KEY_FILE, "/nowhere/keys.json"
    request = work(PrivacyRequest.objects.get())
    settings.VAULT_KEY_FILE = before
    path = f"privacy-requests/{request.uuid}/"
    told = found(system.get(f"{path}targets/"))
    failed = [target for target in told if target["state"] == "failed"]
    assert {target["error_code"] for target in failed} <= {"vault_unusable", "memberships_remain"} and failed
    for target in failed:
        tried = found(system.post(f"{path}targets/{target['position']}/retry/"), 202)
        assert tried["state"] == "waiting"
    assert problem(system.post(f"{path}targets/99/retry/"), 404)["code"] == "target_not_found"
    work(request)
    assert found(system.get(path))["state"] == "done"
    assert problem(system.post(f"{path}targets/0/retry/"), 409)["code"] == "request_moved_on"
    [listed] = found(system.get("privacy-requests/", kind="erasure"))["results"]
    assert listed["number"] == request.number and "targets" not in listed
    assert found(system.get("privacy-requests/", overdue="true"))["results"] == []
    assert AuditEntry.objects.filter(action="privacy.viewed", actor_kind="api_key").count() == 1


@pytest.mark.parametrize(
    ("sent", "code", "status"),
    [
        ({"kind": "access", "who": "user_id:nobody"}, "profile_not_found", 404),
        ({"kind": "access", "who": "nobody"}, "identifier_malformed", 400),
        ({"kind": "objection", "who": f"user_id:{ANN}"}, "objection_to_what", 400),
        ({"kind": "objection", "objects_to": "purpose", "purpose": "made_up"}, "purpose_unknown", 400),
        ({"kind": "objection", "objects_to": "purpose", "purpose": "privacy_rights"}, "purpose_not_open", 403),
        ({"kind": "erasure", "identity_method": "known"}, "person_unknown", 400),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_entered(sent: dict[str, Any], code: str, status: int) -> None:
    answer = problem(key(Scope.PRIVACY_WRITE).post("privacy-requests/", sent), status)
    assert answer["code"] == code
    assert not PrivacyRequest.objects.exists()


def test_scopes_part_reading_from_entering() -> None:
    request = asked()
    reader, writer = key(Scope.PRIVACY_READ), key(Scope.PRIVACY_WRITE)
    assert problem(reader.post("privacy-requests/", {"kind": "access"}), 403)["code"] == "scope_missing"
    for path in ("privacy-requests/", f"privacy-requests/{request.uuid}/", f"privacy-requests/{request.uuid}/targets/"):
        assert problem(writer.get(path), 403)["code"] == "scope_missing"
        assert reader.get(path).status_code == 200
    assert problem(key(Scope.PROFILES_REVEAL).get("privacy-requests/"), 403)["code"] == "scope_missing"
    assert problem(reader.get(f"privacy-requests/{person(ANN).uuid}/"), 404)["code"] == "request_not_found"
