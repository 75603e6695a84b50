"""An audience holds whom of its segment the purpose permits now; each coming and going is a change with its place and its reason."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.utils import ProgrammingError
from django.utils import timezone

from cdp.activation.keeping import COMPARED_EVERY, checksum_of, keep_all, keep_once, purge_changes
from cdp.activation.models import Audience, AudienceChange, AudienceMember, Channel, Keeper
from cdp.activation.services import change_audience, create_audience, delete_audience
from cdp.audit.models import AuditEntry
from cdp.erasure import erase_profile
from cdp.errors import Conflict, DomainError
from cdp.identity.merging import merge_profiles, undo_merge
from cdp.profiles.models import Profile
from consent.models import ConsentState, Decision, Mode, Purpose, StopKind
from consent.querysets import permitted
from consent.stops import lift, stop
from segments.models import Membership, Segment
from segments.services import archive, delete_segment
from tests.factories import BY, Tracker, identify, live, performed, person, process_all, set_live, track, tracker
from tests.integration.audiences import audience_of, inside, keep, told
from tests.integration.callers import decide

pytestmark = pytest.mark.django_db

EMAIL = "marketing_email"
BUYERS = performed("Bought")


@pytest.fixture
def shop() -> Tracker:
    """Ann, Bob and Cyd bought; Ann and Bob want mail."""
    shop = tracker()
    shop.send(*(track("Bought", name) for name in ("ann", "bob", "cyd")), track("Looked", "dan"))
    process_all()
    says_yes("ann")
    says_yes("bob")
    return shop


@pytest.fixture
def buyers(shop: Tracker) -> Segment:
    return live("buyers", BUYERS)


def says_yes(user: str) -> None:
    decide(user, EMAIL, Decision.GRANTED)


def names(audience: Audience) -> set[str]:
    uuids = inside(audience)
    found = Profile.objects.filter(uuid__in=uuids, identifiers__namespace="user_id")
    return set(found.values_list("identifiers__value", flat=True))


def assert_kept(audience: Audience) -> None:
    """The members are whom segment and purpose give now; so are size and checksum; and the changes lead there without a gap."""
    audience = Audience.objects.select_related("segment", "purpose").get(pk=audience.pk)
    who = Profile.objects.filter(pk__in=Membership.objects.filter(segment=audience.segment_id).values("profile_id"))
    truth = set(permitted(who, audience.purpose).values_list("uuid", flat=True))
    assert inside(audience) == truth
    followed: set[object] = set()
    checksum = 0
    for change in AudienceChange.objects.filter(audience=audience).order_by("position"):
        assert (change.profile_uuid in followed) == (change.kind == "exited")
        followed ^= {change.profile_uuid}
        checksum ^= checksum_of(change.profile_uuid)
        assert (change.size, change.checksum) == (len(followed), checksum)
    assert followed == truth and (audience.size, audience.checksum) == (len(truth), checksum)
    positions = sorted(AudienceChange.objects.values_list("position", flat=True))
    assert positions == list(range(1, len(positions) + 1)) and Keeper.objects.get().numbered == len(positions)


def test_whoever_is_in_the_segment_and_permits_the_purpose_is_in(buyers: Segment) -> None:
    audience = audience_of(buyers)
    assert names(audience) == {"ann", "bob"}
    assert audience.size == 2
    assert told(audience) == [("entered", "terms")] * 2
    assert_kept(audience)


def test_a_withdrawal_is_an_exit_and_a_yes_an_entry(buyers: Segment) -> None:
    audience = audience_of(buyers)
    decide("ann", EMAIL, Decision.WITHDRAWN)
    says_yes("cyd")
    says_yes("dan")  # who is not in the segment
    keep()
    assert names(audience) == {"bob", "cyd"}
    assert sorted(told(audience)[2:]) == [("entered", "consent"), ("exited", "consent")]
    assert_kept(audience)


def test_what_moves_people_in_the_segment_moves_them_here_with_its_reason_and_moment(
    shop: Tracker, buyers: Segment
) -> None:
    audience = audience_of(buyers)
    says_yes("dan")
    shop.send(track("Bought", "dan", ago=timedelta(hours=2)))
    process_all()
    keep()
    change = AudienceChange.objects.filter(audience=audience).latest("position")
    assert (change.kind, change.why, change.profile_uuid) == ("entered", "event", person("dan").uuid)
    assert timedelta(0) <= datetime.now(UTC) - timedelta(hours=2) - change.effective_at < timedelta(minutes=5)
    assert_kept(audience)


def test_a_consent_that_ends_is_an_exit_at_the_moment_it_ended(buyers: Segment) -> None:
    audience = audience_of(buyers)
    end = timezone.now() + timedelta(seconds=30)
    ConsentState.objects.filter(profile=person("bob")).update(expires_at=end)
    keep()
    assert names(audience) == {"ann", "bob"}
    entered = AudienceMember.objects.get(audience=audience, profile_id=person("bob").pk).entered_at
    # It is over by the next look: the keeper last looked before, and the database's clock is past it now.
    over = timezone.now() - timedelta(seconds=1)
    Keeper.objects.update(looked_to=over - timedelta(seconds=5))
    with connection.cursor() as cursor:  # as a trigger would hear it, too; here only time passes
        cursor.execute(
            "UPDATE consent_consentstate SET expires_at = %s WHERE profile_id = %s", [over, person("bob").pk]
        )
        cursor.execute("DELETE FROM activation_touched")
    keep()
    change = AudienceChange.objects.filter(audience=audience).latest("position")
    assert (change.kind, change.why) == ("exited", "expired")
    assert change.effective_at == max(over, entered), "and never before the entry"
    assert_kept(audience)


def test_what_is_halted_is_an_exit_until_it_is_lifted(buyers: Segment) -> None:
    audience = audience_of(buyers)
    stop(profile=person("ann"), kind=StopKind.RESTRICTION, by=BY)
    keep()
    assert names(audience) == {"bob"}
    lift(profile=person("ann"), kind=StopKind.RESTRICTION, by=BY)
    keep()
    assert names(audience) == {"ann", "bob"}
    assert_kept(audience)


def test_of_two_who_become_one_one_is_left_and_both_are_back_when_they_part(buyers: Segment) -> None:
    audience = audience_of(buyers)
    ann, bob = person("ann"), person("bob")
    merge = merge_profiles(survivor=ann, absorbed=bob, by=BY, reason="test")
    process_all()
    keep()
    assert inside(audience) == {ann.uuid}
    assert ("exited", "merge") in told(audience)
    assert_kept(audience)
    undo_merge(merge=merge, by=BY)
    process_all()
    keep()
    assert_kept(audience)


def test_somebody_who_is_erased_leaves_and_it_says_so(buyers: Segment) -> None:
    audience = audience_of(buyers)
    erase_profile(profile=person("ann"), by=BY, reason="asked")
    keep()  # the decision is gone before the evaluator has announced that the person is
    process_all()
    keep()
    assert names(audience) == {"bob"}
    assert told(audience)[-1] == ("exited", "erasure")
    assert_kept(audience)


def test_another_rule_another_mode_and_an_end_move_everybody_concerned(buyers: Segment) -> None:
    audience = audience_of(buyers)
    set_live(buyers, performed("Looked"))
    says_yes("dan")
    keep()
    assert names(audience) == {"dan"}
    purpose = Purpose.objects.get(key="analytics")
    measured = audience_of(buyers, "analytics")
    assert names(measured) == set()
    purpose.lawful_basis, purpose.mode = "legitimate_interests", Mode.OPT_OUT
    purpose.save()
    keep()
    assert names(measured) == {"dan"}
    with pytest.raises(Conflict) as refused:
        archive(segment=buyers, by=BY)
    assert refused.value.code == "segment_handed_on" and audience.name in refused.value.message
    with pytest.raises(Conflict):
        delete_segment(segment=buyers, by=BY)


def test_a_reach_takes_in_who_can_be_reached_by_it(shop: Tracker, buyers: Segment) -> None:
    audience = audience_of(buyers, channel=Channel.EMAIL)
    assert names(audience) == set()
    shop.send(identify("ann", traits={"email": "ann@example.com"}))
    process_all()
    keep()
    assert names(audience) == {"ann"}
    assert told(audience) == [("entered", "channel")]


def test_nothing_twice_and_nothing_lost_however_rounds_are_cut(buyers: Segment) -> None:
    audience = audience_of(buyers)
    keep()
    keep()
    assert len(told(audience)) == 2
    says_yes("cyd")
    with transaction.atomic():
        assert keep_once() is not None
        assert names(audience) == {"ann", "bob", "cyd"}
        transaction.set_rollback(True)  # the process dies before it commits
    assert names(audience) == {"ann", "bob"}
    keep()
    assert names(audience) == {"ann", "bob", "cyd"}
    assert_kept(audience)


def test_who_comes_and_goes_between_two_rounds_is_never_announced(buyers: Segment) -> None:
    audience = audience_of(buyers)
    says_yes("cyd")
    decide("cyd", EMAIL, Decision.WITHDRAWN)
    keep()
    assert len(told(audience)) == 2


def test_a_nightly_comparison_finds_and_mends_what_went_wrong(buyers: Segment) -> None:
    audience = audience_of(buyers)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM consent_consentstate WHERE profile_id = %s", [person("ann").pk])
        cursor.execute("DELETE FROM activation_touched")
    keep()
    assert names(audience) == {"ann", "bob"}, "nobody was told"
    Audience.objects.update(compared_at=timezone.now() - COMPARED_EVERY)
    keep()
    audience.refresh_from_db()
    assert names(audience) == {"bob"} and audience.drift == 1
    assert_kept(audience)


def test_changes_that_are_over_are_purged_and_it_is_known_up_to_where(buyers: Segment, settings) -> None:  # type: ignore[no-untyped-def]
    audience = audience_of(buyers)
    settings.AUDIENCE_CHANGE_DAYS = 7
    assert purge_changes(now=timezone.now() + timedelta(days=6)) == 0
    assert purge_changes(now=timezone.now() + timedelta(days=8)) == 2
    audience.refresh_from_db()
    assert (audience.kept_after, Keeper.objects.get().kept_after) == (2, 2)
    assert purge_changes(now=timezone.now() + timedelta(days=8)) == 0


def test_changes_are_never_edited(buyers: Segment) -> None:
    audience_of(buyers)
    with pytest.raises(ProgrammingError, match="append-only"), transaction.atomic():
        AudienceChange.objects.update(why="event")


def test_an_audience_is_made_called_otherwise_and_taken_away_on_record(buyers: Segment) -> None:
    audience = audience_of(buyers)
    change_audience(audience=audience, name="Newsletter", by=BY)
    delete_audience(audience=audience, by=BY)
    assert not AudienceMember.objects.exists() and not AudienceChange.objects.exists()
    actions = AuditEntry.objects.filter(object_type="activation.audience").order_by("recorded_at")
    assert list(actions.values_list("action", flat=True)) == [
        "audience.created",
        "audience.changed",
        "audience.deleted",
    ]
    later = audience_of(buyers)
    assert set(AudienceChange.objects.values_list("position", flat=True)) == {3, 4}, "numbers never come again"
    assert later.size == 2


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"name": " "}, "name_missing"),
        ({"key": "Bad Key"}, "key_malformed"),
        ({"channel": "pigeon"}, "channel_unknown"),
        ({"purpose": "privacy_rights"}, "purpose_not_open"),
    ],
)
def test_what_cannot_be_an_audience_says_why(buyers: Segment, wrong: dict[str, str], code: str) -> None:
    given = {"name": "A", "purpose": EMAIL} | wrong
    purpose = Purpose.objects.get(key=given.pop("purpose"))
    with pytest.raises(DomainError) as refused:
        create_audience(segment=buyers, purpose=purpose, by=BY, **given)
    assert refused.value.code == code


def test_there_is_one_audience_of_a_kind(buyers: Segment) -> None:
    audience_of(buyers)
    with pytest.raises(Conflict):
        create_audience(name="Again", segment=buyers, purpose=Purpose.objects.get(key=EMAIL), by=BY)


def test_a_round_asks_as_often_for_many_people_as_for_few(
    shop: Tracker, buyers: Segment, django_assert_max_num_queries
) -> None:  # type: ignore[no-untyped-def]
    audience_of(buyers)
    shop.send(*(track("Bought", f"p{n}") for n in range(200)))
    process_all()
    for n in range(0, 200, 10):
        says_yes(f"p{n}")
    with django_assert_max_num_queries(20):
        keep_all()
