from dataclasses import replace

import pytest
from keyturn.mls import InvalidLeafNode, InvalidSignature, InvalidTree, MalformedMessage, MlsError
from keyturn.mls.encoding import Reader, decode, optional, vector_of
from keyturn.mls.leaf_node import next_leaf
from keyturn.mls.parent_hash import parent_hash, verify_parent_hashes
from keyturn.mls.ratchet_tree import ParentNode, RatchetTree
from keyturn.mls.tree_validation import check_unique, validate_tree

from tests.mls.people import NOW, RANDOM, RECEIVED, commit_by, group_of, person

GROUP = commit_by(commit_by(group_of(6), 2), 5)[0].commit(random=RANDOM, now=NOW, include_pending=False).group
NEWCOMER = GROUP.commit(random=RANDOM, now=NOW, add=[person("7").key_package]).group
TREE = NEWCOMER.state.tree


def altered(node: int, value: ParentNode | None) -> RatchetTree:
    tree = TREE.copy()
    tree.put(node, value)
    return tree


def refused(tree: RatchetTree, error: type[MlsError] = InvalidTree) -> None:
    with pytest.raises(error):
        validate_tree(tree, tree.root_hash, b"group", (), RECEIVED)


def parent(node: int) -> ParentNode:
    found = TREE.parent(node)
    assert found is not None
    return found


def test_an_honest_tree_holds() -> None:
    validate_tree(TREE, NEWCOMER.tree_hash, b"group", (), RECEIVED)
    again = decode(RatchetTree.read, TREE.encode())
    assert again.nodes == TREE.nodes
    with pytest.raises(InvalidTree):
        validate_tree(TREE, bytes(32), b"group", (), RECEIVED)
    with pytest.raises(InvalidSignature):
        validate_tree(TREE, TREE.root_hash, b"other", (), RECEIVED)


def test_a_changed_node_breaks_its_parent_hash() -> None:
    for node, found in TREE.parents():
        refused(altered(node, replace(found, encryption_key=bytes(31) + b"\x01")))
        refused(altered(node, replace(found, parent_hash=bytes(32))))


def test_an_unmerged_leaf_is_a_member_below() -> None:
    top = parent(7)
    for leaf in (7, 8, 2**32 - 1):
        refused(altered(7, replace(top, unmerged=(leaf,))))
    node, found = next((node, found) for node, found in TREE.parents() if node != 7)
    outside = next(index for index, _ in TREE.leaves() if 2 * index > 2 * node or index < node // 4)
    if outside not in found.unmerged:
        refused(altered(node, replace(found, unmerged=(outside,))))


def test_a_leaf_unmerged_above_is_unmerged_between() -> None:
    refused(altered(7, replace(parent(7), unmerged=(0,))))


def test_a_parent_hash_does_not_excuse_a_leaf_that_is_merged_between() -> None:
    state = commit_by(commit_by(group_of(4), 2), 0)[0].state
    tree, root, side = state.tree.copy(), state.tree.parent(3), state.tree.parent(1)
    assert root is not None
    assert side is not None
    # Member 0 calls leaf 3 unmerged at the root, though node 5 between has it merged, and hashes accordingly.
    tree.put(3, replace(root, unmerged=(3,)))
    tree.put(1, replace(side, parent_hash=parent_hash(tree, replace(root, unmerged=(3,)), 5)))
    hashed, leaf = tree.parent(1), state.own_leaf
    assert hashed is not None
    tree.put(0, next_leaf(leaf, state.seed, leaf.encryption_key, (b"group", 0), parent_hash(tree, hashed, 2)))
    verify_parent_hashes(tree)
    refused(tree)


def test_keys_are_unique_and_well_formed() -> None:
    tree = TREE.copy()
    tree.put(2, TREE.nodes[0])
    with pytest.raises(InvalidLeafNode):
        check_unique(tree)
    leaf = TREE.leaf(0)
    assert leaf is not None
    with pytest.raises(InvalidTree):
        check_unique(altered(7, replace(parent(7), encryption_key=leaf.encryption_key)))
    with pytest.raises(MalformedMessage):
        check_unique(altered(7, replace(parent(7), encryption_key=bytes(31))))


def test_a_parent_without_anybody_below_is_invalid() -> None:
    tree = RatchetTree([TREE.nodes[0], ParentNode(bytes(32)), None])
    with pytest.raises(InvalidTree):
        verify_parent_hashes(tree)


def test_malformed_trees() -> None:
    leaf, node = TREE.nodes[0], parent(7)
    assert leaf is not None
    encoded_leaf, encoded_parent = optional(b"\x01" + leaf.encoded), optional(b"\x02" + node.encoded)
    for nodes in ([], [b"\x00"], [encoded_leaf, b"\x00"], [encoded_parent], [encoded_leaf, encoded_leaf]):
        with pytest.raises(InvalidTree):
            decode(RatchetTree.read, vector_of(nodes))
    with pytest.raises(MalformedMessage):
        decode(RatchetTree.read, vector_of([b"\x01\x03"]))
    for unmerged in ((1, 0), (1, 1)):
        with pytest.raises(InvalidTree):
            ParentNode.read(Reader(replace(node, unmerged=unmerged).encoded))


def test_a_tree_is_extended_to_be_complete() -> None:
    leaf = TREE.nodes[0]
    assert leaf is not None
    encoded, blank = optional(b"\x01" + leaf.encoded), b"\x00"
    for count, nodes in ((1, [encoded]), (3, [encoded, blank, encoded]), (7, [encoded, blank, blank, blank, encoded])):
        assert len(decode(RatchetTree.read, vector_of(nodes)).nodes) == count


def test_hashes_are_kept_until_something_below_changes() -> None:
    tree, before = TREE.copy(), TREE.root_hash
    assert tree.root_hash == before
    leaf = TREE.leaf(0)
    assert leaf is not None
    tree.update(1, leaf)
    assert tree.root_hash != before
    assert tree.root_hash == RatchetTree(list(tree.nodes)).root_hash
    assert TREE.root_hash == before
    tree.remove(6)
    assert tree.root_hash == RatchetTree(list(tree.nodes)).root_hash
    assert tree.leaf(99) is None
    assert tree.leaf(-1) is None
