import pytest
from keyturn.mls import InvalidState, InvalidTree, NewerStateVersion
from keyturn.mls.cipher_suite import sha256
from keyturn.mls.saved import checked, pack, unpack

MAGIC = b"magic"


def with_digest(head: bytes) -> bytes:
    return head + sha256(head)


def test_it_holds_what_was_put_in() -> None:
    for body in (b"body", b""):
        assert unpack(MAGIC, pack(MAGIC, body)) == body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        pack(b"other", b"body"),
        pack(MAGIC, b"body")[:-1],
        with_digest(MAGIC),
        with_digest(MAGIC + b"\x01"),
        with_digest(MAGIC + b"\x00\x00"),
    ],
)
def test_damage_is_found(data: bytes) -> None:
    with pytest.raises(InvalidState):
        unpack(MAGIC, data)


def test_the_future_is_refused_as_such() -> None:
    with pytest.raises(NewerStateVersion):
        unpack(MAGIC, with_digest(MAGIC + b"\x00\x02body"))


def test_contradictions_are_invalid_state() -> None:
    with pytest.raises(InvalidState) as refused, checked():
        raise InvalidTree("text", "clause")
    assert refused.value.clause == "clause"
    with pytest.raises(NewerStateVersion), checked():
        raise NewerStateVersion("text", "clause")
