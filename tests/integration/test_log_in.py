"""Guessing passwords is slowed, by account and by network; whoever is held back is told until when."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client

from cdp.audit.models import AuditEntry
from cdp.log_in import brake as log_in_brake
from cdp.log_in.models import Lockout

pytestmark = pytest.mark.django_db
RIGHT, WRONG = "a-long-enough-password", "guess"


@pytest.fixture(autouse=True)
def people(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("ann", "bob"):
        User.objects.create_user(name, password=RIGHT, is_staff=True)
    monkeypatch.setattr(log_in_brake, "PER_ACCOUNT", 3)
    monkeypatch.setattr(log_in_brake, "PER_NETWORK", 6)
    monkeypatch.setattr(log_in_brake, "time", lambda: 1_800_000_100.0)
    cache.clear()
    yield
    cache.clear()


def log_in(name: str, password: str = WRONG, address: str = "203.0.113.9", **headers: str) -> HttpResponse:
    sent = {"username": name, "password": password, "next": "/admin/"}
    return Client().post("/admin/login/", sent, REMOTE_ADDR=address, headers=headers)  # type: ignore[return-value]


def test_after_so_many_refusals_an_account_is_held_even_from_elsewhere_and_others_are_not() -> None:
    assert [log_in("ann").status_code for _ in range(3)] == [200] * 3
    held = log_in("ANN ", RIGHT, address="198.51.100.7")
    assert (held.status_code, held["Retry-After"]) == (429, "201")
    assert "Try again in 4 minutes, at" in held.content.decode()
    assert log_in("bob", RIGHT).status_code == 302
    log_in("ann")
    assert AuditEntry.objects.filter(action="user.logins_held").count() == 1
    lockout = Lockout.objects.get()
    assert (lockout.kind, lockout.user.username, lockout.ip_prefix) == ("account", "ann", "198.51.100.0/24")


def test_an_account_written_in_other_letters_is_the_same_account() -> None:
    """Django's form reads a full-width letter as the plain one: guesses at either are guesses at one password."""
    assert [log_in(name).status_code for name in ("ａnn", "aｎn", "anｎ")] == [200] * 3
    assert log_in("ann", RIGHT, address="198.51.100.7").status_code == 429


def test_a_network_is_held_whichever_accounts_it_tries() -> None:
    assert [log_in(f"guess-{n}", address=f"203.0.113.{n}").status_code for n in range(6)] == [200] * 6
    assert log_in("ann", RIGHT).status_code == 429
    assert log_in("ann", RIGHT, address="198.51.100.7").status_code == 302


def test_a_log_in_forgets_the_refused_ones_and_time_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_in_brake, "PER_NETWORK", 100)
    for _ in range(3):
        assert [log_in("ann", word).status_code for word in ("guess", "guess", RIGHT)] == [200, 200, 302]
    for _ in range(4):
        log_in("ann")
    assert log_in("ann", RIGHT).status_code == 429
    monkeypatch.setattr(log_in_brake, "time", lambda: 1_800_000_300.0)
    assert log_in("ann", RIGHT).status_code == 302


def test_behind_a_proxy_the_address_is_what_the_proxy_wrote_last(settings: object) -> None:
    forwarded = {"X-Forwarded-For": "10.1.1.1, 198.51.100.7"}
    log_in("ann", address="192.0.2.1", **forwarded)
    settings.BEHIND_TLS = True  # type: ignore[attr-defined]
    log_in("ann", address="192.0.2.1", **forwarded)
    log_in("bob", address="192.0.2.1", **{"X-Forwarded-For": "made up"})
    seen = AuditEntry.objects.filter(action="user.login_refused").order_by("recorded_at")
    assert list(seen.values_list("ip_prefix", flat=True)) == ["192.0.2.0/24", "198.51.100.0/24", "192.0.2.0/24"]
