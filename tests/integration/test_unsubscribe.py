"""One-click unsubscribe as RFC 8058 has it: a post without cookies says no, once or ten times, and a look says nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.core.cache import cache
from django.test import Client, override_settings

from cdp.identity.merging import merge_profiles
from cdp.profiles.models import Profile
from consent.links import Kind, NoPublicAddress, token
from consent.models import ConsentRecord, Decision, Method, Purpose
from consent.querysets import permitted
from consent.services import record_decision
from consent.unsubscribing import list_unsubscribe_headers
from tests.factories import BY, identify, person, process_all, tracker
from tests.integration.callers import decide

EMAIL = "marketing_email"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture(autouse=True)
def _ann(db: None) -> Iterator[None]:
    cache.clear()
    shop = tracker()
    shop.send(identify("ann"), identify("bob"))
    process_all()
    decide("ann", EMAIL, Decision.GRANTED)
    yield
    cache.clear()


def url(purpose: str = EMAIL, user: str = "ann") -> str:
    return f"/unsubscribe/{token(Kind.UNSUBSCRIBE, person(user).uuid, purpose)}"


def allowed() -> set[str]:
    people = permitted(Profile.objects.all(), Purpose.objects.get(key=EMAIL))
    return set(people.filter(identifiers__namespace="user_id").values_list("identifiers__value", flat=True))


def strict() -> Client:
    return Client(enforce_csrf_checks=True)


def test_a_mail_program_unsubscribes_by_one_post() -> None:
    address = url()
    for body, kind in (
        ("List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
        (
            '--x\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ):
        decide("ann", EMAIL, Decision.GRANTED)
        response = strict().post(address, body, content_type=kind)
        assert response.status_code == 200 and not response.cookies and "Location" not in response
        assert allowed() == set()
    record = ConsentRecord.objects.latest("pk")
    assert (record.decision, record.method) == (Decision.WITHDRAWN, Method.UNSUBSCRIBE)


def test_to_click_more_than_once_adds_nothing_and_a_new_yes_can_be_taken_back_again() -> None:
    for _ in range(3):
        assert strict().post(url(), ONE_CLICK).status_code == 200
    assert ConsentRecord.objects.filter(method=Method.UNSUBSCRIBE).count() == 1
    decide("ann", EMAIL, Decision.GRANTED)
    strict().post(url(), ONE_CLICK)
    assert ConsentRecord.objects.filter(method=Method.UNSUBSCRIBE).count() == 2 and allowed() == set()


def test_who_was_written_to_without_a_record_can_say_no_too() -> None:
    strict().post(url(user="bob"), ONE_CLICK)
    assert ConsentRecord.objects.get(profile_id=person("bob").pk).decision == Decision.WITHDRAWN


def test_a_yes_that_waits_to_be_confirmed_is_taken_back_as_well() -> None:
    sms = Purpose.objects.get(key="sms")
    Purpose.objects.filter(pk=sms.pk).update(needs_double_opt_in=True)
    decide("ann", "sms", Decision.DENIED)
    record_decision(
        profile=person("ann"), purpose=sms, decision=Decision.GRANTED, method=Method.FORM, at=datetime.now(UTC), by=BY
    )
    strict().post(url("sms"), ONE_CLICK)
    last = ConsentRecord.objects.filter(purpose=sms).latest("collected_at")
    assert (last.decision, last.method) == (Decision.WITHDRAWN, Method.UNSUBSCRIBE)


def test_to_look_changes_nothing_and_the_page_has_one_button() -> None:
    page = strict().get(url()).content.decode()
    assert page.count("<button") == 1 and 'name="List-Unsubscribe" value="One-Click"' in page
    strict().head(url())
    assert strict().post(url(), {"something": "else"}).status_code == 400
    assert allowed() == {"ann"}


def test_a_link_says_no_to_its_own_purpose_alone() -> None:
    decide("ann", "sms", Decision.GRANTED)
    strict().post(url("sms"), ONE_CLICK)
    assert allowed() == {"ann"}
    for purpose in ("made_up", "privacy_rights"):
        strict().post(url(purpose), ONE_CLICK)
    assert allowed() == {"ann"} and not ConsentRecord.objects.filter(purpose__key="privacy_rights").exists()
    assert strict().get(url("made_up")).status_code == 404


def test_a_no_to_one_purpose_is_a_no_to_what_lies_beneath() -> None:
    parent = Purpose.objects.get(key=EMAIL)
    Purpose.objects.create(key="hints", label="Hints", text="x", lawful_basis="consent", parent=parent)
    decide("ann", "hints", Decision.GRANTED)
    strict().post(url(), ONE_CLICK)
    assert ConsentRecord.objects.filter(purpose__key="hints").latest("pk").decision == Decision.WITHDRAWN


def test_a_link_follows_whoever_they_have_become() -> None:
    address = url()
    merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="one person", by=BY)
    assert allowed() == {"ann", "bob"}
    assert strict().post(address, ONE_CLICK).status_code == 200
    assert allowed() == set()


def test_senders_get_the_two_headers() -> None:
    purpose = Purpose.objects.get(key=EMAIL)
    with override_settings(PUBLIC_URL="https://data.shop.example"):
        headers = list_unsubscribe_headers(person("ann"), purpose)
    assert headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    address = headers["List-Unsubscribe"]
    assert address.startswith("<https://data.shop.example/unsubscribe/") and address.endswith(">")
    assert strict().post(address.strip("<>").removeprefix("https://data.shop.example"), ONE_CLICK).status_code == 200
    assert allowed() == set()
    with override_settings(PUBLIC_URL=""), pytest.raises(NoPublicAddress):
        list_unsubscribe_headers(person("ann"), purpose)
