"""The presentation language's encodings: integers and variable-size vectors (RFC 9420 §2.1)."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from .errors import InvalidArgument, MalformedMessage

T = TypeVar("T")
SIX_BITS, FOURTEEN_BITS, THIRTY_BITS = 0x3F, 0x3FFF, 0x3FFF_FFFF
CLAUSE = "RFC 9420 §2.1"


def uint8(value: int) -> bytes:
    """Encode a uint8."""
    return value.to_bytes(1, "big")


def uint16(value: int) -> bytes:
    """Encode a uint16."""
    return value.to_bytes(2, "big")


def uint32(value: int) -> bytes:
    """Encode a uint32."""
    return value.to_bytes(4, "big")


def uint64(value: int) -> bytes:
    """Encode a uint64."""
    return value.to_bytes(8, "big")


def vector_header(length: int) -> bytes:
    """Encode a vector's length in the fewest bytes (RFC 9420 §2.1.2). Raises InvalidArgument from 2^30 on."""
    if length <= SIX_BITS:
        return uint8(length)
    if length <= FOURTEEN_BITS:
        return uint16(0x4000 | length)
    if length <= THIRTY_BITS:
        return uint32(0x8000_0000 | length)
    raise InvalidArgument("too long for a vector", "RFC 9420 §2.1.2")


def vector(data: bytes) -> bytes:
    """Encode `opaque data<V>`."""
    return vector_header(len(data)) + data


def vector_of(items: Iterable[bytes]) -> bytes:
    """Encode a vector of already encoded items."""
    return vector(b"".join(items))


def uint16s(values: Iterable[int]) -> bytes:
    """Encode `uint16 values<V>`."""
    return vector_of(uint16(value) for value in values)


def optional(data: bytes | None) -> bytes:
    """Encode `optional<T>`: a presence octet, then the encoded value (RFC 9420 §2.1.1)."""
    return b"\x00" if data is None else b"\x01" + data


class Reader:
    """Reads structures from bytes. Bytes that do not parse raise MalformedMessage."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def __bool__(self) -> bool:
        return self.position < len(self.data)

    def fixed(self, length: int) -> bytes:
        """Read exactly `length` bytes."""
        end = self.position + length
        if end > len(self.data):
            raise MalformedMessage("the encoding is truncated", CLAUSE)
        chunk = self.data[self.position : end]
        self.position = end
        return chunk

    def rest(self) -> bytes:
        """Read all that is left."""
        return self.fixed(len(self.data) - self.position)

    def since(self, start: int) -> bytes:
        """Return the bytes read since position `start`: the encoding to hash or verify, exactly as received."""
        return self.data[start : self.position]

    def _uint(self, size: int) -> int:
        return int.from_bytes(self.fixed(size), "big")

    def uint8(self) -> int:
        """Read a uint8."""
        return self._uint(1)

    def uint16(self) -> int:
        """Read a uint16."""
        return self._uint(2)

    def uint32(self) -> int:
        """Read a uint32."""
        return self._uint(4)

    def uint64(self) -> int:
        """Read a uint64."""
        return self._uint(8)

    def vector_header(self) -> int:
        """Read a vector's length. Only the shortest encoding is valid (RFC 9420 §2.1.2)."""
        first = self.uint8()
        more = (1 << (first >> 6)) - 1
        length = int.from_bytes(bytes([first & SIX_BITS]) + self.fixed(more), "big")
        # Two encodings of one length would give one structure two hashes (RFC 9420 §2.1.2).
        if more > 3 or len(vector_header(length)) != more + 1:  # noqa: PLR2004 - the prefix 0b11 is reserved
            raise MalformedMessage("a vector's length is not encoded minimally", "RFC 9420 §2.1.2")
        return length

    def vector(self) -> bytes:
        """Read `opaque<V>`."""
        return self.fixed(self.vector_header())

    def vector_of(self, read: "Callable[[Reader], T]") -> tuple[T, ...]:
        """Read a vector of items, each by `read`."""
        inner, items = Reader(self.vector()), []
        while inner:
            items.append(read(inner))
        return tuple(items)

    def uint16s(self) -> tuple[int, ...]:
        """Read `uint16<V>`."""
        return self.vector_of(Reader.uint16)

    def optional(self, read: "Callable[[Reader], T]") -> T | None:
        """Read `optional<T>` (RFC 9420 §2.1.1)."""
        present = self.uint8()
        # Any other octet must be refused, not read as true (§2.1.1).
        if present > 1:
            raise MalformedMessage("an optional value is neither present nor absent", "RFC 9420 §2.1.1")
        return read(self) if present else None

    def finish(self) -> None:
        """Refuse trailing bytes."""
        if self:
            raise MalformedMessage("bytes follow the end of the structure", CLAUSE)


def decode(read: Callable[[Reader], T], data: bytes) -> T:
    """Read one value that fills `data` to its end."""
    reader = Reader(data)
    value = read(reader)
    reader.finish()
    return value
