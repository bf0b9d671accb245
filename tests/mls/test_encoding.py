import pytest
from keyturn.mls import InvalidArgument, MalformedMessage
from keyturn.mls.encoding import Reader, decode, optional, uint16s, vector, vector_header, vector_of


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "00"),
        (63, "3f"),
        (64, "4040"),
        (16383, "7fff"),
        (16384, "80004000"),
        (2**30 - 1, "bfffffff"),
    ],
)
def test_a_length_takes_the_fewest_bytes(length: int, header: str) -> None:
    assert vector_header(length).hex() == header
    assert decode(Reader.vector_header, bytes.fromhex(header)) == length


@pytest.mark.parametrize("header", ["4000", "403f", "80000000", "80003fff", "c000000000000000", "40", "800000", ""])
def test_other_lengths_are_malformed(header: str) -> None:
    with pytest.raises(MalformedMessage):
        decode(Reader.vector_header, bytes.fromhex(header))


def test_a_vector_has_a_limit() -> None:
    with pytest.raises(InvalidArgument):
        vector_header(2**30)


def test_integers_are_big_endian() -> None:
    reader = Reader(bytes(range(1, 16)))
    assert (reader.uint8(), reader.uint16()) == (1, 0x0203)
    assert (reader.uint32(), reader.uint64()) == (0x04050607, 0x08090A0B0C0D0E0F)
    reader.finish()


def test_vectors_nest() -> None:
    encoded = vector_of([vector(b"one"), vector(b""), vector(b"three")])
    assert decode(lambda reader: reader.vector_of(Reader.vector), encoded) == (b"one", b"", b"three")
    assert decode(Reader.uint16s, uint16s((1, 0xFFFF))) == (1, 0xFFFF)


def test_an_item_ends_within_its_vector() -> None:
    with pytest.raises(MalformedMessage):
        decode(Reader.uint16s, b"\x03\x00\x01\x00")


def test_an_optional_is_present_or_absent() -> None:
    assert decode(lambda reader: reader.optional(Reader.uint8), optional(b"\x07")) == 7
    assert decode(lambda reader: reader.optional(Reader.uint8), optional(None)) is None
    with pytest.raises(MalformedMessage):
        decode(lambda reader: reader.optional(Reader.uint8), b"\x02\x07")


def test_nothing_is_cut_off_or_left_over() -> None:
    with pytest.raises(MalformedMessage):
        decode(Reader.vector, b"\x02a")
    with pytest.raises(MalformedMessage) as refused:
        decode(Reader.vector, b"\x01ab")
    assert refused.value.clause == "RFC 9420 §2.1"


def test_what_was_read_can_be_taken_again() -> None:
    reader = Reader(b"abcdef")
    reader.fixed(1)
    start = reader.position
    reader.fixed(2)
    assert (reader.since(start), reader.rest(), bool(reader)) == (b"bc", b"def", False)
