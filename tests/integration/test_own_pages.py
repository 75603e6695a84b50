"""People's own pages: who may open them, what they show, and what a choice there does."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client, override_settings

from cdp.erasure import erase_profile
from cdp.identity.merging import merge_profiles
from cdp.pages import brake, entries
from cdp.profiles.models import Profile
from consent.links import STAFF, Kind, token
from consent.models import ConsentRecord, ConsentState, Decision, Method, Purpose, ServedNotice
from consent.querysets import permitted
from consent.services import record_decision
from tests.factories import BY, Tracker, identify, person, process_all, tracker
from tests.integration.callers import decide
from tests.integration.notices import publish_notice
from tests.unit.consent.test_links import hostile

EMAIL, SMS, ANALYSIS = "marketing_email", "sms", "internal_analysis"


@pytest.fixture(autouse=True)
def _nobody_was_counted_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Counts are of spans of five minutes, and a test may begin at the end of one."""
    monkeypatch.setattr(brake, "time", lambda: 1_800_000_100.0)
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def shop(db: None) -> Tracker:
    shop = tracker()
    shop.send(
        identify("ann", traits={"email": "ann@example.com"}), identify("bob", traits={"email": "bob@example.com"})
    )
    process_all()
    return shop


def address(profile: Profile) -> str:
    return f"/privacy/{token(Kind.PREFERENCES, profile.uuid)}/"


class Visitor:
    """Somebody with a link and a browser that keeps cookies, should there be any."""

    def __init__(self, profile: Profile) -> None:
        self.url, self.client = address(profile), Client(enforce_csrf_checks=True)
        self.page = ""

    def look(self, **headers: str) -> str:
        response = self.client.get(self.url, headers=headers)
        assert response.status_code == 200, response.content
        self.page = response.content.decode()
        return self.page

    def fields(self) -> dict[str, str]:
        """What the form would send as it stands: hidden fields, and what is checked."""
        found = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.page))
        ticked = re.findall(r'<input type="radio" name="([^"]+)" value="([^"]+)" checked', self.page)
        return found | dict(ticked)

    def save(self, do: str = "save", **choices: Any) -> str:
        fields = self.fields() | {"do": do}
        fields |= {name if name == "renew" else f"choice-{name}": value for name, value in choices.items()}
        response = self.client.post(self.url, fields)
        assert response.status_code == 200, response.content
        self.page = response.content.decode()
        return self.page


@pytest.fixture
def ann(shop: Tracker) -> Visitor:
    return Visitor(person("ann"))


def state(user: str, key: str) -> str | None:
    found = ConsentState.objects.filter(profile=person(user), purpose__key=key).first()
    return found.decision if found else None


def allowed(key: str) -> set[str]:
    people = permitted(Profile.objects.all(), Purpose.objects.get(key=key))
    return set(people.filter(identifiers__namespace="user_id").values_list("identifiers__value", flat=True))


# ---- Who may open them ---------------------------------------------------------------------------------------------


def test_pages_let_nothing_leak(ann: Visitor) -> None:
    for response in (
        ann.client.get(ann.url),
        ann.client.get("/privacy/forged/"),
        ann.client.post("/unsubscribe/forged"),
    ):
        assert response["Referrer-Policy"] == "no-referrer"
        assert "noindex" in response["X-Robots-Tag"]
        assert response["Cache-Control"] == "no-store, private"
        assert "default-src 'none'" in response["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
        assert not response.cookies
    assert "ann" not in re.sub(r"/privacy/[^/]+/", "", ann.look()).replace("channel", "").replace("anner", ""), (
        "no name"
    )


def without_own_words(response: HttpResponse) -> tuple[int, str, dict[str, str]]:
    headers = {name: value for name, value in response.items() if name != "X-Request-Id"}
    return response.status_code, response.content.decode(), headers


def test_a_forged_link_and_one_of_somebody_who_is_gone_look_the_same(ann: Visitor) -> None:
    gone = person("bob")
    links = [f"/privacy/{token(Kind.PREFERENCES, uuid4())}/", f"/privacy/{token(Kind.CONFIRMATION, gone.uuid)}/",
             f"/privacy/{token(Kind.PREFERENCES, gone.uuid)[:-1]}/", "/privacy/x/", address(gone)]  # fmt: skip
    erase_profile(profile=gone, by=BY, reason="request 1")
    answers = {str(without_own_words(ann.client.get(link))) for link in links}
    assert len(answers) == 1
    assert "leads to nothing" in answers.pop()


@pytest.mark.parametrize("path", ["/privacy/{}/", "/confirm/{}/", "/unsubscribe/{}"])
def test_hostile_links_are_answered_calmly(db: None, path: str) -> None:
    client = Client(raise_request_exception=True)
    with override_settings(CACHES={"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}):
        for given in hostile():
            if "/" in given or not given.isprintable() or given in {"", ".", ".."}:
                continue  # another address
            for method in (client.get, client.post):
                assert method(path.format(given.replace("%", "%25").replace("?", "%3F"))).status_code in (404, 429)


def test_a_link_that_has_ended_says_so_without_asking_who_it_was(ann: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"/privacy/{token(Kind.PREFERENCES, uuid4())}/"
    with override_settings(PREFERENCE_LINK_DAYS=-1):
        for url in (ann.url, nobody):
            response = ann.client.get(url)
            assert response.status_code == 410 and b"has ended" in response.content
            assert ann.client.post(url, {"do": "no_to_all"}).status_code == 410
    assert not ConsentRecord.objects.exists()


def test_guessing_is_slowed_and_good_links_of_the_same_network_are_not_counted(ann: Visitor) -> None:
    for _ in range(brake.BAD_PER_NETWORK - 1):
        assert ann.client.get("/privacy/guess/").status_code == 404
        ann.client.get(ann.url)
        cache.delete(f"links:used:{person('ann').uuid.hex}:{brake._span()}")
    assert ann.client.get(ann.url).status_code == 200
    ann.client.get("/privacy/guess/")
    held = ann.client.get(ann.url)
    assert held.status_code == 429 and int(held["Retry-After"]) > 0


def test_one_link_can_not_be_used_without_end(ann: Visitor) -> None:
    answers = [ann.client.get(ann.url).status_code for _ in range(brake.USES_PER_LINK + 5)]
    assert answers[: brake.USES_PER_LINK] == [200] * brake.USES_PER_LINK and set(answers[brake.USES_PER_LINK :]) == {
        429
    }
    assert ann.client.get(address(person("bob"))).status_code == 200


def test_other_methods_are_refused(ann: Visitor) -> None:
    assert ann.client.delete(ann.url).status_code == 405
    assert ann.client.head(ann.url).status_code == 200


# ---- What is shown -------------------------------------------------------------------------------------------------


def test_nothing_is_ticked_that_is_not_their_choice(ann: Visitor) -> None:
    page = ann.look()
    assert 'type="radio"' in page and " checked" not in page
    decide("ann", EMAIL, Decision.GRANTED)
    decide("ann", SMS, Decision.DENIED)
    page = ann.look()
    assert page.count(" checked") == 2
    assert f'name="choice-{EMAIL}" value="yes" checked' in page and f'name="choice-{SMS}" value="no" checked' in page


def test_to_look_and_to_close_the_page_changes_nothing(ann: Visitor) -> None:
    ann.look()
    ann.look()
    assert not ConsentRecord.objects.exists()
    assert "Nothing was changed" in ann.save()
    assert not ConsentRecord.objects.exists()


def test_the_words_are_those_of_the_newest_version_in_their_language(ann: Visitor) -> None:
    publish_notice("preference_centre", title="An older one")
    publish_notice("preference_centre")
    publish_notice("preference_centre", locale="de")
    assert "Your data (en)" in ann.look() and "Marketing email (en)" in ann.page and "An older one" not in ann.page
    ann.look(**{"Accept-Language": "de-CH,de;q=0.9"})
    assert "Your data (de)" in ann.page and "Zu allem Nein sagen" in ann.page
    # There is no French: the page says so by its language, and is in English.
    assert '<html lang="en"' in ann.look(**{"Accept-Language": "fr"})
    assert "Zu allem Nein sagen" in ann.client.get(ann.url + "?lang=de").content.decode()


def test_what_was_shown_is_kept_and_the_decision_leads_to_it(ann: Visitor) -> None:
    version = publish_notice("preference_centre")
    ann.look()
    served = ServedNotice.objects.get()
    assert (served.version, served.profile_id, served.place) == (version, person("ann").pk, "/privacy/")
    ann.save(**{EMAIL: "yes", SMS: "yes"})
    told, untold = (ConsentRecord.objects.get(purpose__key=key) for key in (EMAIL, SMS))
    assert (told.notice_version, told.served, told.method) == (version, served, Method.PREFERENCE_CENTRE)
    assert (untold.notice_version, untold.served) == (None, None), "the notice says nothing of it"
    assert f"On text version {version.number} (en)." in ann.look()


def test_what_somebody_else_was_shown_is_no_evidence(ann: Visitor) -> None:
    publish_notice("preference_centre")
    Visitor(person("bob")).look()
    ann.look()
    for served in (str(ServedNotice.objects.earliest("served_at").pk), str(uuid4()), "nonsense", "\x00"):
        ann.client.post(ann.url, {"do": "save", "served": served, f"choice-{EMAIL}": "yes"})
        ann.client.post(ann.url, {"do": "save", "served": served, f"choice-{EMAIL}": "no"})
    assert ConsentRecord.objects.count() == 8 and not ConsentRecord.objects.filter(served__isnull=False).exists()


# ---- What a choice does --------------------------------------------------------------------------------------------


def test_yes_and_no_hold_from_the_next_read_on_and_are_told_in_words(ann: Visitor) -> None:
    ann.look()
    assert "“Marketing email”: you said yes." in ann.save(**{EMAIL: "yes", ANALYSIS: "no"})
    assert (allowed(EMAIL), allowed(ANALYSIS)) == ({"ann"}, {"bob"})
    assert "“Marketing email”: you took your yes back." in ann.save(**{EMAIL: "no"})
    assert allowed(EMAIL) == set() and state("ann", EMAIL) == Decision.WITHDRAWN
    assert ConsentRecord.objects.count() == 3, "what stayed as it was is no decision"


def test_saving_twice_records_once(ann: Visitor) -> None:
    ann.look()
    fields = ann.fields() | {"do": "save", f"choice-{EMAIL}": "yes"}
    ann.client.post(ann.url, fields)
    assert b"Nothing was changed" in ann.client.post(ann.url, fields).content
    assert ConsentRecord.objects.count() == 1


def test_an_old_page_that_is_saved_late_does_not_undo_a_no(ann: Visitor) -> None:
    decide("ann", EMAIL, Decision.GRANTED)
    ann.look()
    decide("ann", EMAIL, Decision.WITHDRAWN)
    ann.save(**{SMS: "yes"})
    assert (state("ann", EMAIL), state("ann", SMS)) == (Decision.WITHDRAWN, Decision.GRANTED)


def test_no_to_everything_is_a_no_to_each_also_where_nothing_was_said(ann: Visitor) -> None:
    decide("ann", EMAIL, Decision.GRANTED)
    ann.look()
    page = ann.save(do="no_to_all", **{SMS: "yes"})
    theirs = [purpose.key for purpose in Purpose.objects.all() if purpose.is_theirs]
    assert {state("ann", key) for key in theirs} == {Decision.WITHDRAWN, Decision.DENIED}
    assert page.count("<li>“") == len(theirs)
    assert "Nothing was changed" in ann.save(do="no_to_all")


def test_what_the_law_decides_and_what_devices_decide_is_not_decided_here(ann: Visitor) -> None:
    Purpose.objects.create(
        key="orders", label="Orders", text="To send what you bought.", lawful_basis="contract", mode="notice_only"
    )
    Purpose.objects.create(
        key="cookies", label="Cookies", text="To know this device.", lawful_basis="consent", reach="device"
    )
    assert "choice-orders" not in ann.look() and "choice-cookies" not in ann.page and "To know this device." in ann.page
    assert "privacy_rights" not in ann.page
    ann.save(orders="no", cookies="yes", privacy_rights="no")
    assert not ConsentRecord.objects.exists()


def test_a_no_goes_down_and_a_yes_beneath_a_no_does_not_stand(ann: Visitor) -> None:
    parent = Purpose.objects.get(key=EMAIL)
    for key in ("offers", "hints"):
        Purpose.objects.create(key=key, label=key, text=key, lawful_basis="consent", parent=parent)
    ann.look()
    ann.save(**{EMAIL: "yes", "offers": "yes"})
    page = ann.save(**{EMAIL: "no", "hints": "yes"})
    assert {state("ann", key) for key in (EMAIL, "offers", "hints")} == {Decision.WITHDRAWN, Decision.DENIED}
    assert page.count("because you said no to what it stands beneath") == 2
    ann.save(offers="yes")
    assert state("ann", "offers") == Decision.WITHDRAWN, "the one above still says no"
    ann.save(**{EMAIL: "yes", "offers": "yes"})
    assert state("ann", "offers") == Decision.GRANTED
    counted = ConsentRecord.objects.filter(purpose__key="offers").values_list("decision", flat=True)
    assert sorted(counted) == ["granted", "granted", "withdrawn"]


def test_a_yes_that_ends_soon_can_be_renewed_and_one_that_ended_is_not_ticked(ann: Visitor) -> None:
    email = Purpose.objects.get(key=EMAIL)
    Purpose.objects.filter(pk=email.pk).update(lifetime_days=100)
    email.refresh_from_db()

    def said_yes(days_ago: int) -> None:
        at = datetime.now(UTC) - timedelta(days=days_ago)
        record_decision(
            profile=person("ann"), purpose=email, decision=Decision.GRANTED, method=Method.FORM, at=at, by=BY
        )

    said_yes(101)
    assert "ended on" in ann.look() and f'name="choice-{EMAIL}" value="yes" checked' not in ann.page
    said_yes(80)
    with override_settings(RENEWAL_DAYS=10):
        assert "It holds until" in ann.look() and 'name="renew"' not in ann.page
    assert f'name="renew" value="{EMAIL}"' in ann.look() and 'value="marketing_email" checked' not in ann.page
    assert "your yes begins anew" in ann.save(renew=EMAIL)
    assert (ConsentState.objects.get(purpose=email).expires_at - datetime.now(UTC)).days == 99
    assert 'name="renew"' not in ann.look()


def test_a_no_counts_more_than_a_renewal(ann: Visitor) -> None:
    decide("ann", EMAIL, Decision.GRANTED)
    ann.look()
    ann.save(**{EMAIL: "no", "renew": EMAIL})
    assert state("ann", EMAIL) == Decision.WITHDRAWN


def test_a_link_follows_whoever_they_have_become(ann: Visitor) -> None:
    ann.look()
    merge_profiles(survivor=person("bob"), absorbed=person("ann"), reason="one person", by=BY)
    ann.save(**{EMAIL: "yes"})
    assert allowed(EMAIL) == {"ann", "bob"}


def test_it_takes_as_many_questions_of_the_database_for_many_purposes(
    ann: Visitor, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        Purpose.objects.create(key=f"p{number}", label=f"P{number}", text="x", lawful_basis="consent")
    publish_notice("preference_centre")
    with django_assert_max_num_queries(16):
        ann.look()


def test_what_else_there_is_to_do_stands_at_the_end(ann: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Ask for my data" not in ann.look()
    monkeypatch.setattr(entries, "_entries", [])
    entries.offer(entries.Entry(text="Ask for my data", about="Within a month.", address=lambda link: f"/ask/{link}/"))
    assert f'<a href="/ask/{ann.url.split("/")[2]}/?lang=en">Ask for my data</a>' in ann.look()


def test_looking_begins_no_link_anew(ann: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever was once forwarded one would have it for ever."""
    with monkeypatch.context() as earlier:
        earlier.setattr(time, "time", lambda: datetime.now(UTC).timestamp() - 3600)
        ann.url = address(person("ann"))
    given = ann.url.split("/")[2]
    found = set(re.findall(r'href="/privacy/([^/"]+)/', ann.look()))
    found |= set(re.findall(r'href="/privacy/([^/"]+)/', ann.client.get(f"{ann.url}receipts/").content.decode()))
    assert found == {given}


def test_what_is_decided_by_a_link_that_staff_had_says_so(ann: Visitor) -> None:
    ann.url = f"/privacy/{token(Kind.PREFERENCES, person('ann').uuid, STAFF)}/"
    ann.look()
    ann.save(**{EMAIL: "yes"})
    assert ConsentRecord.objects.get().evidence == {"language": "en", "link": "staff"}
