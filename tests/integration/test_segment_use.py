"""Why only some of a segment may be read for a purpose: reasons that add up, and that agree with who is read."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from cdp.audit.models import AuditEntry
from consent.models import Decision, LawfulBasis, Method, Mode, Purpose, StopKind
from consent.services import record_decisions
from consent.stops import stop
from segments.models import Segment
from segments.permission import Permission, Why, permission_of, permissions_of_rule
from segments.querysets import members_of
from tests.factories import BY, identify, live, person, process_all, rule, tracker
from tests.integration.callers import Caller, logged_in

pytestmark = pytest.mark.django_db
EVERYBODY = {"trait": "city", "op": "equals", "value": "Bern"}
USERS = ("yes", "no", "back", "ended", "silent", "waits", "halted")
EMAIL = "marketing_email"


def say(user: str, decision: Decision, *, days_ago: int = 1) -> None:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    purpose = Purpose.objects.get(key=EMAIL)
    record_decisions(profile=person(user), decisions={purpose: decision}, method=Method.FORM, at=at, by=BY)


@pytest.fixture
def segment() -> Segment:
    """Seven people, each of whom stands otherwise to being mailed."""
    tracker().send(*(identify(user, traits={"city": "Bern"}) for user in USERS))
    process_all()
    Purpose.objects.filter(key=EMAIL).update(lifetime_days=30)
    for user in ("yes", "back", "halted"):
        say(user, Decision.GRANTED, days_ago=2)
    say("ended", Decision.GRANTED, days_ago=40)
    say("back", Decision.WITHDRAWN)
    say("no", Decision.DENIED)
    say("waits", Decision.PENDING)
    stop(profile=person("halted"), kind=StopKind.RESTRICTION, by=BY)
    return live("bern", EVERYBODY)


def asked(segment: Segment, purpose: Purpose) -> Permission:
    return permission_of(segment=segment, purpose=purpose, by=BY)


def test_each_who_is_left_out_counts_under_one_reason(segment: Segment) -> None:
    found = asked(segment, Purpose.objects.get(key=EMAIL))
    assert (found.members, found.permitted) == (7, 1)
    assert found.left_out == {
        Why.HALTED: 1, Why.WITHDRAWN: 1, Why.DENIED: 1, Why.ENDED: 1, Why.UNCONFIRMED: 1, Why.NEVER_ASKED: 1,
    }  # fmt: skip
    entry = AuditEntry.objects.get(action="segment.permission_counted")
    assert (entry.object_id, entry.purpose) == (str(segment.uuid), EMAIL)
    assert entry.detail == {"members": 7, "permitted": 1}


def test_of_whom_a_rule_would_give_it_is_told_as_of_members(segment: Segment) -> None:
    purposes = list(Purpose.objects.filter(key__in=[EMAIL, "internal_analysis"]))
    found = permissions_of_rule(rule=rule(EVERYBODY), purposes=purposes, segment=None, by=BY)
    assert [purpose for purpose, _ in found] == purposes
    assert [told for _, told in found] == [asked(segment, purpose) for purpose in purposes]
    nobody = permissions_of_rule(rule=rule({"not": {"everyone": True}}), purposes=purposes, segment=None, by=BY)
    assert [told for _, told in nobody] == [Permission(members=0, permitted=0, left_out={})] * 2


@pytest.mark.parametrize(
    ("basis", "mode"),
    [
        (LawfulBasis.CONSENT, Mode.OPT_IN),
        (LawfulBasis.LEGITIMATE_INTERESTS, Mode.OPT_OUT),
        (LawfulBasis.CONTRACT, Mode.NOTICE_ONLY),
    ],
)
def test_the_figures_agree_with_who_is_read(segment: Segment, basis: LawfulBasis, mode: Mode) -> None:
    Purpose.objects.filter(key=EMAIL).update(lawful_basis=basis, mode=mode)
    purpose = Purpose.objects.get(key=EMAIL)
    found = asked(segment, purpose)
    assert found.permitted == members_of(segment, purpose).count()
    assert found.members == found.permitted + sum(found.left_out.values()) == 7


def marketer(role: str = "marketer") -> Caller:
    caller = logged_in(role)
    User.objects.filter(pk=caller.user.pk).update(is_staff=True)
    return caller


def test_a_marketer_reads_off_why_so_few_may_be_mailed(segment: Segment) -> None:
    address = f"/admin/segments/segment/{segment.uuid}/use/"
    page = marketer().client.get(address).content.decode()
    assert "Why 6 are left out" in page and "Took their yes back" in page and "Their yes has ended" in page
    assert "Permit marketing email" in page, "what most ask about stands there first"
    assert (
        "Why 1 are left out" in marketer("admin").client.get(address, {"purpose": "internal_analysis"}).content.decode()
    )
    assert str(person("no").uuid) not in page


def test_who_may_not_read_members_is_not_told_what_they_permit(segment: Segment) -> None:
    assert marketer("integrator").client.get(f"/admin/segments/segment/{segment.uuid}/use/").status_code == 403
