"""Whoever follows an audience ends with exactly its members, however often it, the keeper, or both are killed."""

import random
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen
from uuid import UUID

import pytest
from django.db import connection

from cdp.activation.keeping import checksum_of
from cdp.activation.models import Audience, AudienceChange, AudienceMember
from cdp.pipeline import drain_dirty
from cdp.profiles.models import Profile
from consent.models import Decision, Purpose
from consent.querysets import permitted
from segments.feed import number_changes
from segments.lists import add_people, create_list, remove_people
from segments.models import Membership
from tests.factories import BY, live
from tests.harness.processes import Processes
from tests.integration.audiences import audience_of, keep
from tests.integration.callers import key
from tests.integration.test_kill_drills import background, until

pytestmark = pytest.mark.drill

FOLLOWER = Path(__file__).with_name("follower.py")
PEOPLE = """
    INSERT INTO profiles_profile (uuid, traits, first_seen_at, last_seen_at, created_at)
    SELECT gen_random_uuid(), '{}', now(), now(), now() FROM generate_series(1, %s) RETURNING id
"""
SAY = """
    WITH said AS (
        INSERT INTO consent_consentrecord
               (profile_id, purpose_id, reach, decision, method, message_id, evidence, collected_at, recorded_at)
        SELECT p, %(purpose)s, 'person', %(decision)s, 'form', '', '{}', now(), now() FROM unnest(%(people)s::bigint[]) AS p
        RETURNING id, profile_id
    )
    INSERT INTO consent_consentstate (purpose_id, profile_id, decision, collected_at, record_id)
    SELECT %(purpose)s, profile_id, %(decision)s, now(), id FROM said
    ON CONFLICT (purpose_id, profile_id) DO UPDATE SET decision = excluded.decision, record_id = excluded.record_id
"""


def test_a_follower_ends_with_exactly_the_members_whoever_is_killed(
    processes: Processes, tmp_path: Path, drill_scale: Callable[..., int]
) -> None:
    wanted = drill_scale(full=100_000, quick=200)
    kills, keeper_kills = drill_scale(full=50, quick=1), drill_scale(full=10, quick=1)
    with connection.cursor() as cursor:
        cursor.execute(PEOPLE, [drill_scale(full=20_000, quick=300)])
        people = [row[0] for row in cursor.fetchall()]
    purpose = Purpose.objects.get(key="internal_analysis")
    friends = create_list(name="Friends", key="friends", by=BY)
    segment = live("friends", {"in_list": "friends"})
    audience = audience_of(segment, purpose.key)
    url = processes.web()
    caller = key(sees=[segment])
    file = tmp_path / "followed.db"
    command = [
        sys.executable,
        str(FOLLOWER),
        url,
        caller.headers["Authorization"].split()[1],
        audience.key,
        purpose.key,
        str(file),
    ]

    def writer(seed: int) -> Callable[[], None]:
        chance = random.Random(seed)
        mine = people[seed::4]

        def write() -> None:
            some = chance.sample(mine, min(len(mine), chance.randint(20, 200)))
            match chance.randrange(4):
                case 0 | 1:
                    add_people(static_list=friends, profile_ids=some, by=BY)
                case 2:
                    remove_people(static_list=friends, profile_ids=some, by=BY)
                case _:
                    decision = chance.choice([Decision.DENIED, Decision.GRANTED])
                    with connection.cursor() as cursor:
                        cursor.execute(SAY, {"purpose": purpose.pk, "decision": decision, "people": some[:40]})
            while drain_dirty():
                pass

        return write

    def numbering() -> None:
        number_changes()
        time.sleep(0.02)

    def start() -> Popen[bytes]:
        return processes.start("follower", command)

    follower, keeper = start(), processes.manage("keep_audiences")
    chance = random.Random(7)
    with background(*(writer(n) for n in range(4)), numbering):
        step = wanted / kills
        for number in range(kills):
            until(f"{step * (number + 1):,.0f} changes", lambda: done() >= step * (number + 1), seconds=600)  # noqa: B023
            time.sleep(chance.random() * 0.1)
            processes.kill(follower)
            follower = start()
            if number < keeper_kills:
                processes.kill(keeper)
                keeper = processes.manage("keep_audiences")
    number_changes(wait=True)
    until("the keeper is done", lambda: is_kept(audience), seconds=120)
    Path(f"{file}.stop").touch()
    assert follower.wait(120) == 0, processes.output()
    processes.stop(keeper)
    keep()
    had = {row[0] for row in sqlite3.connect(file).execute("SELECT id FROM people")}
    members = {
        str(one) for one in AudienceMember.objects.filter(audience=audience).values_list("profile_uuid", flat=True)
    }
    who = Profile.objects.filter(pk__in=Membership.objects.filter(segment=segment).values("profile_id"))
    assert members == {str(one) for one in permitted(who, purpose).values_list("uuid", flat=True)}
    assert had == members
    audience.refresh_from_db()
    checksum = 0
    for one in had:
        checksum ^= checksum_of(UUID(one))
    assert (audience.size, audience.checksum) == (len(had), checksum)
    positions = list(AudienceChange.objects.order_by("position").values_list("position", flat=True))
    assert positions == list(range(1, len(positions) + 1))
    print(f"{len(positions):,} changes, {kills} followers and {keeper_kills} keepers killed, {len(had):,} members")


def done() -> int:
    return AudienceChange.objects.count()


def is_kept(audience: Audience) -> bool:
    """Whether nothing waits: nothing touched, and the feed of segments read to its end."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT NOT EXISTS (SELECT FROM activation_touched)"
            "   AND (SELECT segments_to FROM activation_keeper) = (SELECT numbered FROM segments_feed)"
        )
        return bool(cursor.fetchone()[0])
