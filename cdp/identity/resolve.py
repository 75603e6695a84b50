"""Who each message of a batch is about: which identifiers join which profile, and which profiles prove to be one.

Pure: it decides, in message order, over what the database said. Carrying it out is in `cdp.identity.services`.
Deterministic matching as customer data platforms do it: identifiers found together link; when they disagree the
strongest decides and the weaker one does not vote.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cdp.identity.normalise import ANONYMOUS_ID, LIMIT, OTHER_LIMIT, USER_ID, Identifier, names_a_person


@dataclass(frozen=True, slots=True)
class Claim:
    """What one message says of a person: these identifiers, the strongest first, are of one person."""

    identifiers: tuple[Identifier, ...]
    is_trusted: bool
    # An alias call states outright that two ids are one person, so it may join two user ids.
    is_alias: bool = False
    # A decision comes with it, which is of whoever it is about by then: see `must_wait`.
    decides: bool = False


@dataclass(slots=True)
class Node:
    """A profile while the batch is being resolved: known to the database, or new."""

    profile_id: int | None
    held: defaultdict[str, int]
    linked: list[Identifier] = field(default_factory=list)
    # Every profile that has become one with it, itself included.
    inside: set[int] = field(default_factory=set)

    @property
    def is_known_person(self) -> bool:
        return any(count for namespace, count in self.held.items() if names_a_person(namespace))


@dataclass(frozen=True, slots=True)
class MergeDecision:
    survivor: int
    absorbed: int
    claim: int
    reason: str


@dataclass(slots=True)
class Resolution:
    """Node numbers stand for profiles; `root` follows merges made later in the batch.

    ``links`` leads to the node that an identifier came to first, so that undoing a merge gives it back to that one.
    """

    nodes: list[Node] = field(default_factory=list)
    owner: dict[Identifier, int] = field(default_factory=dict)
    links: dict[Identifier, int] = field(default_factory=dict)
    merges: list[MergeDecision] = field(default_factory=list)
    # Claim, and the two nodes that it made one.
    joins: list[tuple[int, int, int]] = field(default_factory=list)
    person: list[int] = field(default_factory=list)
    origin: list[Identifier] = field(default_factory=list)
    flags: list[list[str]] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)

    def root(self, node: int) -> int:
        while self.parent[node] != node:
            self.parent[node] = self.parent[self.parent[node]]
            node = self.parent[node]
        return node

    def add(self, profile_id: int | None, held: Mapping[str, int]) -> int:
        self.nodes.append(
            Node(profile_id, defaultdict(int, held), inside=set() if profile_id is None else {profile_id})
        )
        self.parent.append(len(self.nodes) - 1)
        return len(self.nodes) - 1


def limit(namespace: str, *, is_alias: bool = False) -> int:
    return OTHER_LIMIT if is_alias else LIMIT.get(namespace, OTHER_LIMIT)


def resolve(
    claims: Sequence[Claim],
    *,
    known: Mapping[Identifier, int],
    held: Mapping[int, Mapping[str, int]],
    apart: Collection[frozenset[int]] = (),
) -> Resolution:
    """Who each claim is about.

    Args:
        claims: in the order in which the messages arrived.
        known: identifier -> id of the profile it belongs to.
        held: profile id -> how many identifiers it has in each namespace.
        apart: pairs of profile ids that must stay two.

    Returns:
        ``person[i]`` is the node of claim i (see `Resolution.root`), ``origin[i]`` the identifier that decided it.
    """
    out = Resolution()
    node_of = {profile_id: out.add(profile_id, held.get(profile_id, {})) for profile_id in sorted(set(known.values()))}
    out.owner = {identifier: node_of[profile_id] for identifier, profile_id in known.items()}
    for number, claim in enumerate(claims):
        flags: list[str] = []
        identifiers = [_previous(out.owner, i) if i.namespace == "previous_id" else i for i in claim.identifiers]
        node: int | None = None
        for identifier in identifiers:
            theirs = out.owner.get(identifier)
            if theirs is None:
                if node is None:
                    node = out.add(None, {})
                elif out.nodes[node].held[identifier.namespace] >= limit(identifier.namespace, is_alias=claim.is_alias):
                    flags.append("identifier_limit")
                    continue
                out.nodes[node].held[identifier.namespace] += 1
                out.owner[identifier] = out.links[identifier] = node
                out.nodes[node].linked.append(identifier)
                continue
            theirs = out.root(theirs)
            if node is None:
                node = theirs
            elif theirs != node:
                refused = _refusal(out.nodes[node], out.nodes[theirs], claim, apart)
                if refused:
                    flags.append(refused)
                else:
                    node = _join(out, node, theirs, number, identifiers[0], identifier)
        assert node is not None, "wire.read refuses messages without identifiers"
        out.person.append(node)
        out.origin.append(identifiers[0])
        out.flags.append(flags)
    return out


def must_wait(out: Resolution, claims: Sequence[Claim]) -> set[int]:
    """Claims that can't be carried out together with those before them: numbers of claims.

    Of two that become one the stricter decision holds, so what one of them decided before must be on record by then.
    Whoever waits keeps all waiting that comes after it and touches the same people; nobody else does.
    """
    joins: dict[int, list[int]] = {}
    for number, *both in out.joins:
        joins.setdefault(number, []).extend(both)
    waiting: set[int] = set()
    decided: set[int] = set()
    held_up: set[int] = set()
    for number, claim in enumerate(claims):
        if held_up or (number in joins and not decided.isdisjoint(joins[number])):
            touched = {out.root(out.owner[i]) for i in possible(claim.identifiers) if i in out.owner}
            if not decided.isdisjoint(joins.get(number, ())) or not held_up.isdisjoint(touched):
                waiting.add(number)
                held_up |= touched
                continue
        if claim.decides:
            decided.add(out.person[number])
    return waiting


def possible(identifiers: Iterable[Identifier]) -> list[Identifier]:
    """An alias's previous id may stand in either namespace; both are looked up."""
    return [
        actual
        for i in identifiers
        for actual in (
            (Identifier(USER_ID, i.value), Identifier(ANONYMOUS_ID, i.value)) if i.namespace == "previous_id" else (i,)
        )
    ]


def _previous(owner: Mapping[Identifier, int], identifier: Identifier) -> Identifier:
    """An alias's previous id may be a user id or an anonymous one; what we know decides, else it is anonymous."""
    as_user = Identifier(USER_ID, identifier.value)
    return as_user if as_user in owner else Identifier(ANONYMOUS_ID, identifier.value)


def _refusal(one: Node, other: Node, claim: Claim, apart: Collection[frozenset[int]]) -> str:
    """Why the two must stay two, or "" when they may become one."""
    if apart and any(frozenset((a, b)) in apart for a in one.inside for b in other.inside):
        return "merge_undone_before"
    if not claim.is_trusted and one.is_known_person and other.is_known_person:
        return "merge_not_trusted"
    namespaces: Iterable[str] = one.held.keys() | other.held.keys()
    if any(one.held[n] + other.held[n] > limit(n, is_alias=claim.is_alias) for n in namespaces):
        return "identifier_conflict"
    return ""


def _join(out: Resolution, one: int, other: int, claim: int, first: Identifier, second: Identifier) -> int:
    """The node that goes on. An existing profile outlives a new one, a known person an anonymous one, the older the younger."""

    def rank(node: int) -> tuple[bool, bool, int]:
        it = out.nodes[node]
        return it.profile_id is None, not it.is_known_person, it.profile_id if it.profile_id is not None else node

    survivor, absorbed = sorted((one, other), key=rank)
    out.parent[absorbed] = survivor
    out.joins.append((claim, survivor, absorbed))
    stays, goes = out.nodes[survivor], out.nodes[absorbed]
    for namespace, count in goes.held.items():
        stays.held[namespace] += count
    stays.inside |= goes.inside
    if goes.profile_id is None:
        stays.linked += goes.linked
        out.links.update(dict.fromkeys(goes.linked, survivor))
    else:
        out.merges.append(
            MergeDecision(survivor, absorbed, claim, f"{first.namespace} and {second.namespace} in one message")
        )
    return survivor
