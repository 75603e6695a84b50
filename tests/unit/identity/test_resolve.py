"""Who a message is about: a table of cases, and what must hold whatever comes.

Written short: "user:ann anon:x" is a message with those identifiers. Profiles that exist are given as
{1: "user:ann anon:x"}; the outcome lists who holds what afterwards, new profiles last.
"""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdp.identity.normalise import ANONYMOUS_ID, EMAIL, USER_ID, Identifier, priority
from cdp.identity.resolve import Claim, Resolution, limit, resolve

SHORT = {"user": USER_ID, "anon": ANONYMOUS_ID, "mail": EMAIL, "was": "previous_id"}


def named(text: str) -> list[Identifier]:
    pairs = (word.split(":") for word in text.split())
    return sorted((Identifier(SHORT.get(space, space), value) for space, value in pairs), key=priority)


def claim(text: str) -> Claim:
    """ "browser: ..." comes with a public key, "alias: ..." is an alias call, "browser alias: ..." is both."""
    kind, _, rest = text.rpartition("|")
    return Claim(tuple(named(rest)), is_trusted="browser" not in kind, is_alias="alias" in kind)


def resolved(profiles: dict[int, str], messages: list[str], apart: tuple[tuple[int, int], ...] = ()) -> Resolution:
    known = {identifier: number for number, text in profiles.items() for identifier in named(text)}
    held = {number: Counter(i.namespace for i in named(text)) for number, text in profiles.items()}
    return resolve([claim(m) for m in messages], known=known, held=held, apart=[frozenset(pair) for pair in apart])


def people(out: Resolution) -> list[set[str]]:
    """Who holds what in the end."""
    long = {namespace: word for word, namespace in SHORT.items()}
    held: dict[int, set[str]] = {}
    for identifier, node in out.owner.items():
        held.setdefault(out.root(node), set()).add(
            f"{long.get(identifier.namespace, identifier.namespace)}:{identifier.value}"
        )
    return sorted(held.values(), key=sorted)


CASES = {
    "a new visitor": ({}, ["anon:x"], ["anon:x"], []),
    "the same visitor again": ({1: "anon:x"}, ["anon:x"], ["anon:x"], []),
    "a log-in links the device": ({1: "anon:x"}, ["user:ann anon:x"], ["anon:x user:ann"], []),
    "a known person on a new device": ({1: "user:ann"}, ["user:ann anon:y"], ["anon:y user:ann"], []),
    "a device and a person prove to be one": ({1: "anon:x", 2: "user:ann"}, ["user:ann anon:x"], ["anon:x user:ann"], []),
    "two devices, one person": ({}, ["anon:x", "anon:y", "user:ann anon:x", "user:ann anon:y"], ["anon:x anon:y user:ann"], []),
    "a shared device stays with whom it was first": (
        {1: "user:ann anon:x", 2: "user:bob"}, ["user:bob anon:x"], ["anon:x user:ann", "user:bob"], ["identifier_conflict"],
    ),
    "a second user id on one device is another person": (
        {1: "user:ann anon:x"}, ["user:bob anon:x"], ["anon:x user:ann", "user:bob"], ["identifier_conflict"],
    ),
    "an email joins a device": ({1: "mail:a@b.ch"}, ["mail:a@b.ch anon:x"], ["anon:x mail:a@b.ch"], []),
    "an email and a user id prove to be one": (
        {1: "mail:a@b.ch", 2: "user:ann"}, ["user:ann mail:a@b.ch"], ["mail:a@b.ch user:ann"], [],
    ),
    "one email of two user ids does not weld them": (
        {1: "user:ann mail:a@b.ch", 2: "user:bob"}, ["user:bob mail:a@b.ch"],
        ["mail:a@b.ch user:ann", "user:bob"], ["identifier_conflict"],
    ),
    "a sixth device is not linked": (
        {1: "user:ann anon:1 anon:2 anon:3 anon:4 anon:5"}, ["user:ann anon:6"],
        ["anon:1 anon:2 anon:3 anon:4 anon:5 user:ann"], ["identifier_limit"],
    ),
    "two that together hold too much stay two": (
        {1: "user:ann anon:1 anon:2 anon:3", 2: "mail:a@b.ch anon:4 anon:5 anon:6"}, ["user:ann mail:a@b.ch"],
        ["anon:1 anon:2 anon:3 user:ann", "anon:4 anon:5 anon:6 mail:a@b.ch"], ["identifier_conflict"],
    ),
    "a browser links its own device": ({1: "anon:x", 2: "user:ann"}, ["browser|user:ann anon:x"], ["anon:x user:ann"], []),
    "a browser never merges two known people": (
        {1: "user:ann", 2: "mail:a@b.ch anon:x"}, ["browser|user:ann anon:x"],
        ["anon:x mail:a@b.ch", "user:ann"], ["merge_not_trusted"],
    ),
    "who is known by any system's id is a known person": (
        {1: "user:ann", 2: "crm:7 anon:x"}, ["browser|user:ann anon:x"], ["anon:x crm:7", "user:ann"], ["merge_not_trusted"],
    ),
    "a browser can't join them by making a new user id either": (
        {1: "mail:a@b.ch anon:x", 2: "crm:9 anon:y"},
        ["browser|user:new anon:x", "browser|user:new anon:y"],
        ["anon:x mail:a@b.ch", "anon:y crm:9", "user:new"], ["merge_not_trusted", "merge_not_trusted"],
    ),
    "a server's alias joins two user ids": ({1: "user:old", 2: "user:new"}, ["alias|user:new was:old"], ["user:new user:old"], []),
    "a browser's alias does not": (
        {1: "user:old", 2: "user:new"}, ["browser alias|user:new was:old"], ["user:new", "user:old"], ["merge_not_trusted"],
    ),
    "a browser's alias takes its own device along": (
        {1: "anon:x"}, ["browser alias|user:ann was:x"], ["anon:x user:ann"], [],
    ),
    "an alias of somebody unknown is remembered": ({}, ["alias|user:ann was:x"], ["anon:x user:ann"], []),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_identifiers_found_together(name: str) -> None:
    profiles, messages, outcome, flags = CASES[name]
    out = resolved(profiles, messages)
    assert people(out) == sorted((set(text.split()) for text in outcome), key=sorted)
    assert [flag for found in out.flags for flag in found] == flags


def test_the_strongest_identifier_decides_whose_message_it_is() -> None:
    out = resolved({1: "user:ann anon:x", 2: "user:bob"}, ["user:bob anon:x"])
    assert out.nodes[out.root(out.person[0])].profile_id == 2
    assert out.origin == [Identifier(USER_ID, "bob")]


def test_the_older_known_profile_survives() -> None:
    out = resolved({3: "anon:x", 5: "user:ann", 7: "mail:a@b.ch"}, ["user:ann mail:a@b.ch anon:x"])
    survivors = {out.nodes[out.root(m.survivor)].profile_id for m in out.merges}
    assert survivors == {5}
    assert {out.nodes[m.absorbed].profile_id for m in out.merges} == {3, 7}
    assert all("ann" not in m.reason and "a@b.ch" not in m.reason for m in out.merges), "a reason names no values"


def test_a_pair_that_somebody_parted_stays_apart() -> None:
    out = resolved({1: "user:ann", 2: "anon:x"}, ["user:ann anon:x"], apart=((1, 2),))
    assert out.merges == [] and out.flags == [["merge_undone_before"]]


def test_a_parted_pair_does_not_come_together_by_way_of_a_third() -> None:
    out = resolved({1: "user:ann", 2: "anon:x", 3: "anon:z"}, ["user:ann anon:z", "anon:x anon:z"], apart=((1, 2),))
    assert out.flags == [[], ["merge_undone_before"]]
    assert {"anon:x"} in people(out)


def test_one_bad_value_in_thousands_of_messages_does_not_weld_people() -> None:
    out = resolved({}, [f"user:u{n} anon:kiosk" for n in range(5000)])
    assert len(people(out)) == 5000
    assert not out.merges


def test_an_identifier_linked_before_a_merge_belongs_to_whom_it_came_to() -> None:
    """So that undoing the merge gives it back, whether or not both messages came in one batch."""
    out = resolved({1: "user:ann", 2: "anon:x"}, ["mail:a@b.ch anon:x", "user:ann anon:x"])
    assert out.nodes[out.links[Identifier(EMAIL, "a@b.ch")]].profile_id == 2
    assert [out.nodes[m.absorbed].profile_id for m in out.merges] == [2]


VALUES = st.builds(
    Identifier, st.sampled_from([USER_ID, EMAIL, ANONYMOUS_ID, "phone"]), st.sampled_from(["a", "b", "c", "d"])
)
CLAIMS = st.builds(
    Claim,
    st.lists(VALUES, min_size=1, max_size=4, unique=True).map(lambda ids: tuple(sorted(ids, key=priority))),
    is_trusted=st.booleans(),
)
KNOWN = st.dictionaries(VALUES, st.integers(1, 4), max_size=8)


@given(st.lists(CLAIMS, max_size=12), KNOWN)
def test_limits_hold_whatever_comes(claims: list[Claim], known: dict[Identifier, int]) -> None:
    held: dict[int, Counter[str]] = {}
    for identifier, number in known.items():
        held.setdefault(number, Counter())[identifier.namespace] += 1
    out = resolve(claims, known=known, held=held)
    for node in {out.root(n) for n in out.owner.values()}:
        counted = Counter(i.namespace for i, owner in out.owner.items() if out.root(owner) == node)
        assert counted == +Counter(out.nodes[node].held)
        start = [held.get(p, Counter()) for p in out.nodes[node].inside]
        for namespace, count in counted.items():
            assert count <= max([limit(namespace), *(before[namespace] for before in start)])


@given(st.lists(CLAIMS, max_size=12), KNOWN)
def test_one_batch_or_many_come_to_the_same(claims: list[Claim], known: dict[Identifier, int]) -> None:
    """A batch is a matter of speed: resolving message by message gives the same people."""

    def counted(owners: dict[Identifier, int]) -> dict[int, Counter[str]]:
        held: dict[int, Counter[str]] = {}
        for identifier, number in owners.items():
            held.setdefault(number, Counter())[identifier.namespace] += 1
        return held

    together = resolve(claims, known=known, held=counted(known))
    owners, next_id = dict(known), 100
    for one in claims:
        out = resolve([one], known=owners, held=counted(owners))
        number = {}
        for node in {out.root(n) for n in out.owner.values()}:
            number[node] = out.nodes[node].profile_id
            if number[node] is None:
                number[node], next_id = next_id, next_id + 1
        owners = {identifier: number[out.root(node)] for identifier, node in out.owner.items()}

    def grouped(pairs: dict[Identifier, int]) -> set[frozenset[Identifier]]:
        return {frozenset(i for i in pairs if pairs[i] == number) for number in pairs.values()}

    assert grouped({i: together.root(n) for i, n in together.owner.items()}) == grouped(owners)
