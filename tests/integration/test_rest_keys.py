"""What an API key may do, for what, from where and until when; and how one takes the place of another."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from cdp.audit.models import AuditEntry
from cdp.errors import DomainError
from cdp.rest.limits import lie_within, read_networks
from cdp.rest.models import ApiKey, Scope, key_of
from cdp.rest.services import create_api_key, revoke_api_key, rotate_api_key
from segments.sharing import share_segment
from tests.factories import BY, live
from tests.integration.callers import Caller, found, key, logged_in, problem

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def caller_with(*, scopes: Any = Scope.values, **limits: Any) -> Caller:
    made, secret = create_api_key(name="Limited", scopes=scopes, by=BY, **limits)
    return Caller(made.user, {"Authorization": f"Bearer {secret}"}, key=made)


def own(caller: Caller) -> ApiKey:
    assert caller.key is not None
    return caller.key


# ---- For what --------------------------------------------------------------------------------------------------------


def test_a_key_reads_members_only_for_the_purposes_it_was_given() -> None:
    segment = live("all", {"everyone": True})
    caller = caller_with(purposes=["marketing_email"])
    share_segment(segment=segment, user=caller.user, by=BY)
    found(caller.get("segments/all/members/", purpose="marketing_email"))
    refused = problem(caller.get("segments/all/members/", purpose="internal_analysis"), 403)
    assert (refused["code"], refused["pointer"]) == ("purpose_missing", "/purpose")
    assert AuditEntry.objects.filter(action="members.read").count() == 1
    rule = {"rule": {"version": 1, "everyone": True}}
    assert problem(caller.post("segments/preview/", rule), 403)["code"] == "purpose_missing"


def test_a_key_that_was_given_no_purpose_reads_nobody() -> None:
    segment = live("all", {"everyone": True})
    caller = caller_with()
    share_segment(segment=segment, user=caller.user, by=BY)
    for purpose in ("marketing_email", "internal_analysis"):
        assert problem(caller.get("segments/all/members/", purpose=purpose), 403)["code"] == "purpose_missing"
        assert problem(caller.get("profiles/user_id:ann/", purpose=purpose), 403)["code"] == "purpose_missing"


def test_an_unknown_purpose_is_refused_when_a_key_is_made() -> None:
    with pytest.raises(DomainError, match="purposes are some of"):
        caller_with(purposes=["world_domination"])
    assert not ApiKey.objects.exists() and not User.objects.filter(username__startswith="key:").exists()


# ---- From where ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "networks", "is_let_in"),
    [
        ("203.0.113.7", ["203.0.113.0/24"], True),
        ("203.0.114.7", ["203.0.113.0/24"], False),
        ("2001:db8::7", ["203.0.113.0/24", "2001:db8::/32"], True),
        ("2001:db9::7", ["2001:db8::/32"], False),
        ("::ffff:203.0.113.7", ["203.0.113.7"], True),
    ],
)
def test_a_key_is_used_from_its_networks_alone(address: str, networks: list[str], is_let_in: bool) -> None:
    caller = caller_with(networks=networks)
    response = caller.client.get("/api/v1/purposes/", headers=caller.headers, REMOTE_ADDR=address)
    if is_let_in:
        assert response.status_code == 200
    else:
        assert problem(response, 403)["code"] == "address_not_allowed"
        assert ApiKey.objects.get().last_used_at is None


def test_behind_the_proxy_counts_what_the_proxy_wrote_last(settings: Any) -> None:
    settings.BEHIND_TLS = True
    caller = caller_with(networks=["203.0.113.0/24"])
    for forwarded, status in (("203.0.113.9", 200), ("203.0.113.9, 198.51.100.1", 403)):
        headers = {**caller.headers, "X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
        response = caller.client.get("/api/v1/purposes/", headers=headers, REMOTE_ADDR="10.0.0.1")
        assert response.status_code == status


@pytest.mark.parametrize("given", ["10.0.0.1/8", "office", "10.0.0.0/33", ""])
def test_what_is_no_network_is_refused_with_its_place(given: str) -> None:
    with pytest.raises(DomainError) as refused:
        read_networks(["192.0.2.1", given])
    assert (refused.value.code, refused.value.pointer) == ("network_unreadable", "/networks/1")


def test_networks_lie_within_others_or_not() -> None:
    assert lie_within(["10.1.0.0/16"], ["10.0.0.0/8"]) and lie_within(["10.1.0.0/16"], [])
    assert not lie_within([], ["10.0.0.0/8"])
    assert not lie_within(["10.0.0.0/8"], ["10.1.0.0/16"])
    assert not lie_within(["2001:db8::/32"], ["0.0.0.0/0"])


# ---- Until when ------------------------------------------------------------------------------------------------------


def test_answers_say_when_the_key_ends_in_its_last_thirty_days() -> None:
    now = datetime.now(UTC)
    soon, late = caller_with(expires_at=now + 20 * DAY), caller_with(expires_at=now + 40 * DAY)
    assert soon.get("purposes/")["API-Key-Expires"] == (now + 20 * DAY).isoformat()
    assert "API-Key-Expires" in soon.get("nothing-here/").headers or soon.get("jobs/?state=no").has_header(
        "API-Key-Expires"
    )
    assert not late.get("purposes/").has_header("API-Key-Expires")


def test_a_key_that_took_anothers_place_has_its_grants_and_limits_and_both_work_until_the_overlap_is_over() -> None:
    segment = live("all", {"everyone": True})
    old = caller_with(purposes=["marketing_email"], networks=["127.0.0.0/8"])
    share_segment(segment=segment, user=old.user, by=BY)
    made = found(old.post(f"keys/{own(old).prefix}/rotate/", {"overlap_hours": 2}), 201)
    new = Caller(old.user, {"Authorization": f"Bearer {made['key']}"})
    assert (made["purposes"], made["networks"]) == (["marketing_email"], ["127.0.0.0/8"])
    assert made["scopes"] == own(old).scopes and made["replaces"] == own(old).prefix
    for caller in (old, new):
        found(caller.get("segments/all/members/", purpose="marketing_email"))
    ApiKey.objects.filter(pk=own(old).pk).update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert problem(old.get("segments/all/"), 401)["code"] == "api_key_not_usable"
    found(new.get("segments/all/"))
    assert key_of(User.objects.get(pk=old.user.pk)) == ApiKey.objects.get(prefix=made["prefix"])
    actions = AuditEntry.objects.filter(action__startswith="api_key.").values_list("action", flat=True)
    assert sorted(actions) == ["api_key.created", "api_key.created", "api_key.rotated"]


def test_revoking_the_old_key_leaves_the_new_one_working() -> None:
    old = caller_with()
    _, secret = rotate_api_key(key=own(old), by=BY, overlap=DAY)
    revoke_api_key(key=own(old), by=BY)
    new = Caller(old.user, {"Authorization": f"Bearer {secret}"})
    found(new.get("purposes/"))
    revoke_api_key(key=ApiKey.objects.get(replaces=own(old)), by=BY)
    problem(new.get("purposes/"), 401)
    assert not User.objects.get(pk=old.user.pk).is_active


def test_a_key_is_replaced_once_and_only_while_it_works() -> None:
    caller = caller_with()
    address = f"keys/{own(caller).prefix}/rotate/"
    found(caller.post(address), 201)
    assert problem(caller.post(address), 409)["code"] == "key_replaced"
    assert problem(caller.post(address, {"overlap_hours": 721}), 400)["pointer"] == "/overlap_hours"


# ---- Who makes keys --------------------------------------------------------------------------------------------------


def test_a_key_makes_none_that_may_more_than_itself() -> None:
    scopes, until = ["keys:write", "segments:read"], datetime.now(UTC) + 9 * DAY
    maker = caller_with(scopes=scopes, purposes=["sms"], networks=["127.0.0.0/8"], expires_at=until)
    fits = {"name": "x", "scopes": scopes, "purposes": ["sms"], "networks": ["127.0.0.1"], "expires_at": str(until)}
    found(maker.post("keys/", fits), 201)
    for more, code in [
        ({"scopes": ["members:read"]}, "scope_beyond_maker"),
        ({"purposes": ["marketing_email"]}, "purpose_beyond_maker"),
        ({"all_purposes": True}, "purpose_beyond_maker"),
        ({"networks": []}, "network_beyond_maker"),
        ({"networks": ["10.0.0.0/8"]}, "network_beyond_maker"),
        ({"expires_at": None}, "expiry_beyond_maker"),
    ]:
        assert problem(maker.post("keys/", fits | more), 403)["code"] == code
    assert ApiKey.objects.count() == 2


def test_a_key_does_not_come_into_the_hands_of_another_nor_is_freed_of_its_limits() -> None:
    maker, other = caller_with(networks=["127.0.0.0/8"]), key()
    assert problem(maker.post(f"keys/{own(other).prefix}/rotate/"), 403)["code"] == "key_not_own"
    refused = maker.patch(f"keys/{own(maker).prefix}/", {"networks": []})
    assert problem(refused, 403)["code"] == "network_beyond_maker"


def test_who_may_make_no_keys_makes_none_over_the_api_either() -> None:
    marketer = logged_in("marketer")
    problem(marketer.get("keys/"), 403)
    assert problem(key("keys:read").post("keys/", {}), 403)["code"] == "scope_missing"


def test_changing_limits_is_on_record_with_before_and_after() -> None:
    admin, other = key(), caller_with(purposes=["sms"])
    changed = found(admin.patch(f"keys/{own(other).prefix}/", {"purposes": ["marketing_email"], "name": "Mail"}))
    assert (changed["purposes"], changed["name"]) == (["marketing_email"], "Mail")
    entry = AuditEntry.objects.get(action="api_key.changed")
    assert entry.detail["before"] == {"name": "Limited", "purposes": ["sms"]}
    assert entry.detail["after"] == {"name": "Mail", "purposes": ["marketing_email"]}
    found(admin.patch(f"keys/{own(other).prefix}/", {"name": "Mail"}))
    assert AuditEntry.objects.filter(action="api_key.changed").count() == 1


def test_keys_are_listed_without_their_secrets_and_revoked() -> None:
    admin, other = key(), caller_with()
    listed = found(admin.get("keys/"))["results"]
    assert {one["prefix"] for one in listed} == {own(admin).prefix, own(other).prefix}
    assert not any("key" in one or "digest" in one for one in listed)
    found(admin.post(f"keys/{own(other).prefix}/revoke/"))
    assert problem(other.get("purposes/"), 401)["code"] == "api_key_not_usable"
    assert problem(admin.get("keys/cdp_00000000/"), 404)["code"] == "key_not_found"
