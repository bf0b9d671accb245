from dataclasses import replace

import pytest
from keyturn.mls import InvalidLeafNode, InvalidSignature, UnsupportedFeature
from keyturn.mls.encoding import Reader, decode, uint16s
from keyturn.mls.extensions import Capabilities, Extension
from keyturn.mls.leaf_node import COMMIT, KEY_PACKAGE, UPDATE, LeafNode, grease, next_leaf, read_credential

from tests.mls.people import group_of

STATE = group_of(2)[0].state
LEAF = STATE.own_leaf
PLACE = (b"group", 0)


def capable(**changed: tuple[int, ...]) -> LeafNode:
    return replace(LEAF, capabilities=replace(Capabilities((1,), (1,), (), (), (1,)), **changed))


def test_a_leaf_round_trips() -> None:
    assert decode(LeafNode.read, LEAF.encode()) == LEAF
    assert LEAF.source == COMMIT


def test_a_renewed_leaf_is_bound_to_its_place() -> None:
    update = next_leaf(LEAF, STATE.seed, bytes(32), PLACE, None)
    assert (update.source, update.identity, update.capabilities) == (UPDATE, b"0", LEAF.capabilities)
    update.verify(*PLACE)
    for group_id, index in ((b"other", 0), (b"group", 1)):
        with pytest.raises(InvalidSignature):
            update.verify(group_id, index)
    committed = next_leaf(LEAF, STATE.seed, bytes(32), PLACE, b"parent hash")
    assert (committed.source, committed.parent_hash) == (COMMIT, b"parent hash")


def test_a_key_packages_leaf_is_bound_to_no_place() -> None:
    leaf = group_of(2)[1].state.own_leaf
    assert leaf.source == KEY_PACKAGE
    leaf.verify(b"any", 99)


def check_both(leaf: LeafNode, extensions: tuple[Extension, ...]) -> None:
    leaf.validate(None)
    leaf.fit(extensions)


@pytest.mark.parametrize(
    ("leaf", "extensions"),
    [
        (capable(versions=()), ()),
        (capable(cipher_suites=(2,)), ()),
        (capable(credentials=(2,)), ()),
        (replace(capable(), extensions=(Extension(0x1234, b""),)), ()),
        (capable(), (Extension(0x1234, b""),)),
        (capable(), (Extension(3, uint16s((0x1234,)) + b"\x00\x00"),)),
    ],
)
def test_a_leaf_offers_what_it_uses_and_what_the_group_needs(leaf: LeafNode, extensions: tuple[Extension, ...]) -> None:
    capable().validate(None)
    with pytest.raises(InvalidLeafNode):
        check_both(leaf, extensions)


def test_what_is_listed_may_be_used() -> None:
    leaf = replace(capable(extensions=(0x1234,)), extensions=(Extension(0x1234, b""),))
    leaf.validate(COMMIT)
    leaf.fit((Extension(0x1234, b""), Extension(3, uint16s((0x1234,)) + b"\x00\x00")))


@pytest.mark.parametrize("source", [KEY_PACKAGE, UPDATE])
def test_a_leaf_comes_from_where_it_must(source: int) -> None:
    with pytest.raises(InvalidLeafNode):
        LEAF.validate(source)


def test_unknown_sources_and_credentials_are_refused() -> None:
    source_at = LEAF.encode().index(LEAF.capabilities.encode()) + len(LEAF.capabilities.encode())
    encoded = bytearray(LEAF.encode())
    encoded[source_at] = 4
    with pytest.raises(InvalidLeafNode):
        decode(LeafNode.read, bytes(encoded))
    with pytest.raises(UnsupportedFeature):
        read_credential(Reader(b"\x00\x02\x00"))


def test_grease_is_one_of_fifteen_values() -> None:
    drawn = {grease(lambda _, byte=byte: bytes([byte])) for byte in range(256)}  # type: ignore[misc]
    assert drawn == {int(f"{digit}A{digit}A", 16) for digit in "0123456789ABCDE"}
