import pytest
from keyturn.mls import InvalidCommit
from keyturn.mls.cipher_suite import derive_secret
from keyturn.mls.encoding import decode
from keyturn.mls.hpke import KeyPair
from keyturn.mls.leaf_node import LeafNode, next_leaf
from keyturn.mls.update_path import PathSecrets, UpdatePath, check_keys, open_path, renew_path, seal_path

from tests.mls.people import RANDOM, group_of

GROUPS = group_of(4)
STATE = GROUPS[0].state


def renewed() -> tuple[object, UpdatePath]:
    tree = STATE.tree.copy()

    def make_leaf(key: bytes, parent_hash: bytes) -> LeafNode:
        return next_leaf(STATE.own_leaf, STATE.seed, key, (b"group", 0), parent_hash)

    fresh = renew_path(tree, 0, make_leaf, (RANDOM(32), KeyPair.generate(RANDOM)))
    return tree, seal_path(tree, 0, fresh, {3}, b"context", RANDOM)


def test_path_secrets_go_up() -> None:
    path = PathSecrets.ascend(bytes(32), [1, 3])
    second = derive_secret(bytes(32), "path")
    assert path.secrets == {1: bytes(32), 3: second}
    assert path.commit_secret == derive_secret(second, "path")
    assert path.key_pairs()[3] == KeyPair.derive(derive_secret(second, "node"))
    assert repr(path) == "PathSecrets()"


def test_newcomers_get_nothing_by_the_path() -> None:
    tree = STATE.tree.copy()
    _, path = renewed()
    assert decode(UpdatePath.read, path.encode()) == path
    assert [len(node.sealed) for node in path.nodes] == [1, 1]
    for keys in ({}, {6: GROUPS[3].state.key_pairs[6]}):
        with pytest.raises(InvalidCommit):
            open_path(tree, (0, 3), path, keys, {3}, b"context")
    opened = open_path(tree, (0, 2), path, GROUPS[2].state.key_pairs, {3}, b"context")
    assert list(opened.secrets) == [3]


def test_keys_are_those_of_the_tree() -> None:
    check_keys(STATE.tree, STATE.key_pairs)
    for node in (0, 5):
        with pytest.raises(InvalidCommit):
            check_keys(STATE.tree, {node: KeyPair.generate(RANDOM)})
