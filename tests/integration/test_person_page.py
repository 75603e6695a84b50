"""A person's page: why they are in a segment, scores, what was said before, and a timeline that is narrowed and paged by key."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cdp.audit.models import AuditEntry
from cdp.ingestion.models import Source
from cdp.profiles.models import Profile, Score, ScoreRun, Trait
from consent.models import Decision
from segments.services import pause
from tests.factories import BY, draft, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import decide

BOUGHT = performed("Order Completed", within={"days": 30})
HOSTILE = "<img src=x onerror=alert(1)>"


def staff(role: str) -> Client:
    user, is_new = User.objects.get_or_create(username=role or "newcomer", defaults={"is_staff": True})
    if role and is_new:
        user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def ann(db: None) -> Profile:
    shop = tracker()
    shop.send(
        identify("ann", traits={"email": "ann@example.com", "city": "Bern", HOSTILE: HOSTILE}, ago=timedelta(days=9)),
        identify("ann", traits={"email": "ann@example.org", "city": HOSTILE}, ago=timedelta(days=8)),
        track("Order Completed", "ann", ago=timedelta(days=4), properties={
            "order_id": "PB-1", "revenue": 20, "currency": "USD", "products": [{"product_id": "a"}, {"product_id": "b"}]}),
        *(track("Product Viewed", "ann", ago=timedelta(days=2, minutes=n), properties={"product": f"Boot {n}"}) for n in range(3)),
        track("Product Viewed", "ann", ago=timedelta(days=2, minutes=90), properties={"product": "Bag", "note": "secret"}),
        identify("bob"),
    )  # fmt: skip
    process_all()
    return person("ann")


def url(profile: Profile, rest: str = "") -> str:
    return f"/admin/profiles/profile/{profile.uuid}/{rest}"


# ---- Segments and why ------------------------------------------------------------------------------------------------


def test_it_says_why_and_until_when(ann: Profile) -> None:
    buyers = live("buyers", BOUGHT)
    client = staff("marketer")
    assert "in 1 of 1" in client.get(url(ann)).content.decode()
    piece = client.get(url(ann, f"why/{buyers.uuid}/"), headers={"HX-Request": "true"})
    text = piece.content.decode()
    assert "<html" not in text and "serves the rule" in text
    assert piece.context["told"].is_member and piece.context["outlook"].changes_at is not None
    assert "Leaves" in text and "if nothing else happens" in text
    assert AuditEntry.objects.filter(action="profile.explained").count() == 1
    assert "<html" in client.get(url(ann, f"why/{buyers.uuid}/")).content.decode(), "a page of its own, without htmx"


def test_of_a_paused_segment_it_says_that_they_stay(ann: Profile) -> None:
    buyers = live("buyers", BOUGHT)
    pause(segment=buyers, by=BY)
    client = staff("marketer")
    assert "In, paused" in client.get(url(ann)).content.decode()
    assert "they were in it then, and stay" in client.get(url(ann, f"why/{buyers.uuid}/")).content.decode()


def test_segments_that_they_are_not_in_are_shown_when_asked_for(ann: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdp.console.person_segments.PAGE", 2)
    live("buyers", BOUGHT)
    for name in ("x", "y", "z"):
        live(name, performed("Order Completed", at_least=9))
    draft("unborn", BOUGHT)
    client = staff("marketer")
    first = client.get(url(ann, "segments/"))
    assert [one.key for one in first.context["page"].rows] == ["x", "y"]
    rest = client.get(url(ann, "segments/"), {"after": first.context["page"].older})
    assert [one.key for one in rest.context["page"].rows] == ["z"]
    out = first_of(rest)
    assert "stands in its way" in client.get(url(ann, f"why/{out}/")).content.decode()


def first_of(response: object) -> str:
    return str(response.context["page"].rows[0].uuid)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("role", "status"), [("", 403), ("integrator", 403), ("marketer", 200), ("compliance", 200), ("admin", 200)]
)
def test_each_part_opens_for_who_may_see_people(ann: Profile, role: str, status: int) -> None:
    buyers = live("buyers", BOUGHT)
    trait = Trait.objects.get(key="city")
    client = staff(role)
    for rest in ("", "timeline/", f"why/{buyers.uuid}/", "segments/", f"traits/{trait.pk}/"):
        assert client.get(url(ann, rest)).status_code == status, rest
    assert Client().get(url(ann, "segments/")).status_code == 302


def test_who_objects_is_found_in_no_part(ann: Profile) -> None:
    buyers = live("buyers", BOUGHT)
    decide("ann", "internal_analysis", Decision.WITHDRAWN)
    marketer, compliance = staff("marketer"), staff("compliance")
    for rest in (f"why/{buyers.uuid}/", "segments/", f"traits/{Trait.objects.get(key='city').pk}/"):
        assert marketer.get(url(ann, rest)).status_code == 404, rest
        assert compliance.get(url(ann, rest)).status_code == 200, rest


# ---- Traits and scores -----------------------------------------------------------------------------------------------


def test_what_was_said_before_is_shown_and_personal_data_is_masked(ann: Profile) -> None:
    city, email = Trait.objects.get(key="city"), Trait.objects.get(key="email")
    client = staff("compliance")
    rows = client.get(url(ann, f"traits/{city.pk}/")).context["rows"]
    assert [row["value"] for row in rows] == [HOSTILE, "Bern"]
    masked = client.get(url(ann, f"traits/{email.pk}/")).content.decode()
    assert "ann@" not in masked
    client.post(url(ann, "reveal/"))
    assert "ann@example.com" in client.get(url(ann, f"traits/{email.pk}/")).content.decode()
    reads = AuditEntry.objects.filter(action="profile.trait_viewed").order_by("recorded_at")
    assert [entry.detail for entry in reads] == [
        {"trait": "city", "masked": True}, {"trait": "email", "masked": True}, {"trait": "email", "masked": False},
    ]  # fmt: skip


def test_scores_of_published_runs_are_shown(ann: Profile) -> None:
    now = datetime.now(UTC)
    current = ScoreRun.objects.create(kind="propensity", version="2", published_at=now, is_current=True)
    past = ScoreRun.objects.create(kind="propensity", version="1", published_at=now)
    Score.objects.create(run=current, profile_id=ann.pk, key="order_30d", number="0.7200")
    Score.objects.create(run=past, profile_id=ann.pk, key="order_30d", number="0.1357")
    page = staff("marketer").get(url(ann)).content.decode()
    assert "0.72" in page and "0.1357" not in page


def test_nothing_that_somebody_sent_becomes_markup(ann: Profile) -> None:
    live("buyers", {"trait": HOSTILE, "op": "exists"})
    client = staff("compliance")
    client.post(url(ann, "reveal/"))
    trait = Trait.objects.get(key=HOSTILE)
    for rest in ("", "timeline/", f"traits/{trait.pk}/", f"?text={HOSTILE}"):
        page = client.get(url(ann, rest)).content.decode()
        assert "<img" not in page, rest


# ---- The timeline ----------------------------------------------------------------------------------------------------


def titles(client: Client, profile: Profile, **query: object) -> list[str]:
    page = client.get(url(profile), {name: str(value) for name, value in query.items()}).context["page"]
    return [item.title for day in page.days for item in day.items]


def test_the_same_thing_over_and_over_in_one_visit_is_one_entry(ann: Profile) -> None:
    items = [item for day in staff("marketer").get(url(ann)).context["page"].days for item in day.items]
    viewed = [item for item in items if item.title == "Product Viewed"]
    assert [len(item.group) for item in viewed] == [3, 0], "an hour apart is another visit"
    assert viewed[0].detail == "Boot 0, Boot 1, Boot 2"
    order = next(item for item in items if item.title == "Order Completed")
    assert (order.about, order.detail) == ("20.00 USD", "Order PB-1, 2 products")


def test_it_is_narrowed_by_source_type_and_days(ann: Profile) -> None:
    other = tracker()
    other.send(track("Support Called", "ann", ago=timedelta(days=1)))
    process_all()
    client = staff("marketer")
    assert titles(client, ann, source=other.source_id) == ["Support Called"]
    assert set(titles(client, ann, type=4)) == {"Identified"} or len(titles(client, ann, type=4)) == 2
    today = datetime.now(UTC).date()
    assert titles(client, ann, since=today - timedelta(days=1)) == ["Support Called"]
    narrow = {"since": today - timedelta(days=4), "until": today - timedelta(days=4)}
    assert titles(client, ann, **narrow) == ["Order Completed"]
    assert titles(client, ann, source="x", type="99", since="yesterday", until="9999-99-99", kind="²")[0:1] == []


def test_words_are_looked_for_only_by_who_sees_them(ann: Profile) -> None:
    marketer, compliance = staff("marketer"), staff("compliance")
    everything = titles(marketer, ann)
    assert titles(marketer, ann, text="secret") == everything, "whether it is found would tell what is hidden"
    assert titles(compliance, ann, text="secret") == everything
    compliance.post(url(ann, "reveal/"))
    assert titles(compliance, ann, text="SECRET") == ["Product Viewed"]
    assert titles(compliance, ann, text="%") == []


def walked(client: Client, profile: Profile, query: str = "") -> Iterator[str]:
    """Titles, page after page, as "Older" leads without JavaScript."""
    address = url(profile, f"?{query}")
    while address:
        page = client.get(address)
        for day in page.context["page"].days:
            for item in day.items:
                for one in item.group or [item]:
                    yield f"{one.title} {one.at.isoformat()} {one.about}"
        link = re.search(r'href="([^"]*before=[^"]*)#timeline">Older', page.content.decode())
        address = link[1].replace("&amp;", "&") if link else ""


def test_it_goes_on_page_by_page_and_keeps_its_filters(ann: Profile) -> None:
    source = Source.objects.order_by("pk").first()
    assert source is not None
    same = datetime.now(UTC) - timedelta(days=1)
    shop = tracker()
    shop.send(*(track("Ticked", "ann", timestamp=same.isoformat(), properties={"name": str(n)}) for n in range(45)))
    process_all()
    client = staff("marketer")
    seen = list(walked(client, ann))
    assert len([one for one in seen if one.startswith("Ticked")]) == 45 and len(seen) == len(set(seen))
    narrowed = list(walked(client, ann, f"source={shop.source_id}"))
    assert len(narrowed) == 45 and all(one.startswith("Ticked") for one in narrowed)
    piece = client.get(url(ann, "timeline/"), {"source": shop.source_id})
    follows = re.search(r'hx-get="([^"]*)" hx-trigger="revealed"', piece.content.decode())
    assert follows and parse_qs(urlsplit(follows[1].replace("&amp;", "&")).query)["source"] == [str(shop.source_id)]


# ---- One person after the other --------------------------------------------------------------------------------------


def test_one_goes_from_person_to_person_as_they_stand_in_the_list(ann: Profile) -> None:
    decide("bob", "internal_analysis", Decision.DENIED)
    shop = tracker()
    shop.send(identify("cyd", ago=timedelta(seconds=1)), identify("dan", ago=timedelta(days=20)))
    process_all()
    client = staff("marketer")
    listed = [person.pk for person, *_ in client.get("/admin/profiles/profile/").context["rows"]]
    walked, at = list[int](), Profile.objects.get(pk=listed[0])
    while True:
        walked.append(at.pk)
        following = client.get(url(at)).context["neighbours"]["older"]
        if following is None:
            break
        at = following
    assert walked == listed and person("bob").pk not in walked
    back = client.get(url(at)).context["neighbours"]["newer"]
    assert back is not None and back.pk == listed[-2]


def test_people_are_paged_by_who_was_seen_last(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdp.console.people.PAGE", 3)
    same = datetime.now(UTC) - timedelta(days=1)
    tracker().send(*(identify(f"u{n}", timestamp=same.isoformat()) for n in range(8)))
    process_all()
    Profile.objects.update(last_seen_at=same)
    client = staff("marketer")
    seen, after = list[int](), ""
    while True:
        page = client.get("/admin/profiles/profile/", {"after": after})
        seen += [one.pk for one, *_ in page.context["rows"]]
        after = page.context["page"].older
        if not after:
            break
    assert seen == sorted(seen, reverse=True) and len(seen) == 8


def test_the_page_costs_the_same_however_much_there_is(ann: Profile) -> None:
    client = staff("marketer")
    live("first", BOUGHT)

    def cost() -> int:
        client.get(url(ann))
        with CaptureQueriesContext(connection) as seen:
            assert client.get(url(ann)).status_code == 200
        return len(seen)

    few = cost()
    shop = tracker()
    shop.send(*(track(f"Thing {n}", "ann", properties={"name": str(n)}) for n in range(15)))
    shop.send(identify("ann", traits={f"trait {n}": n for n in range(15)}))
    process_all()
    for n in range(8):
        live(f"more-{n}", BOUGHT)
    run = ScoreRun.objects.create(kind="rfm", version="1", published_at=datetime.now(UTC), is_current=True)
    for n in range(5):
        Score.objects.create(run=run, profile_id=ann.pk, key=f"k{n}", number=n)
    assert cost() == few
