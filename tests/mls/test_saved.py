import pytest
from keyturn.mls import InvalidState, InvalidTree, MalformedMessage, NewerStateVersion
from keyturn.mls.cipher_suite import sha256
from keyturn.mls.saved import NOTHING, SeparatePart, checked, pack, unpack

MAGIC = b"magic"


def with_digest(head: bytes) -> bytes:
    return head + sha256(head)


def test_it_holds_both_parts() -> None:
    for main in (b"main", b""):
        for separate in (b"separate", b""):
            part = SeparatePart.of(separate)
            unpacked = unpack(MAGIC, pack(MAGIC, main, part))
            assert unpacked == (main, part)
            assert unpacked[1].read() == separate
    assert unpack(MAGIC, pack(MAGIC, b"main")) == (b"main", NOTHING)


def test_damage_of_the_separate_part_is_found_when_it_is_read() -> None:
    data = pack(MAGIC, b"main", SeparatePart.of(b"separate"))
    for damaged in (data[:-1], data + b"x", data[:-1] + b"x"):
        main, part = unpack(MAGIC, damaged)
        assert main == b"main"
        with pytest.raises(InvalidState):
            part.read()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack(b"other", b"body"),
        pack(MAGIC, b"body")[:-1],
        pack(MAGIC, b"body")[:-33] + b"x" + pack(MAGIC, b"body")[-32:],
        with_digest(MAGIC),
        with_digest(MAGIC + b"\x01"),
        with_digest(MAGIC + b"\x00\x00"),
        with_digest(MAGIC + b"\x00\x01\x00" + bytes(32)),
    ],
)
def test_damage_is_found(data: bytes) -> None:
    with pytest.raises((InvalidState, MalformedMessage)), checked():
        unpack(MAGIC, data)


def test_the_future_is_refused_as_such() -> None:
    with pytest.raises(NewerStateVersion):
        unpack(MAGIC, with_digest(MAGIC + b"\x00\x03body"))


def test_contradictions_are_invalid_state() -> None:
    with pytest.raises(InvalidState) as refused, checked():
        raise InvalidTree("text", "clause")
    assert refused.value.clause == "clause"
    with pytest.raises(NewerStateVersion), checked():
        raise NewerStateVersion("text", "clause")
