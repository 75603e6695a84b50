"""Moments, numbers and texts in addresses that nothing can be worked out or looked for with are refused, or show nothing."""

import pytest
from django.urls import reverse

from cdp.profiles.models import Profile
from tests.factories import identify, person, process_all, tracker
from tests.integration.test_audit_screen import staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> Profile:
    shop = tracker()
    shop.send(identify("ann"))
    process_all()
    return person("ann")


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00"])
@pytest.mark.parametrize("name", ["at", "known_at"])
def test_a_moment_at_the_end_of_time_is_refused(ann: Profile, at: str, name: str) -> None:
    response = staff("compliance").get(
        f"/admin/profiles/profile/{ann.uuid}/consent/", {"at": "2026-01-01T00:00:00Z", name: at}
    )
    assert response.status_code == 400


@pytest.mark.parametrize("place", ["", "timeline/"])
def test_a_number_of_thousands_of_digits_names_no_event(ann: Profile, place: str) -> None:
    response = staff("compliance").get(f"/admin/profiles/profile/{ann.uuid}/{place}", {"kind": "1" * 5_000})
    assert response.status_code == 200


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_a_day_at_the_end_of_time_is_refused_by_the_trail(ann: Profile, day: str) -> None:
    officer = staff("compliance")
    for name in ("since", "until"):
        assert "From 1900 to 9000" in officer.get("/admin/consent/consentrecord/", {name: day}).content.decode()


def test_a_year_that_no_calendar_has_filters_no_rates() -> None:
    response = staff("admin").get("/admin/profiles/exchangerate/", {"day__year": str(2**63)})
    assert response.status_code == 302 and response["Location"].endswith("?e=1")


def test_a_language_with_a_nul_is_none() -> None:
    admin = staff("admin")
    for place in ("publish", "preview"):
        response = admin.post(reverse(f"admin:consent_notice_{place}", args=["banner"]), {"locale": "e\0n"})
        assert response.status_code in (200, 400, 422), response.status_code


def test_a_nul_in_an_address_is_refused() -> None:
    assert staff("compliance").get("/admin/ingestion/quarantined/?code=%00").status_code == 400
