"""The tree of the audit log, beside published roots and an implementation that isn't ours."""

import random
from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree
from pymerkle import verify_consistency as others_consistency
from pymerkle import verify_inclusion as others_inclusion

from cdp.audit.tree import WIDTH, consistency_proof, inclusion_proof, root_of, roots_of_consistency
from cdp.audit.verify import EMPTY_ROOT, Frontier, leaf_hash, node_hash, root_of_inclusion
from tests.unit.audit.stored import Stored

# The eight leaves and their roots that implementations of Certificate Transparency are tested with
# (transparency-dev/merkle, testonly/constants.go).
PUBLISHED_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
PUBLISHED_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def grown(size: int, *, by: int = 700) -> Stored:
    tree = Stored()
    for start in range(0, size, by):
        tree.append([str(number).encode() for number in range(start, min(size, start + by))])
    return tree


def root_by_definition(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(root_by_definition(leaves[:half]), root_by_definition(leaves[half:]))


def test_roots_are_the_published_ones() -> None:
    for size, root in enumerate(PUBLISHED_ROOTS):
        tree = Stored()
        tree.append(PUBLISHED_LEAVES[:size])
        assert tree.root().hex() == tree.frontier.root().hex() == root


def test_three_leaves_by_hand() -> None:
    a, b, c = (leaf_hash(one) for one in (b"a", b"b", b"c"))
    tree = Stored()
    tree.append([b"a", b"b", b"c"])
    assert tree.root() == sha256(b"\x01" + sha256(b"\x01" + a + b).digest() + c).digest()
    assert inclusion_proof(index=2, size=3, hashes=tree) == [node_hash(a, b)]
    assert inclusion_proof(index=0, size=3, hashes=tree) == [b, c]
    assert consistency_proof(first=2, second=3, hashes=tree) == [c]


def test_however_it_grows_its_root_is_by_definition() -> None:
    chance = random.Random(9162)
    for _ in range(60):
        tree, leaves = Stored(), list[bytes]()
        for _ in range(chance.randrange(1, 6)):
            more = [chance.randbytes(3) for _ in range(chance.choice((0, 1, 2, 255, 256, 257, 300, 511)))]
            leaves += [leaf_hash(one) for one in more]
            tree.append(more)
            assert tree.root() == tree.frontier.root() == root_by_definition(leaves)
    assert root_of(0, Stored()) == EMPTY_ROOT


def test_the_tree_of_70_000_has_nodes_of_two_levels_and_its_root_is_by_definition() -> None:
    tree = grown(WIDTH * WIDTH + 5_000)
    assert [len(tree.levels[level]) for level in (1, 2)] == [WIDTH + 5_000 // WIDTH, 1]
    assert tree.root() == tree.frontier.root() == root_by_definition(tree.levels[0])
    tree.asked = 0
    proof = inclusion_proof(index=12_345, size=tree.size, hashes=tree)
    assert len(proof) == 17
    assert tree.asked < 4 * WIDTH
    assert root_of_inclusion(leaf=tree.levels[0][12_345], index=12_345, size=tree.size, proof=proof) == tree.root()


def test_proofs_agree_with_another_implementation() -> None:
    size = 300
    tree, other = grown(size, by=97), InmemoryTree(algorithm="sha256")
    for number in range(size):
        other.append_entry(str(number).encode())
    chance = random.Random(6962)
    for _ in range(300):
        upto = chance.randrange(1, size + 1)
        index, first = chance.randrange(upto), chance.randrange(1, upto + 1)
        root = root_of(upto, tree)
        assert root == other.get_root(upto)

        proof = inclusion_proof(index=index, size=upto, hashes=tree)
        theirs = other.prove_inclusion(index + 1, upto)
        others_inclusion(tree.levels[0][index], root, theirs)
        assert [node.hex() for node in proof] == theirs.serialize()["path"][1:]
        assert root_of_inclusion(leaf=tree.levels[0][index], index=index, size=upto, proof=proof) == root

        shown = consistency_proof(first=first, second=upto, hashes=tree)
        theirs = other.prove_consistency(first, upto)
        others_consistency(other.get_root(first), root, theirs)
        before, after = roots_of_consistency(first=first, second=upto, first_root=other.get_root(first), proof=shown)
        assert (before, after) == (other.get_root(first), root)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 900), st.data())
def test_every_proof_leads_to_the_root_and_no_other_does(size: int, data: st.DataObject) -> None:
    tree = grown(size)
    index = data.draw(st.integers(0, size - 1))
    leaf, proof = tree.levels[0][index], inclusion_proof(index=index, size=size, hashes=tree)
    assert root_of_inclusion(leaf=leaf, index=index, size=size, proof=proof) == tree.root()
    assert root_of_inclusion(leaf=leaf_hash(b"another"), index=index, size=size, proof=proof) != tree.root()
    with pytest.raises(ValueError, match="too long"):
        root_of_inclusion(leaf=leaf, index=index, size=size, proof=[*proof, leaf])
    if proof:
        with pytest.raises(ValueError, match="too short"):
            root_of_inclusion(leaf=leaf, index=index, size=size, proof=proof[:-1])
        place = data.draw(st.integers(0, len(proof) - 1))
        forged = [*proof[:place], leaf_hash(b"x"), *proof[place + 1 :]]
        assert root_of_inclusion(leaf=leaf, index=index, size=size, proof=forged) != tree.root()

    first = data.draw(st.integers(1, size))
    before, shown = root_of(first, tree), consistency_proof(first=first, second=size, hashes=tree)
    assert roots_of_consistency(first=first, second=size, first_root=before, proof=shown) == (before, tree.root())
    if shown:
        with pytest.raises(ValueError, match=r"too (short|long)"):
            roots_of_consistency(first=first, second=size, first_root=before, proof=[*shown, leaf])
        place = data.draw(st.integers(0, len(shown) - 1))
        forged = [*shown[:place], leaf_hash(b"x"), *shown[place + 1 :]]
        told = roots_of_consistency(first=first, second=size, first_root=before, proof=forged)
        assert told != (before, tree.root())


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_what_is_not_in_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        inclusion_proof(index=index, size=size, hashes=grown(8))
    with pytest.raises(ValueError, match="not in a tree"):
        root_of_inclusion(leaf=b"", index=index, size=size, proof=[])


@pytest.mark.parametrize(("first", "second"), [(0, 4), (5, 4), (-1, 2)])
def test_sizes_out_of_order_are_refused(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="0 < first <= second"):
        consistency_proof(first=first, second=second, hashes=grown(8))
    with pytest.raises(ValueError, match="0 < first <= second"):
        roots_of_consistency(first=first, second=second, first_root=b"", proof=[])


@pytest.mark.parametrize(("size", "nodes"), [(3, [b"x" * 32]), (1, [b"short"]), (-1, []), (0, [b"x" * 32])])
def test_a_frontier_of_another_size_is_refused(size: int, nodes: list[bytes]) -> None:
    with pytest.raises(ValueError, match="such nodes"):
        Frontier(size, nodes)
