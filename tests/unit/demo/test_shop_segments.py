"""Every demo segment's rule fits what the simulated shop sends."""

from datetime import UTC, datetime

import pytest

from cdp.profiles.catalogue import PLATFORM_NAMES
from demo.shop import messages
from demo.shop_segments import SEGMENTS, ShopSegment
from demo.traits import TRAITS
from segments.rules import Catalog, EventInfo, SegmentInfo, TraitInfo, Type, describe, load

SENT = [sent.message for sent in messages(seed=2, as_of=datetime(2026, 2, 1, tzinfo=UTC), people=400)]
CATALOG = Catalog(
    traits={
        key: TraitInfo(id=number, key=key, label=meaning.label, type=Type(meaning.type))
        for number, (key, meaning) in enumerate(TRAITS.items())
    },
    events={
        name: EventInfo(id=n, name=name, label=name)
        for n, name in enumerate({m["event"] for m in SENT if "event" in m} | PLATFORM_NAMES)
    },
    segments={a.key: SegmentInfo(id=n, key=a.key, name=a.name, usable=True) for n, a in enumerate(SEGMENTS)},
)


def test_there_are_a_dozen_with_keys_and_names_of_their_own() -> None:
    assert len(SEGMENTS) >= 12
    assert len({one.key for one in SEGMENTS}) == len({one.name for one in SEGMENTS}) == len(SEGMENTS)


@pytest.mark.parametrize("one", SEGMENTS, ids=lambda one: one.key)
def test_the_rule_names_only_what_the_shop_sends_or_what_follows_from_it(one: ShopSegment) -> None:
    rule = load({"version": 1, **one.rule}, CATALOG)
    assert describe(rule, CATALOG)


def test_the_trait_catalogue_lists_all_traits_that_are_sent() -> None:
    sent = {key for message in SENT for key in message.get("traits", {})}
    assert sent <= TRAITS.keys()
