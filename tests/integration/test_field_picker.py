"""Finding a field and looking at it: what fits, whom it is shown to, and that what is hostile or personal stays harmless."""

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.errors import NotFound
from cdp.jobs.models import Job
from cdp.profiles.models import EventName, Trait
from segments.by_hand import ready_lists
from segments.catalogue import catalog
from segments.fields.cards import card
from segments.fields.measuring import measure
from segments.fields.models import FieldKind, FieldStatistics
from segments.fields.picking import Beside, Found, search
from segments.fields.suggesting import values, values_of
from segments.lists import create_list
from segments.rules.drafting import begin
from segments.sharing import share_segment
from tests.factories import BY, Tracker, draft, identify, live, performed, process_all, track, tracker

pytestmark = pytest.mark.django_db
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def shop() -> Tracker:
    source = tracker()
    for number in range(1, 21):
        source.send(
            identify(
                f"u{number}",
                traits={
                    "average_order_value": number,
                    "email": f"u{number}@example.com",
                    "country": "DE" if number < 15 else "ZZ",
                    HOSTILE: HOSTILE,
                    "first_order": "2024-05-01",
                },
            ),
            track(
                "Order Completed",
                f"u{number}",
                properties={
                    "order_id": f"o{number}",
                    "revenue": number,
                    "currency": "USD",
                    "colour": HOSTILE,
                    "phone": "555",
                },
            ),
            *([track("Order Refunded", f"u{number}", properties={"reason": "size"})] if number < 8 else []),
        )
    process_all()
    measure(progress=lambda done, total, phase: None)
    cache.clear()
    return source


def member_of(role: str) -> User:
    user, _ = User.objects.get_or_create(username=role or "newcomer", defaults={"is_staff": True})
    if role:
        user.groups.add(Group.objects.get(name=role))
    return User.objects.get(pk=user.pk)


@pytest.fixture
def marketer() -> User:
    return member_of("marketer")


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def labels(found: Found) -> list[str]:
    return [one.label for one in found.fields]


# ---- Searching -----------------------------------------------------------------------------------------------------


def test_the_best_fit_comes_first_and_of_these_the_commonest(shop: Tracker, marketer: User) -> None:
    live("first-order-this-month", performed("Order Completed"))
    found = search(marketer, "ord")
    assert labels(found)[:2] == ["Order Completed", "Order Refunded"]
    assert {"Average order value", "First order", "First-order-this-month"} < set(labels(found))
    assert found.counts == {FieldKind.EVENT: 2, FieldKind.TRAIT: 2, FieldKind.SEGMENT: 1} and found.total == 5
    assert labels(search(marketer, "aov")) == ["Average order value"]
    only = search(marketer, "ord", kinds=[FieldKind.TRAIT])
    assert {one.kind for one in only.fields} == {FieldKind.TRAIT} and only.counts == found.counts


def test_results_say_what_they_are_and_how_many_have_it(shop: Tracker, marketer: User) -> None:
    by_key = {one.key: one for one in search(marketer, "").fields}
    value, email, order = by_key["average_order_value"], by_key["email"], by_key["Order Completed"]
    assert (value.type, value.icon, value.fill, value.category) == ("number", "hash", 1.0, "Behavioural")
    assert (email.is_personal, email.fill, email.is_open) == (True, 1.0, True)
    assert (order.count, order.fill, order.icon) == (20, 1.0, "bolt")
    assert by_key["internal_analysis"].count == 20


def test_the_properties_of_one_event_are_searched_by_themselves(shop: Tracker, marketer: User) -> None:
    found = search(marketer, "", event="Order Completed")
    assert {one.key for one in found.fields} == {"order_id", "revenue", "currency", "colour", "phone"}
    assert {one.key for one in found.fields if one.is_personal} == {"phone"}
    assert search(marketer, "", event="Order Cancelled").total == 0


def test_segments_that_somebody_may_not_see_are_not_found(shop: Tracker) -> None:
    segment = live("secret-plans", performed("Order Completed"))
    guest = member_of("")
    share_segment(segment=live("other", performed("Order Refunded")), user=guest, by=BY)
    assert (
        labels(search(guest, "secret")) == []
        and search(guest, "", kinds=[FieldKind.SEGMENT]).counts[FieldKind.SEGMENT] == 1
    )
    with pytest.raises(NotFound):
        card(guest, FieldKind.SEGMENT, segment.key)
    share_segment(segment=segment, user=guest, by=BY)
    assert labels(search(User.objects.get(pk=guest.pk), "secret")) == ["Secret-plans"]


def test_lists_of_a_hidden_segment_tell_neither_its_name_nor_that_it_is_there(shop: Tracker) -> None:
    secret = live("secret-plans", performed("Order Completed"))
    lists = ready_lists(segment=secret, by=BY)
    create_list(name="Secret guests", by=BY)
    guest = member_of("")
    share_segment(segment=live("other", performed("Order Refunded")), user=guest, by=BY)
    assert labels(search(guest, "secret")) == ["Secret guests"]
    with pytest.raises(NotFound):
        card(guest, FieldKind.LIST, lists.include.key)
    share_segment(segment=secret, user=guest, by=BY)
    guest = User.objects.get(pk=guest.pk)
    assert card(guest, FieldKind.LIST, lists.include.key).field.label == lists.include.name


def test_who_may_not_read_people_may_write_no_rule_on_personal_fields(shop: Tracker) -> None:
    create_list(name="Friends", by=BY)
    integrator = member_of("integrator")
    found = {one.key: one for one in search(integrator, "").fields}
    assert not found["email"].is_open and not found["friends"].is_open and found["friends"].count is None
    assert found["average_order_value"].is_open
    assert card(integrator, FieldKind.LIST, "friends").filled is None


def test_what_is_no_field_is_found_beside_them(shop: Tracker, marketer: User) -> None:
    found = {one.key: one for one in search(marketer, "", kinds=[Beside.MORE]).fields}
    assert {(one.form, one.about, one.icon) for one in found.values()} == {
        ("sequence", "", "steps"), ("bucket", "draw", "dice"), ("everyone", "", "users"),
    }  # fmt: skip
    assert labels(search(marketer, "seq")) == ["Sequence of events"]
    client = client_of(marketer)
    text = client.get(reverse(CARD), {"kind": "more", "key": "bucket"}).content.decode()
    assert "drawn at random" in text and "<dl" not in text and "counted" not in text
    assert client.get(reverse(CARD), {"kind": "more", "key": "nothing"}).status_code == 404


def test_a_field_says_of_which_form_a_condition_about_it_is(shop: Tracker, marketer: User) -> None:
    for one in search(marketer, "", limit=500).fields:
        node = begin(one.form, one.about, catalog())
        assert one.form in node and (one.kind == Beside.MORE or node[one.form] in (one.key,)), one


def test_a_list_is_as_many_queries_with_many_fields_as_with_few(shop: Tracker, marketer: User) -> None:
    def queries() -> dict[str, int]:
        found = {}
        for name, ask in {
            "search": lambda: search(marketer, "e").fields,
            "card": lambda: card(marketer, FieldKind.TRAIT, "country"),
            "values": lambda: values(marketer, FieldKind.TRAIT, "country", "g"),
        }.items():
            ask()
            with CaptureQueriesContext(connection) as captured:
                ask()
            found[name] = len(captured)
        return found

    live("s", {"trait": "country", "op": "equals", "value": "DE"})
    few = queries()
    for number in range(12):
        live(f"s-{number}", {"trait": "country", "op": "equals", "value": "DE"})
        create_list(name=f"Some {number}", by=BY)
        Trait.objects.create(key=f"extra{number}", label=f"Extra {number}", type="number")
        EventName.objects.create(name=f"Extra {number}", label=f"Extra {number}")
    assert queries() == few


def test_however_many_fields_there_are_their_figures_are_found_by_name(marketer: User) -> None:
    now = timezone.now()
    FieldStatistics.objects.bulk_create(
        FieldStatistics(kind=FieldKind.PROPERTY, event=f"Event {n}", key=f"p{m}", filled=5, of=9, as_of=now)
        for n in range(150)
        for m in range(40)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE segments_fieldstatistics")
    with CaptureQueriesContext(connection) as captured:
        assert search(marketer, "", event="Event 7").total == search(marketer, "p", event="Event 7").total == 40
        search(marketer, "x")
        values_of(card(marketer, FieldKind.PROPERTY, "p3", event="Event 7"), "")
    asked = [one["sql"] for one in captured if '"segments_fieldstatistics"' in one["sql"]]
    assert len(asked) == 6 + 1
    for sql in asked:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
        assert "segments_one_statistic_per_field" in plan and "Seq Scan" not in plan, plan


# ---- One field -----------------------------------------------------------------------------------------------------


def test_a_card_says_what_a_field_is_like(shop: Tracker, marketer: User) -> None:
    live("big", {"trait": "average_order_value", "op": "gt", "value": 5})
    draft("planned", {"trait": "average_order_value", "op": "gt", "value": 5})
    found = card(marketer, FieldKind.TRAIT, "average_order_value")
    assert (found.filled, found.of, found.share, found.used_by) == (20, 20, 1.0, 1)
    assert found.examples == ["5", "10", "16"] and [name for name in found.sources if name.startswith("Source")]
    event = card(marketer, FieldKind.EVENT, "Order Completed")
    assert (event.unit, event.filled, event.used_by) == ("USD", 20, 0)
    reason = card(marketer, FieldKind.PROPERTY, "reason", event="Order Refunded")
    assert (reason.people, reason.examples, reason.used_by) == (7, ["size"], None)


def test_what_became_personal_is_shown_no_more_before_it_is_counted_again(shop: Tracker, marketer: User) -> None:
    assert card(marketer, FieldKind.TRAIT, "country").top
    Trait.objects.filter(key="country").update(is_pii=True)
    assert FieldStatistics.objects.get(kind=FieldKind.TRAIT, key="country").top, "still stored until the night"
    found = card(marketer, FieldKind.TRAIT, "country")
    assert (found.top, found.distribution, found.examples) == ((), None, [])
    assert values(marketer, FieldKind.TRAIT, "country", "ger") == []


@pytest.mark.parametrize("kind", list(FieldKind))
def test_what_there_is_not_is_not_found(marketer: User, kind: FieldKind) -> None:
    with pytest.raises(NotFound):
        card(marketer, kind, "nothing", event="none")


# ---- Values --------------------------------------------------------------------------------------------------------


def test_countries_are_found_by_name_and_by_code_and_those_that_people_have_come_first(
    shop: Tracker, marketer: User
) -> None:
    found = values(marketer, FieldKind.TRAIT, "country", "ger")
    assert [(found[0].value, found[0].label, found[0].people)] == [("DE", "Germany", 14)]
    assert values(marketer, FieldKind.TRAIT, "country", "AT")[0].label == "Austria"
    assert next((one.value, one.people) for one in values(marketer, FieldKind.TRAIT, "country", "zz")) == ("ZZ", 6)
    assert [one.value for one in values(marketer, FieldKind.TRAIT, "country", "")][:2] == ["DE", "ZZ"]


def test_common_values_are_typed_ahead_and_personal_ones_are_not(shop: Tracker, marketer: User) -> None:
    assert [one.value for one in values(marketer, FieldKind.PROPERTY, "reason", "si", event="Order Refunded")] == [
        "size"
    ]
    assert values(marketer, FieldKind.TRAIT, "email", "u") == []
    assert values(marketer, FieldKind.PROPERTY, "phone", "5", event="Order Completed") == []


# ---- The fragments -------------------------------------------------------------------------------------------------

FIGURE = json.dumps({"performed": "Order Completed", "measure": "sum", "within": {"days": 30}})
FIELDS = "admin:segments_segment_fields"
CARD = "admin:segments_segment_field_card"
VALUES = "admin:segments_segment_field_values"
DISTRIBUTION = "admin:segments_segment_field_distribution"


def histogram(client: Client, **sent: Any) -> str:
    response = client.post(reverse(DISTRIBUTION), sent)
    assert response.status_code == 200, response.content
    return response.content.decode()


@pytest.mark.parametrize(
    ("role", "status", "counted"),
    [("", 403, 403), ("marketer", 200, 200), ("compliance", 200, 200), ("integrator", 200, 403), ("admin", 200, 200)],
)
def test_fragments_open_for_who_sees_segments_and_figures_for_who_reads_members(
    shop: Tracker, role: str, status: int, counted: int
) -> None:
    client = client_of(member_of(role))
    for name, query in (
        (FIELDS, {}),
        (CARD, {"kind": "trait", "key": "country"}),
        (VALUES, {"kind": "trait", "key": "country"}),
    ):
        assert client.get(reverse(name), query).status_code == status, name
        assert client.get(reverse(name), query | {"kind": "nonsense"}).status_code in {
            status,
            403,
            404 if name != FIELDS else status,
        }
    trait = {"kind": "trait", "key": "average_order_value", "op": "gt", "value": "10"}
    assert client.post(reverse(DISTRIBUTION), trait).status_code == status
    assert client.post(reverse(DISTRIBUTION), {"figure": FIGURE}).status_code == counted
    assert client.get(reverse(DISTRIBUTION)).status_code == 405
    assert Client().get(reverse(FIELDS)).status_code == 302


def test_the_list_is_a_listbox_whose_options_say_what_they_are(shop: Tracker, marketer: User) -> None:
    text = client_of(marketer).get(reverse(FIELDS), {"q": "ord", "list": "add-list"}).content.decode()
    assert re.search(r'id="add-list" role="listbox"', text) and 'id="add-list-0" aria-selected="false"' in text
    assert re.search(r'role="option"[^>]*data-kind="event" data-key="Order Completed" data-event="" data-type=""', text)
    assert "<mark>Ord</mark>er Completed" in text and "5 fields fit" not in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    # An id that could be no id is left aside.
    assert 'id="fields-list"' in client_of(marketer).get(reverse(FIELDS), {"list": '"><b>'}).content.decode()


def test_only_events_or_the_properties_of_one_are_listed_where_only_these_will_do(
    shop: Tracker, marketer: User
) -> None:
    client = client_of(marketer)
    events = client.get(reverse(FIELDS), {"only": "event"}).content.decode()
    assert set(re.findall(r'data-kind="(\w+)"', events)) == {"event"} and "aria-pressed" not in events
    assert re.search(r"<p[^>]*role=\"status\">(\d+) fields fit", events)[1] == str(EventName.objects.count())  # type: ignore[index]
    of = client.get(reverse(FIELDS), {"event": "Order Completed", "value": "yes"}).content.decode()
    assert "Value of the event" in of and 'data-about=""' in of and "USD" in of
    assert "Value of the event" not in client.get(reverse(FIELDS), {"event": "Order Completed"}).content.decode()


def test_a_property_that_was_never_seen_can_be_named_and_its_name_is_text(shop: Tracker, marketer: User) -> None:
    client = client_of(marketer)
    text = client.get(reverse(FIELDS), {"event": "Order Completed", "q": HOSTILE}).content.decode()
    assert (
        'data-about="&lt;img src=x onerror=alert(1)&gt;"' in text and "not seen lately" in text and "<img" not in text
    )
    assert (
        "not seen lately"
        not in client.get(reverse(FIELDS), {"event": "Order Completed", "q": "colour"}).content.decode()
    )
    assert "not seen lately" not in client.get(reverse(FIELDS), {"q": "zebra"}).content.decode()
    never = client.get(reverse(FIELDS), {"event": "Nothing Yet"}).content.decode()
    assert "Type the name of one" in never and 'role="listbox"' not in never


def test_before_anything_is_counted_the_list_says_so_and_who_may_can_have_it_done(db: None) -> None:
    Trait.objects.create(key="points", label="Points", type="number")
    for role, may in (("marketer", True), ("compliance", False)):
        text = client_of(member_of(role)).get(reverse(FIELDS)).content.decode()
        assert "Points" in text and "nobody has counted yet" in text and ("Have it counted now" in text) == may
        assert "Type the name" in client_of(member_of(role)).get(reverse(FIELDS), {"event": "Bought"}).content.decode()
        card_of_it = client_of(member_of(role)).get(reverse(CARD), {"kind": "trait", "key": "points"}).content.decode()
        assert "Nobody has counted this field yet" in card_of_it


def test_values_that_are_all_known_are_told_from_those_that_may_be_any(shop: Tracker, marketer: User) -> None:
    client = client_of(marketer)
    assert "data-closed" in client.get(reverse(VALUES), {"kind": "trait", "key": "country", "q": "g"}).content.decode()
    colour = {"kind": "property", "event": "Order Refunded", "key": "reason"}
    text = client.get(reverse(VALUES), colour).content.decode()
    assert 'data-value="size"' in text and "data-closed" not in text
    personal = client.get(reverse(VALUES), {"kind": "trait", "key": "email", "q": "u"}).content.decode()
    assert 'role="option"' not in personal and "example.com" not in personal


def test_nothing_hostile_gets_out_of_its_place(shop: Tracker, marketer: User) -> None:
    client = client_of(marketer)
    key = Trait.objects.get(key=HOSTILE).key
    for name, query in (
        (FIELDS, {"q": "img"}),
        (FIELDS, {"q": HOSTILE}),
        (FIELDS, {"q": HOSTILE + "zz", "event": HOSTILE}),
        (CARD, {"kind": "trait", "key": key}),
        (CARD, {"kind": "property", "key": "colour", "event": "Order Completed"}),
        (VALUES, {"kind": "trait", "key": key, "q": "<"}),
    ):
        text = client.get(reverse(name), query).content.decode()
        assert "<img" not in text and ("&lt;" in text or "<mark>&lt;" in text), query
    pk = Trait.objects.get(key=HOSTILE).pk
    for path in ("/admin/profiles/trait/", f"/admin/profiles/trait/{pk}/change/"):
        assert "<img src=x" not in client.get(path).content.decode()


def test_the_histogram_colours_the_side_that_is_taken_and_offers_percentiles(shop: Tracker, marketer: User) -> None:
    client = client_of(marketer)
    text = histogram(client, kind="trait", key="average_order_value", op="gt", value="10", id="c1")
    assert 'data-side="above"' in text and 'id="c1-c"' in text and "50th percentile" not in text
    assert re.findall(r'data-threshold="([^"]+)"', text) == ["10", "15", "16", "16"]
    assert "Top 25%" in text and "Bottom" not in text and 'class="h-range"' in text and "As a table" in text
    stops = json.loads(re.search(r'data-stops="([^"]+)"', text)[1].replace("&quot;", '"'))  # type: ignore[index]
    assert len(stops) == 201 and [float(one[0]) for one in stops] == sorted(float(one[0]) for one in stops)
    below = histogram(client, kind="trait", key="average_order_value", op="lt", value="10")
    assert 'data-side="below"' in below and "Bottom 10%" in below
    between = client.post(
        reverse(DISTRIBUTION), {"kind": "trait", "key": "average_order_value", "op": "between", "value": ["6", "12"]}
    )
    assert between.content.decode().count('class="h-mark"') == 2 and b"h-range" not in between.content
    for value in ("", "abc", "1e99", "NaN", "-Infinity"):
        assert 'class="h-at" visibility="hidden"' in histogram(
            client, kind="trait", key="average_order_value", value=value
        )


def test_the_histogram_of_a_figure_of_events_and_of_a_date(shop: Tracker, marketer: User) -> None:
    client = client_of(marketer)
    text = histogram(client, figure=FIGURE, op="gt", value="4")
    assert "Total value of Order Completed, per person, USD" in text and "20 people with Order Completed" in text
    assert "style=" not in text and "<script" not in text
    assert "<figure" in histogram(client, kind="trait", key="first_order", op="after", value="2024-04-01")
    assert "<figure" in histogram(client, kind="event", key="Order Completed", op="gt", value="4")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"figure": "{"}, "JSON"),
        ({"figure": "[]"}, "counted over events"),
        ({"figure": '{"performed": "Never Seen"}'}, "no event"),
        ({"figure": '{"performed": "Order Completed", "measure": "last_at"}'}, "Mend"),
        (
            {"figure": '{"performed": "Order Completed", "where": [{"property": "nose", "op": "is", "value": 1}]}'},
            "Mend",
        ),
        ({"kind": "trait", "key": "country"}, "numbers and dates"),
        ({"kind": "trait", "key": "email"}, "personal data"),
    ],
)
def test_what_has_no_histogram_says_why(shop: Tracker, marketer: User, sent: dict[str, str], said: str) -> None:
    response = client_of(marketer).post(reverse(DISTRIBUTION), sent)
    assert response.status_code == 422 and said in response.content.decode()


def test_too_few_people_and_nobody_are_told_in_words(shop: Tracker, marketer: User) -> None:
    client = client_of(marketer)
    few = json.dumps({"performed": "Order Refunded"})
    assert "Too few people" in histogram(client, figure=few)
    nobody = json.dumps(
        {"performed": "Order Refunded", "where": [{"property": "reason", "op": "equals", "value": "x"}]}
    )
    assert "Nobody has such a figure" in histogram(client, figure=nobody)


def test_a_figure_on_personal_data_is_for_who_may_read_people(shop: Tracker) -> None:
    guest = member_of("")
    share_segment(segment=live("other", performed("Order Refunded")), user=guest, by=BY)
    personal = json.dumps(
        {"performed": "Order Completed", "where": [{"property": "phone", "op": "equals", "value": "555"}]}
    )
    # A grant on one segment lets nobody count people by rules of their own.
    assert client_of(guest).post(reverse(DISTRIBUTION), {"figure": personal}).status_code == 403


# ---- The catalogues ------------------------------------------------------------------------------------------------


def test_the_catalogues_show_the_figures_and_when_they_were_taken(shop: Tracker, marketer: User) -> None:
    client = client_of(marketer)
    traits = client.get("/admin/profiles/trait/").content.decode()
    assert "People who have it" in traits and "100%" in traits and "Figures of" in traits and "Measure now" in traits
    events = client.get("/admin/profiles/eventname/").content.decode()
    assert "In 30 days" in events and ">20<" in events
    one = client.get(f"/admin/profiles/trait/{Trait.objects.get(key='country').pk}/change/").content.decode()
    assert re.search(r"DE</th><td[^>]*>14<", one)
    event = client.get(
        f"/admin/profiles/eventname/{EventName.objects.get(name='Order Completed').pk}/change/"
    ).content.decode()
    assert "What its events carried" in event and "revenue" in event and "555" not in event
    email = client.get(f"/admin/profiles/trait/{Trait.objects.get(key='email').pk}/change/").content.decode()
    assert "Personal data: no value is shown" in email and "u1@example.com" not in email


@pytest.mark.parametrize(
    ("role", "status"), [("", 403), ("marketer", 302), ("compliance", 403), ("integrator", 302), ("admin", 302)]
)
def test_who_may_have_them_taken_anew(db: None, role: str, status: int) -> None:
    client = client_of(member_of(role))
    assert client.post(reverse("admin:profiles_trait_measure")).status_code == status
    assert client.get(reverse("admin:profiles_eventname_measure")).status_code == 405
    job = Job.objects.filter(kind="fields.measure").first()
    assert (job is not None) == (status == 302)
    if job is not None:
        assert client.post(reverse("admin:profiles_eventname_measure")).status_code == 302
        assert Job.objects.filter(kind="fields.measure").count() == 1, "it is under way"
        assert AuditEntry.objects.filter(action="job.enqueued").count() == 1
