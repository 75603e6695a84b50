"""Second factors at the console's log-in: set up, asked for, recovered from; and how long a log-in lasts. API keys know none of it."""

import re
import time
from collections.abc import Iterator
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.log_in import sessions
from cdp.log_in.models import Lockout, UserSession
from tests.integration.callers import key

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-enough-password"


@pytest.fixture(autouse=True)
def ann(db: None) -> Iterator[User]:
    cache.clear()
    yield User.objects.create_user("ann", password=PASSWORD, is_staff=True)
    cache.clear()


def log_in(client: Client, name: str = "ann") -> HttpResponse:
    return client.post("/admin/login/?next=/admin/account/", {"username": name, "password": PASSWORD})  # type: ignore[return-value]


def code(secret: str, *, steps: int = 0) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30 + steps))


def set_up(client: Client) -> tuple[str, list[str]]:
    """The secret, and the recovery codes, of somebody who set up an app by the screens."""
    page = client.get("/admin/account/totp/").content.decode()
    secret = re.search(r'class="secret"><code>([A-Z2-7 ]+)<', page)[1].replace(" ", "")  # type: ignore[index]
    assert "<svg" in page and "otpauth" not in page
    assert client.post("/admin/account/totp/", {"code": code(secret)})["Location"] == "/admin/account/codes/"
    shown = client.post("/admin/account/codes/").content.decode()
    return secret, re.findall(r"<li><code>(\d{8})</code>", shown)


def said(action: str) -> list[dict[str, object]]:
    return list(AuditEntry.objects.filter(action=action).order_by("recorded_at").values_list("detail", flat=True))


def test_whoever_set_up_an_app_is_in_only_with_its_code_and_each_code_works_once(ann: User) -> None:
    client = Client()
    assert log_in(client)["Location"] == "/admin/account/"
    secret, _ = set_up(client)
    assert secret not in str(Authenticator.objects.get(type="totp").data)

    other = Client()
    assert log_in(other)["Location"] == "/admin/login/second/"
    assert other.get("/admin/")["Location"].startswith("/admin/login/")
    assert other.post("/admin/login/second/", {"code": "000000"}).status_code == 422
    right = code(secret, steps=1)
    assert other.post("/admin/login/second/", {"code": right})["Location"] == "/admin/account/"
    assert other.get("/admin/account/").status_code == 200

    third = Client()
    log_in(third)
    assert third.post("/admin/login/second/", {"code": right}).status_code == 422
    assert said("user.factor_added") == [{"factor": "totp"}, {"factor": "recovery_codes"}]
    assert len(said("user.factor_refused")) == 2
    assert said("user.logged_in") == [{}, {"factor": "totp"}]


def test_a_recovery_code_stands_in_once(ann: User) -> None:
    client = Client()
    log_in(client)
    _, codes = set_up(client)
    assert len(codes) == 10
    for answer in (302, 422):
        other = Client()
        log_in(other)
        assert other.post("/admin/login/second/", {"code": f" {codes[0][:4]} {codes[0][4:]}"}).status_code == answer
    assert "9 left" in client.get("/admin/account/").content.decode()


def test_guessing_codes_is_stopped_and_an_administrator_lifts_it(ann: User) -> None:
    client = Client()
    log_in(client)
    secret, _ = set_up(client)
    other = Client()
    log_in(other)
    tries = [other.post("/admin/login/second/", {"code": f"{n:06}"}).status_code for n in range(6)]
    assert tries == [422] * 5 + [429]
    assert log_in(Client()).status_code == 302  # the password goes on being looked at: somebody else may be guessing
    lockout = Lockout.objects.get()
    assert (lockout.kind, lockout.user) == ("factor", ann)

    chief = User.objects.create_user("chief", password=PASSWORD, is_staff=True)
    chief.groups.add(Group.objects.get(name="admin"))
    admin = Client()
    log_in(admin, "chief")
    assert "ann" in admin.get("/admin/lockouts/").content.decode()
    assert client.post(f"/admin/lockouts/{lockout.pk}/lift/").status_code == 403
    admin.post(f"/admin/lockouts/{lockout.pk}/lift/")
    assert other.post("/admin/login/second/", {"code": code(secret, steps=1)}).status_code == 302
    assert said("user.lockout_lifted") == [{"kind": "factor"}]


def test_an_administrator_removes_lost_factors_which_ends_their_sessions(ann: User) -> None:
    client = Client()
    log_in(client)
    set_up(client)
    chief = User.objects.create_user("chief", password=PASSWORD, is_staff=True)
    chief.groups.add(Group.objects.get(name="admin"))
    admin = Client()
    log_in(admin, "chief")
    assert admin.post(f"/admin/auth/user/{ann.pk}/factors/").status_code == 302
    assert client.get("/admin/account/").status_code == 302
    assert log_in(client)["Location"] == "/admin/account/"
    assert said("user.factors_reset") == [{"factors": ["recovery_codes", "totp"]}]
    root = User.objects.create_superuser("root", password=PASSWORD)
    assert admin.post(f"/admin/auth/user/{root.pk}/factors/").status_code == 403


def test_where_it_is_required_nothing_opens_before_a_factor_is_set_up(ann: User, settings: object) -> None:
    settings.MFA = "required"  # type: ignore[attr-defined]
    ann.is_superuser = True
    ann.save()
    client = Client()
    log_in(client)
    assert client.get("/admin/")["Location"] == "/admin/account/"
    assert client.get("/api/v1/segments/").status_code == 401
    parts = client.get("/admin/", headers={"HX-Request": "true"})
    assert (parts.status_code, parts["HX-Redirect"]) == (204, "/admin/account/")
    set_up(client)
    assert client.get("/admin/").status_code == 200
    assert client.get("/api/v1/segments/").status_code == 200
    assert key().get("segments/").status_code == 200


def test_a_password_from_a_while_ago_is_asked_for_again_before_factors_change(ann: User) -> None:
    client = Client()
    log_in(client)
    session = client.session
    session[sessions.PROVED] = (timezone.now() - timedelta(minutes=16)).isoformat()
    session.save()
    assert client.get("/admin/account/totp/")["Location"] == "/admin/account/prove/?next=/admin/account/totp/"
    sent = {"next": "https://elsewhere.example/", "password": "wrong"}
    assert client.post("/admin/account/prove/", sent).status_code == 422
    assert client.post("/admin/account/prove/", {**sent, "password": PASSWORD})["Location"] == "/admin/account/"
    assert client.get("/admin/account/totp/").status_code == 200


@pytest.mark.parametrize(
    ("mark", "ago"), [(sessions.SEEN, timedelta(seconds=3601)), (sessions.BEGAN, timedelta(seconds=43_201))]
)
def test_a_session_ends_when_nobody_is_there_and_when_it_is_old(ann: User, mark: str, ago: timedelta) -> None:
    client = Client()
    log_in(client)
    session = client.session
    session[mark] = (timezone.now() - ago).isoformat()
    session.save()
    page = client.get("/admin/account/", follow=True).content.decode()
    assert "You were logged out because" in page
    assert len(said("user.session_expired")) == 1


def test_a_screen_that_asks_by_itself_is_nobody_who_is_there(ann: User) -> None:
    client = Client()
    log_in(client)
    session = client.session
    session[sessions.SEEN] = (timezone.now() - timedelta(minutes=30)).isoformat()
    session.save()
    before = session[sessions.SEEN]
    client.get("/admin/waiting/", headers={"X-Poll": "1"})
    assert client.session[sessions.SEEN] == before
    client.get("/admin/account/")
    assert client.session[sessions.SEEN] > before


def test_a_new_password_and_another_role_end_the_sessions_there_are(ann: User) -> None:
    here, elsewhere = Client(), Client()
    log_in(here)
    log_in(elsewhere)
    new = "another-long-enough-word"
    here.post("/admin/password_change/", {"old_password": PASSWORD, "new_password1": new, "new_password2": new})
    assert here.get("/admin/account/").status_code == 200
    assert elsewhere.get("/admin/account/").status_code == 302
    assert UserSession.objects.filter(user=ann).count() == 1

    root = User.objects.create_superuser("root", password=PASSWORD)
    admin = Client()
    admin.force_login(root)
    form = {"username": "ann", "is_active": "on", "is_staff": "on", "groups": [Group.objects.get(name="marketer").pk]}
    assert admin.post(f"/admin/auth/user/{ann.pk}/change/", form).status_code == 302
    assert here.get("/admin/account/").status_code == 302
    assert said("user.sessions_ended")[-1] == {"sessions": 1, "why": "role changed"}


@pytest.mark.parametrize(
    "answer",
    ["[]", "{}", "5", "nonsense", '{"id": 1, "rawId": 2, "response": 3, "type": "public-key"}', "[" * 5000],
)
def test_what_is_no_passkey_is_refused_and_on_record(ann: User, answer: str) -> None:
    client = Client()
    log_in(client)
    set_up(client)
    client.get("/admin/account/passkey/")
    assert client.post("/admin/account/passkey/", {"name": "x", "passkey": answer}).status_code == 422
    other = Client()
    log_in(other)
    assert other.post("/admin/login/second/", {"passkey": answer}).status_code == 422
    assert len(said("user.factor_refused")) == 1
