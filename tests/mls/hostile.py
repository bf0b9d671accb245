"""What an attacker makes of honest bytes, and whether anybody takes it in."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from keyturn.mls import Group, MlsError

from tests.mls.people import NOW

FLIPS = 0x01, 0x80, 0xFF


def flipped(data: bytes, flips: tuple[int, ...] = FLIPS) -> Iterator[bytes]:
    """Change each byte in several ways."""
    for at, byte in enumerate(data):
        for flip in flips:
            yield data[:at] + bytes([byte ^ flip]) + data[at + 1 :]


def shifted(data: bytes) -> Iterator[bytes]:
    """Leave each byte out, and double each, so that every length before it lies."""
    for at in range(len(data)):
        yield data[:at] + data[at + 1 :]
        yield data[: at + 1] + data[at:]


def truncated(data: bytes) -> Iterator[bytes]:
    """Cut at every length, nothing at all included."""
    return (data[:length] for length in range(len(data)))


def lengthened(data: bytes) -> Iterator[bytes]:
    """Let something follow."""
    return (data + more for more in (b"\x00", b"\x01", b"\xff", bytes(64), data))


def bent(data: bytes) -> Iterator[bytes]:
    """All of it."""
    return chain(flipped(data), shifted(data), truncated(data), lengthened(data))


def taken(attempt: Callable[[bytes], object], hostile: Iterable[bytes]) -> list[bytes]:
    """List what was not refused; an exception that is no MlsError is nobody's to catch."""
    return [data for data in hostile if _passes(attempt, data)]


def _passes(attempt: Callable[[bytes], object], data: bytes) -> bool:
    try:
        attempt(data)
    except MlsError:
        return False
    return True


def received(group: Group, hostile: Iterable[bytes]) -> list[bytes]:
    """List the messages that a group took in; whether or not, its saved state has to be the same after each."""
    before = group.to_bytes()

    def attempt(message: bytes) -> None:
        try:
            group.receive(message, now=NOW)
        finally:
            assert group.to_bytes() == before

    return taken(attempt, hostile)
