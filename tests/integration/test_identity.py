"""People as they are found, merged and parted again, in the database; and that nothing is lost on the way."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from cdp.audit.models import AuditEntry
from cdp.errors import Conflict, NotFound
from cdp.identity.merging import merge_profiles, survivor_of, undo_merge
from cdp.identity.models import Merge
from cdp.ingestion.models import SourceKind
from cdp.pipeline import process_batch
from cdp.profiles import catalogue
from cdp.profiles.models import Event, Identifier, Profile, TraitValue
from consent.models import ConsentState
from tests.factories import BY, Call, Tracker, identify, person, process_all, track, tracker
from tests.integration.books import (
    assert_books_balance,
    assert_nobody_is_orphaned,
    assert_orders_count_once,
    assert_sessions_are_what_devices_sent,
    assert_totals_equal_events,
    rows,
)


@pytest.fixture
def shop(db: None) -> Tracker:
    return tracker()


def known_by(profile: Profile) -> set[str]:
    return {f"{namespace}:{value}" for namespace, value in profile.identifiers.values_list("namespace", "value")}


def named(namespace: str, value: str) -> Profile:
    return Profile.objects.get(identifiers__namespace=namespace, identifiers__value=value)


def visit(device: str, event: str = "Looked", **more: Any) -> Call:
    return track(event, anonymousId=device, **more)


def say(source: Tracker, *calls: Call) -> None:
    for call in calls:
        source.send(call)
        process_all()


# ---- Merging -------------------------------------------------------------------------------------------------


def log_in(shop: Tracker) -> Merge:
    """A visitor who looked twice and spent, a person known by id, and the log-in that proves them one."""
    say(
        shop,
        visit("x"),
        visit("x", "Bought", properties={"revenue": 10}),
        identify(anonymousId="x", traits={"city": "Bern", "lang": "de"}),
    )
    say(
        shop,
        track("Bought", "ann", properties={"revenue": 5}),
        identify("ann", traits={"city": "Rome", "plan": "gold"}),
    )
    say(shop, identify("ann", anonymousId="x", traits={"logins": 1}))
    return Merge.objects.get()


def test_a_log_in_makes_one_of_visitor_and_person(shop: Tracker) -> None:
    merge = log_in(shop)
    ann = Profile.objects.get()
    assert known_by(ann) == {"user_id:ann", "anonymous_id:x"}
    assert ann.traits == {"city": "Rome", "lang": "de", "plan": "gold", "logins": 1}
    assert Event.objects.filter(profile_id=ann.pk).count() == 6
    total = ann.event_totals.get(name__name="Bought")
    assert (total.count, total.value_sum) == (2, 15)
    assert (merge.survivor_id, merge.reason) == (ann.pk, "user_id and anonymous_id in one message")
    entry = AuditEntry.objects.get(action="profile.merged")
    assert (entry.object_type, entry.object_id) == ("identity.merge", str(merge.pk))
    assert_books_balance()


def test_undoing_a_merge_gives_each_what_was_theirs(shop: Tracker) -> None:
    merge = log_in(shop)
    visitor = undo_merge(merge=merge, by=BY)
    ann = person("ann")
    assert visitor.uuid == merge.absorbed_uuid and named("anonymous_id", "x") == visitor
    visitor.refresh_from_db()
    assert (visitor.traits, ann.traits) == (
        {"city": "Bern", "lang": "de"},
        {"city": "Rome", "plan": "gold", "logins": 1},
    )
    assert set(_events(visitor)) == {"Looked", "Bought", "Identified"}
    assert (_events(ann)["Bought"], _events(visitor)["Bought"]) == (5, 10)
    assert AuditEntry.objects.filter(action="profile.unmerged").count() == 1
    process_all()
    assert_books_balance()


def _events(profile: Profile) -> dict[str, Any]:
    return dict(profile.event_totals.values_list("name__name", "value_sum"))


def test_what_comes_by_an_identifier_while_merged_goes_with_it(shop: Tracker) -> None:
    merge = log_in(shop)
    say(shop, visit("x", "Bought", properties={"revenue": 7}), track("Bought", "ann", properties={"revenue": 1}))
    visitor = undo_merge(merge=merge, by=BY)
    assert (_events(person("ann"))["Bought"], _events(visitor)["Bought"]) == (6, 17)
    assert visitor.last_seen_at < datetime.now(UTC)
    assert_totals_equal_events()


def test_an_identifier_found_in_the_merging_batch_goes_back_to_whom_it_came(shop: Tracker) -> None:
    say(shop, track("Looked", "ann"), visit("x"))
    shop.send(identify(anonymousId="x", traits={"email": "x@b.ch"}), identify("ann", anonymousId="x"))
    process_all()
    visitor = undo_merge(merge=Merge.objects.get(), by=BY)
    assert known_by(visitor) == {"anonymous_id:x", "email:x@b.ch"}
    assert visitor.identifiers.get(namespace="email").first_seen_at
    visitor.refresh_from_db()
    assert visitor.traits == {"email": "x@b.ch"}


def test_a_pair_that_was_parted_is_not_merged_again_by_a_machine(shop: Tracker) -> None:
    undo_merge(merge=log_in(shop), by=BY)
    say(shop, identify("ann", anonymousId="x"))
    assert Profile.objects.count() == 2
    assert Event.objects.get(flags__contains=["merge_undone_before"]).profile_id == person("ann").pk

    # Nor by way of a third who is both.
    say(shop, visit("z"), visit("z", userId=None, context={"externalIds": [{"type": "crm", "id": "7"}]}))
    say(shop, visit("x", context={"externalIds": [{"type": "crm", "id": "7"}]}))
    say(shop, identify("ann", context={"externalIds": [{"type": "crm", "id": "7"}]}))
    assert named("anonymous_id", "x") == named("crm", "7") != person("ann")

    merge_profiles(survivor=person("ann"), absorbed=named("anonymous_id", "x"), reason="asked on the phone", by=BY)
    assert named("anonymous_id", "x") == person("ann"), "a person may"


def test_a_merge_is_undone_once_and_from_the_outside_in(shop: Tracker) -> None:
    first = log_in(shop)
    ann = person("ann")
    say(shop, track("Looked", "zoe"))
    second = merge_profiles(survivor=person("zoe"), absorbed=ann, reason="one person", by=BY)
    with pytest.raises(Conflict) as refused:
        undo_merge(merge=first, by=BY)
    assert refused.value.code == "survivor_absorbed"
    undo_merge(merge=second, by=BY)
    undo_merge(merge=first, by=BY)
    with pytest.raises(Conflict) as refused:
        undo_merge(merge=first, by=BY)
    assert refused.value.code == "merge_undone"
    assert Profile.objects.count() == 3


def test_a_failed_undo_leaves_no_trace(shop: Tracker) -> None:
    """The act and its audit entry stand or fall together."""
    merge = log_in(shop)
    before = AuditEntry.objects.count()
    Profile.objects.create(uuid=merge.absorbed_uuid, first_seen_at=merge.merged_at, last_seen_at=merge.merged_at)
    with pytest.raises(IntegrityError), transaction.atomic():
        undo_merge(merge=merge, by=BY)
    merge.refresh_from_db()
    assert merge.undone_at is None and AuditEntry.objects.count() == before


def test_nobody_is_merged_with_themself_or_with_somebody_gone(shop: Tracker) -> None:
    say(shop, track("Looked", "ann"), track("Looked", "bob"))
    ann, bob = person("ann"), person("bob")
    with pytest.raises(Conflict):
        merge_profiles(survivor=ann, absorbed=ann, reason="", by=BY)
    merge_profiles(survivor=ann, absorbed=bob, reason="", by=BY)
    with pytest.raises(Conflict):
        merge_profiles(survivor=ann, absorbed=bob, reason="", by=BY)


def test_an_absorbed_id_leads_to_whoever_has_it_now(shop: Tracker) -> None:
    say(shop, *(track("Looked", user) for user in ("a", "b", "c", "d")))
    a, b, c, d = (person(user) for user in "abcd")
    merge_profiles(survivor=b, absorbed=a, reason="", by=BY)
    merge_profiles(survivor=c, absorbed=b, reason="", by=BY)
    last = merge_profiles(survivor=d, absorbed=c, reason="", by=BY)
    assert {survivor_of(p.uuid).pk for p in (a, b, c, d)} == {d.pk}
    undo_merge(merge=last, by=BY)
    assert {survivor_of(p.uuid).pk for p in (a, b, c)} == {c.pk}
    assert survivor_of(d.uuid).pk == d.pk
    with pytest.raises(NotFound):
        survivor_of(uuid4())


# ---- What keys and values may do -----------------------------------------------------------------------------


def test_a_browser_links_its_visitor_and_merges_no_two_people(shop: Tracker) -> None:
    browser = tracker(SourceKind.BROWSER)
    say(browser, visit("x"), identify("ann", anonymousId="x", traits={"email": "victim@b.ch"}))
    assert known_by(person("ann")) == {"user_id:ann", "anonymous_id:x"}, "an email from a browser identifies nobody"
    say(shop, identify(traits={"email": "bob@b.ch"}, anonymousId="y"))
    say(browser, identify("ann", anonymousId="y"))
    say(
        browser,
        {"type": "alias", "userId": "ann", "previousId": "y"},
        {"type": "alias", "userId": "new", "previousId": "ann"},
    )
    assert named("anonymous_id", "y") == named("email", "bob@b.ch") != person("ann")
    assert person("ann") != person("new")


def test_a_server_alias_joins_two_ids_of_one_person(shop: Tracker) -> None:
    say(
        shop,
        track("Looked", "old-ann"),
        track("Looked", "ann"),
        {"type": "alias", "userId": "ann", "previousId": "old-ann"},
    )
    assert person("ann") == person("old-ann")


@pytest.mark.parametrize(
    "bad", ["null", "undefined", "anonymous", "-1", "0", "00000000-0000-0000-0000-000000000000", ""]
)
def test_one_bad_value_in_thousands_of_messages_welds_nobody(shop: Tracker, bad: str) -> None:
    shop.send(
        *(identify(f"u{n}", anonymousId=bad, context={"externalIds": [{"type": "crm", "id": bad}]}) for n in range(300))
    )
    process_all()
    assert Profile.objects.count() == 300
    assert not Identifier.objects.filter(value=bad).exists()
    assert Event.objects.filter(flags__contains=["identifier_blocked"]).count() == 300


def test_a_device_that_hundreds_share_welds_nobody(shop: Tracker) -> None:
    shop.send(*(identify(f"u{n}", anonymousId="kiosk") for n in range(300)))
    process_all()
    assert Profile.objects.count() == 300 and not Merge.objects.exists()


def test_resolving_a_batch_takes_the_same_number_of_statements_however_many_people(shop: Tracker) -> None:
    counts = []
    for size in (5, 200):
        shop.send(*(track("Looked", f"s{size}-{n}", anonymousId=f"d{size}-{n}") for n in range(size)))
        with CaptureQueriesContext(connection) as queries:
            process_batch()
        counts.append(len(queries))
    assert counts[1] <= counts[0]


# ---- Any story ----------------------------------------------------------------------------------------------

ORDER_IDS = st.sampled_from(["o1", "o2", 3, None])
ORDER_EVENTS = ["Order Completed", "Order Completed", "Order Updated", "Order Refunded"]
USERS, DEVICES, PURPOSES = ["ann", "bob", "cyd"], ["x", "y", "z"], ["marketing_email", "internal_analysis"]
WHO = st.fixed_dictionaries(
    {},
    optional={
        "userId": st.sampled_from(USERS),
        "anonymousId": st.sampled_from(DEVICES),
        "email": st.sampled_from(["e1@b.ch", "e2@b.ch"]),
    },
).filter(bool)
SAID = st.fixed_dictionaries(
    {
        "who": WHO,
        "minute": st.sampled_from([0, 1, 15, 29, 30, 31, 50, 61, 62, 90, 91, 130]),
        "traits": st.dictionaries(st.sampled_from(["city", "plan"]), st.sampled_from(["a", "b", None, 3]), max_size=2),
        "revenue": st.none() | st.integers(-5, 50),
        "order": st.none()
        | st.tuples(
            st.sampled_from(ORDER_EVENTS),
            st.sampled_from(["o1", "o2", 3, None]),
            st.lists(st.integers(1, 9), max_size=2),
        ),
        "consent": st.dictionaries(st.sampled_from(PURPOSES), st.booleans(), max_size=2),
        "is_decision": st.booleans(),
    }
)
START = datetime.now(UTC) - timedelta(days=2)


class People(RuleBasedStateMachine):
    """Messages, merges and their undoing in any order; the books are checked after each step."""

    merges = Bundle("merges")

    @initialize()
    def begin(self) -> None:
        catalogue.forget()
        self.shop, self.browser = tracker(), tracker(SourceKind.BROWSER)
        self.sent = 0

    @rule(said=st.lists(SAID, min_size=1, max_size=4), trusted=st.booleans(), target=merges)
    def messages(self, said: list[dict[str, Any]], trusted: bool) -> Any:
        before = set(Merge.objects.values_list("pk", flat=True))
        (self.shop if trusted else self.browser).send(*(self._call(one) for one in said))
        process_all()
        return multiple(*Merge.objects.exclude(pk__in=before).order_by("pk").values_list("pk", flat=True))

    def _call(self, said: dict[str, Any]) -> Call:
        self.sent += 1
        who = dict(said["who"])
        context: dict[str, Any] = {"consent": {"categoryPreferences": said["consent"]}} if said["consent"] else {}
        if "email" in who:
            context["traits"] = {"email": who.pop("email")}
            who.setdefault("anonymousId", "x")
        call = who | {
            "messageId": f"m{self.sent}",
            "timestamp": (START + timedelta(minutes=said["minute"])).isoformat(),
            "context": context,
        }
        if said["is_decision"]:
            return call | {"type": "track", "event": "Segment Consent Preference Updated"}
        if said["order"]:
            name, order_id, prices = said["order"]
            products = [{"sku": f"s{price}", "price": price, "quantity": 2} for price in prices]
            properties = {"order_id": order_id, "revenue": said["revenue"], "products": products}
            return call | {"type": "track", "event": name, "properties": properties}
        if said["revenue"] is not None:
            return call | {"type": "track", "event": "Bought", "properties": {"revenue": said["revenue"]}}
        return call | {"type": "identify", "traits": said["traits"]}

    @rule(target=merges, data=st.data())
    def merge_by_hand(self, data: st.DataObject) -> Any:
        people = list(Profile.objects.order_by("pk"))
        if len(people) < 2:
            return multiple()
        one, other = data.draw(st.permutations(range(len(people))))[:2]
        granted = self._granted(people[one].pk) & self._granted(people[other].pk)
        denied = self._denied(people[one].pk) | self._denied(people[other].pk)
        either = self._granted(people[one].pk) | self._granted(people[other].pk)
        merge = merge_profiles(survivor=people[one], absorbed=people[other], reason="by hand", by=BY)
        now = self._granted(people[one].pk)
        assert granted <= now <= either - denied, "no record is neutral, a no is stricter"
        process_all()
        return merge.pk

    @rule(number=consumes(merges))
    def undo(self, number: int) -> None:
        merge = Merge.objects.get(pk=number)
        before = self._granted(merge.survivor_id)
        objected = self._denied(merge.survivor_id)
        try:
            restored = undo_merge(merge=merge, by=BY)
        except Conflict:
            return
        for profile_id in (merge.survivor_id, restored.pk):
            assert self._granted(profile_id) <= before, "parting widens nothing"
            assert objected <= self._denied(profile_id), "both keep the stricter answer"
        process_all()

    def _granted(self, profile_id: int) -> set[str]:
        return set(
            ConsentState.objects.filter(profile_id=profile_id, decision="granted").values_list(
                "purpose__key", flat=True
            )
        )

    def _denied(self, profile_id: int) -> set[str]:
        return set(
            ConsentState.objects.filter(profile_id=profile_id)
            .exclude(decision="granted")
            .values_list("purpose__key", flat=True)
        )

    @invariant()
    def no_message_is_lost_or_doubled(self) -> None:
        assert Event.objects.sent().count() == getattr(self, "sent", 0)

    @invariant()
    def totals_equal_events(self) -> None:
        assert_totals_equal_events()

    @invariant()
    def orders_count_once(self) -> None:
        assert_orders_count_once()

    @invariant()
    def sessions_are_what_devices_sent(self) -> None:
        assert_sessions_are_what_devices_sent()

    @invariant()
    def traits_equal_what_events_said(self) -> None:
        said: dict[int, dict[str, Any]] = defaultdict(dict)
        for event in Event.objects.filter(type=4).order_by("occurred_at", "message_id"):
            for key, value in event.properties.items():
                said[event.profile_id].pop(key, None)
                if value is not None:
                    said[event.profile_id][key] = value
        for profile in Profile.objects.all():
            assert profile.traits == said[profile.pk]
            assert dict(TraitValue.objects.filter(profile=profile).values_list("trait__key", "raw")) == said[profile.pk]

    @invariant()
    def everybody_can_be_found(self) -> None:
        assert_nobody_is_orphaned()
        for uuid in Merge.objects.values_list("absorbed_uuid", flat=True):
            survivor_of(uuid)

    @invariant()
    def each_event_is_with_the_owner_of_its_identifier(self) -> None:
        strays = (
            "SELECT e.id FROM profiles_event e JOIN profiles_identifier i ON i.id = e.identifier_id"
            " WHERE e.profile_id <> i.profile_id"
        )
        assert rows(strays) == []

    @invariant()
    def who_is_parted_stays_apart(self) -> None:
        for merge in Merge.objects.filter(undone_at__isnull=False, survivor_id__isnull=False):
            later = Merge.objects.filter(merged_at__gt=merge.undone_at, merged_by=BY.label).exists()
            if not later:
                identifiers = Identifier.objects.filter(pk__in=merge.identifier_ids)
                assert merge.survivor_id not in set(identifiers.values_list("profile_id", flat=True))

    @invariant()
    def a_grant_has_a_record_of_somebody_who_gave_it(self) -> None:
        without = (
            "SELECT 1 FROM consent_consentstate s JOIN consent_consentrecord r ON r.id = s.record_id"
            " WHERE (s.decision, s.purpose_id, s.profile_id) IS DISTINCT FROM (r.decision, r.purpose_id, r.profile_id)"
            "    OR r.reach <> 'person'"
        )
        assert rows(without) == []


class Story(People):
    """Each story is told inside the test's own transaction, and taken back."""

    def __init__(self) -> None:
        super().__init__()
        self.point = transaction.atomic()
        self.point.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.point.__exit__(None, None, None)
        catalogue.forget()


@pytest.mark.drill
def test_any_story_keeps_the_books(db: None, drill_scale: Any) -> None:
    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=drill_scale(full=400, quick=18),
            stateful_step_count=drill_scale(full=30, quick=12),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


# ---- Known people --------------------------------------------------------------------------------------------


def test_home_counts_whoever_a_system_names_as_known(db: None, client: Client) -> None:
    shop = tracker()
    crm = {"externalIds": [{"type": "crm", "id": "7"}]}
    shop.send(track("Looked", anonymousId="x"), track("Looked", "ann"), track("Looked", anonymousId="y", context=crm))
    process_all()
    client.force_login(User.objects.create_superuser("root"))
    shown = client.get(reverse("admin:home_figures")).context
    assert (shown["people"], shown["known"]) == (3, 2)
