"""Looking one person up while a page is made: what is told, to whom, and that it is never older than the question."""

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from cdp.audit.models import AuditEntry
from cdp.content import counting
from cdp.content.counting import tell_of_lost_counts
from cdp.content.models import LookupCount
from cdp.errors import NotFound
from cdp.identity.merging import merge_profiles
from cdp.ingestion.keys import create_source, create_write_key
from cdp.ingestion.models import SourceKind
from cdp.profiles.models import Profile, Score
from cdp.profiles.score_changes import forget_scores_of, relabel
from cdp.profiles.score_services import Scored, add_scores, publish_run, start_run
from consent import stops
from consent.models import ConsentState, Decision, Purpose, StopKind
from consent.querysets import permitted
from segments.lookup import look_up
from segments.models import READABLE, Segment
from segments.querysets import segments_of
from segments.services import archive, pause, resume
from segments.sharing import share_segment, unshare_segment, visible_segments
from tests.factories import BY, identify, live, performed, person, process_all, track, tracker
from tests.integration.callers import Caller, decide, found, key, problem

pytestmark = pytest.mark.django_db
PURPOSE = "personalisation"


@pytest.fixture
def shop() -> Segment:
    sender = tracker()
    sender.send(identify("ann", traits={"country": "CH"}), identify("bob"))
    sender.send(track("Bought", "ann", anonymousId="device-ann"))
    process_all()
    decide("ann", PURPOSE, Decision.GRANTED)
    return live("buyers", performed("Bought"))


def scored(label: str, *, kind: str = "rfm", name: str = "group", user: str = "ann") -> None:
    run = start_run(kind=kind, version="1", by=BY)
    with transaction.atomic():
        add_scores(run=run, scores=[Scored(person(user).pk, name, number=Decimal(1), label=label)])
        publish_run(run=run, by=BY)


def asked(caller: Caller, user: str = "user_id:ann", **query: str) -> dict[str, Any]:
    return found(caller.get(f"profiles/{user}/segments/", purpose=PURPOSE, **query))


def test_a_look_up_tells_segments_scores_persona_and_group(shop: Segment) -> None:
    scored("champions")
    scored("Bargain hunters", kind="persona", name="persona")
    told = asked(key(sees=[shop]))
    assert [one["key"] for one in told["segments"]] == ["buyers"]
    assert told["segments"][0]["entered_at"] and told["segments"][0]["status"] == "live"
    assert told["scores"]["rfm.group"] == {"number": 1.0, "label": "champions"}
    assert (told["persona"], told["rfm_group"]) == ("Bargain hunters", "champions")
    assert told["uuid"] == str(person("ann").uuid)


def test_only_segments_that_the_caller_may_see_are_told(shop: Segment) -> None:
    assert asked(key())["segments"] == []
    caller = key(sees=[shop])
    assert len(asked(caller)["segments"]) == 1
    with transaction.atomic():
        unshare_segment(segment=shop, user=caller.user, by=BY)
    assert asked(caller)["segments"] == []


def test_who_does_not_permit_the_purpose_is_answered_for_as_nobody(shop: Segment) -> None:
    caller = key(sees=[shop])
    unknown = problem(caller.get("profiles/user_id:nobody/segments/", purpose=PURPOSE), 404)
    silent = problem(caller.get("profiles/user_id:bob/segments/", purpose=PURPOSE), 404)
    decide("ann", PURPOSE, Decision.WITHDRAWN)
    withdrawn = problem(caller.get("profiles/user_id:ann/segments/", purpose=PURPOSE), 404)
    for one in (unknown, silent, withdrawn):
        del one["request_id"]
    assert unknown == silent == withdrawn


def test_a_look_up_needs_its_scope_and_a_purpose(shop: Segment) -> None:
    assert problem(key("profiles:read").get("profiles/user_id:ann/segments/", purpose=PURPOSE), 403)["code"]
    caller = key("profiles:lookup")
    assert problem(caller.get("profiles/user_id:ann/segments/"), 400)["code"] == "purpose_missing"
    rights = caller.get("profiles/user_id:ann/segments/", purpose="privacy_rights")
    assert problem(rights, 403)["code"] == "purpose_not_open"
    assert problem(caller.get("profiles/ann/segments/", purpose=PURPOSE), 400)["code"] == "identifier_malformed"


def test_looks_are_counted_by_caller_purpose_and_minute(shop: Segment) -> None:
    caller = key(sees=[shop])
    for _ in range(3):
        asked(caller)
    (row,) = LookupCount.objects.all()
    assert row.reads is None and not AuditEntry.objects.filter(action="profiles.read").exists()
    assert counting.counter.flush(before=row.minute) == 0
    assert counting.counter.flush() == 1
    row.refresh_from_db()
    assert row.reads == 3
    (entry,) = AuditEntry.objects.filter(action="profiles.read")
    assert (entry.detail["count"], entry.purpose, entry.actor_id) == (3, PURPOSE, str(caller.key and caller.key.pk))


def test_counts_that_died_with_their_process_are_told_as_lost() -> None:
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=10)
    LookupCount.objects.create(
        minute=minute, process=uuid4(), actor_kind="api_key", actor_id="7", actor_label="Shop", purpose=PURPOSE
    )
    assert tell_of_lost_counts(now=timezone.now()) == 1
    (entry,) = AuditEntry.objects.filter(action="profiles.read")
    assert entry.detail["count"] is None and "lost" in entry.detail
    assert tell_of_lost_counts(now=timezone.now()) == 0


def told_otherwise(identifier: str, caller: Caller) -> tuple[Any, ...] | None:
    """What the services that screens and lists use say of the person: none of it is shared with the look-up."""
    namespace, _, value = identifier.partition(":")
    profile = Profile.objects.filter(identifiers__namespace=namespace, identifiers__value=value).first()
    purpose = Purpose.objects.get(key=PURPOSE)
    if profile is None or not permitted(Profile.objects.filter(pk=profile.pk), purpose).exists():
        return None
    caller.user.__dict__.pop("_user_perm_cache", None)
    user = type(caller.user).objects.get(pk=caller.user.pk)
    mine = segments_of(profile, visible_segments(user).filter(status__in=READABLE))
    scores = Score.objects.filter(profile_id=profile.pk, run__is_current=True)
    return (
        profile.uuid,
        sorted(mine.values_list("key", "entered_at")),
        sorted((f"{one.run.kind}.{one.key}", one.label) for one in scores.select_related("run")),
    )


def looked_up(identifier: str, caller: Caller) -> tuple[Any, ...] | None:
    try:
        one = look_up(identifier, purpose=PURPOSE, user_id=caller.user.pk)
    except NotFound:
        return None
    return (
        one.uuid,
        sorted((each["key"], datetime.fromisoformat(each["entered_at"])) for each in one.segments),
        sorted((name, said["label"]) for name, said in one.scores.items()),
    )


@pytest.mark.parametrize("seed", range(2))
def test_whatever_was_written_is_in_the_next_answer(shop: Segment, seed: int) -> None:
    chance = random.Random(seed)
    sender, caller = tracker(), key(sees=[shop])
    sender.send(track("Viewed", "bob"), *(identify(f"u{n}") for n in range(4)))
    process_all()
    viewers = live("viewers", performed("Viewed"))
    share_segment(segment=viewers, user=caller.user, by=BY)
    users = [f"u{n}" for n in range(4)] + ["ann", "bob"]
    for user in users:
        decide(user, PURPOSE, Decision.GRANTED)

    def merge(user: str) -> None:
        other = chance.choice([one for one in users if one != user])
        mine, theirs = person(user), person(other)
        if mine.pk != theirs.pk:
            merge_profiles(survivor=mine, absorbed=theirs, reason="tests", by=BY)
            process_all()

    def act(user: str) -> None:
        sender.send(track(chance.choice(["Bought", "Viewed"]), user))
        process_all()

    def expire(user: str) -> None:
        ConsentState.objects.filter(profile=person(user), decision=Decision.GRANTED).update(
            expires_at=datetime.now(UTC) - timedelta(seconds=1)
        )

    def halted(user: str) -> None:
        profile = person(user)
        if stops.stops_then([profile.pk], at=timezone.now()):
            stops.lift(profile=profile, kind=StopKind.RESTRICTION, by=BY)
        else:
            stops.stop(profile=profile, kind=StopKind.RESTRICTION, by=BY)

    def paused(_: str) -> None:
        shop.refresh_from_db()
        (resume if shop.status == "paused" else pause)(segment=shop, by=BY)

    def shared(_: str) -> None:
        chance.choice([share_segment, unshare_segment])(segment=viewers, user=caller.user, by=BY)

    writers = [
        lambda user: decide(user, PURPOSE, chance.choice([Decision.GRANTED, Decision.GRANTED, Decision.WITHDRAWN])),
        lambda user: scored(chance.choice("xyz"), user=user),
        lambda user: forget_scores_of(profile_ids=[person(user).pk], kinds=["rfm"], by=BY, why="tests"),
        lambda user: relabel(kind="rfm", key="group", number=1, label=chance.choice("pq")),
        act, merge, expire, halted, paused, shared,
    ]  # fmt: skip
    answers = set()
    for _ in range(30):
        chance.choice(writers)(chance.choice(users))
        for user in users:
            told = looked_up(f"user_id:{user}", caller)
            assert told == told_otherwise(f"user_id:{user}", caller)
            answers.add(str(told))
    assert len(answers) > 5
    archive(segment=viewers, by=BY)
    assert [looked_up(f"user_id:{u}", caller) for u in users] == [told_otherwise(f"user_id:{u}", caller) for u in users]


# ---- For browsers ------------------------------------------------------------------------------------------


def page_key() -> str:
    source = create_source(name="Site", kind=SourceKind.BROWSER, by=BY, allowed_origins=("https://shop.example",))
    return create_write_key(source=source, by=BY)[1]


def from_a_page(client: Any, write_key: str, body: Any, origin: str = "https://shop.example") -> Any:
    return client.post(
        f"/v1/personalize/{write_key}", json.dumps(body), content_type="text/plain", headers={"Origin": origin}
    )


def test_a_browser_learns_of_public_segments_alone(client: Any, shop: Segment) -> None:
    write_key, body = page_key(), {"anonymousId": "device-ann"}
    answer = from_a_page(client, write_key, body)
    assert answer.json() == {"segments": [], "slots": {}}
    assert answer["Access-Control-Allow-Origin"] == "https://shop.example" and answer["Cache-Control"] == "no-store"
    Segment.objects.filter(pk=shop.pk).update(is_public=True)
    assert from_a_page(client, write_key, body).json() == {"segments": ["buyers"], "slots": {}}
    decide("ann", PURPOSE, Decision.WITHDRAWN)
    assert from_a_page(client, write_key, body).json() == {"segments": [], "slots": {}}
    assert from_a_page(client, write_key, {"anonymousId": "nobody"}).json() == {"segments": [], "slots": {}}


def test_pages_of_other_origins_and_secret_keys_are_refused(client: Any, shop: Segment) -> None:
    body = {"anonymousId": "device-ann"}
    assert from_a_page(client, page_key(), body, origin="https://evil.example").status_code == 403
    assert from_a_page(client, tracker().key, body).status_code == 403
    assert from_a_page(client, "wk_none", body).status_code == 404
    write_key = create_write_key(source=create_source(name="S2", kind=SourceKind.BROWSER, by=BY), by=BY)[1]
    assert client.post(f"/v1/personalize/{write_key}", "[]", content_type="text/plain").status_code == 400
    assert client.get(f"/v1/personalize/{write_key}").status_code == 405
