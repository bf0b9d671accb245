import pytest
from keyturn.mls import GenerationTooFar, InvalidState, ReplayedMessage
from keyturn.mls.encoding import decode
from keyturn.mls.secret_tree import APPLICATION, HANDSHAKE, MOST_SKIPPED_IN_TREE, MessageKey, Ratchet, SecretTree

TREE = SecretTree.plant(bytes(range(32)), 8)


def test_both_sides_derive_the_same_keys() -> None:
    sender = receiver = TREE
    for generation in range(5):
        sender, sent = sender.next(3, APPLICATION)
        receiver, received = receiver.take(3, APPLICATION, generation)
        assert sent == received
        assert sent.generation == generation
    assert sender == receiver


def test_keys_differ_by_leaf_kind_and_generation() -> None:
    keys = {
        TREE.take(leaf, kind, generation)[1].key
        for leaf in range(8)
        for kind in (HANDSHAKE, APPLICATION)
        for generation in range(3)
    }
    assert len(keys) == 48


def test_a_grown_leaf_leaves_no_secret_above_it() -> None:
    grown = TREE.grow(2)
    assert sorted(grown.nodes) == [1, 6, 11]
    assert grown.grow(2) is grown
    assert sorted(grown.grow(3).nodes) == [1, 11]
    assert sorted(TREE.nodes) == [7]
    assert grown.take(5, HANDSHAKE, 1)[1] == TREE.take(5, HANDSHAKE, 1)[1]


def test_what_was_jumped_over_opens_once_and_later() -> None:
    tree, _ = TREE.take(0, APPLICATION, 3)
    tree, skipped = tree.take(0, APPLICATION, 1)
    assert skipped == TREE.take(0, APPLICATION, 1)[1]
    assert [key.generation for key in tree.ratchets[0, APPLICATION].skipped] == [0, 2]
    for generation in (1, 3):
        with pytest.raises(ReplayedMessage):
            tree.take(0, APPLICATION, generation)
    assert tree.take(0, APPLICATION, 4)[1].generation == 4


def test_the_window_is_a_thousand_ahead_and_a_hundred_behind() -> None:
    tree, key = TREE.take(0, APPLICATION, 1000)
    assert key.generation == 1000
    with pytest.raises(GenerationTooFar):
        TREE.take(0, APPLICATION, 1001)
    assert tree.take(0, APPLICATION, 900)[1].generation == 900
    with pytest.raises(ReplayedMessage):
        tree.take(0, APPLICATION, 899)
    assert len(tree.ratchets[0, APPLICATION].skipped) == 100
    assert tree.take(0, APPLICATION, 2001)[1].generation == 2001
    with pytest.raises(GenerationTooFar):
        tree.take(0, APPLICATION, 2002)


def test_all_leaves_together_keep_a_thousand_skipped_keys() -> None:
    tree = SecretTree.plant(bytes(32), 16)
    tree, _ = tree.take(15, APPLICATION, 5)
    for leaf in range(11):
        tree, _ = tree.take(leaf, APPLICATION, 100)
    assert sum(len(ratchet.skipped) for ratchet in tree.ratchets.values()) == MOST_SKIPPED_IN_TREE
    assert tree.take(15, APPLICATION, 0)[1].generation == 0  # the one with few keys loses none
    assert min(len(tree.ratchets[leaf, APPLICATION].skipped) for leaf in range(11)) == 90
    assert all(99 in [key.generation for key in tree.ratchets[leaf, APPLICATION].skipped] for leaf in range(11))


def test_a_ratchet_ends() -> None:
    last = Ratchet(bytes(32), 2**32 - 2)
    ended, key = last.next()
    assert key.generation == 2**32 - 2
    with pytest.raises(GenerationTooFar):
        ended.next()


def test_a_leaf_can_be_forgotten() -> None:
    grown = TREE.grow(1).grow(0)
    forgotten = grown.without(0)
    assert set(forgotten.ratchets) == {(1, HANDSHAKE), (1, APPLICATION)}
    assert set(TREE.without(0).ratchets) == set()
    assert TREE.without(0).nodes == {2: TREE.without(0).nodes[2], 5: TREE.grow(0).nodes[5], 11: TREE.grow(0).nodes[11]}


def test_it_is_saved_without_what_was_consumed() -> None:
    tree, key = TREE.take(0, APPLICATION, 2)
    saved = tree.encode()
    assert decode(SecretTree.read, saved) == tree
    assert key.key not in saved
    assert tree.ratchets[0, APPLICATION].skipped[0].key in saved
    assert bytes(range(32)) not in saved


def test_a_saved_secret_has_a_place_in_the_tree() -> None:
    with pytest.raises(InvalidState):
        decode(SecretTree.read, SecretTree(2, {3: bytes(32)}, {}).encode())


def test_secrets_are_not_shown() -> None:
    assert repr(TREE) == "SecretTree(leaf_count=8)"
    assert repr(Ratchet(bytes(32))) == "Ratchet(generation=0)"
    assert repr(MessageKey(1, b"k", b"n")) == "MessageKey(generation=1)"


def test_a_forgotten_leaf_has_no_keys_any_more() -> None:
    forgotten = TREE.without(0)
    with pytest.raises(InvalidState, match="are gone"):
        forgotten.take(0, APPLICATION, 0)
    with pytest.raises(InvalidState, match="are gone"):
        forgotten.next(0, HANDSHAKE)
