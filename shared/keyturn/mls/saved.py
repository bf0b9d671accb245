"""The envelope of saved states: magic, version, two parts and their digests.

The main part is small and is read and written at every use. The separate part holds a group's tree: it is large, and
sending a message needs nothing of it. So it has a digest of its own, which is checked when the part is first read.
"""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .cipher_suite import HASH_BYTES, sha256
from .encoding import Reader, uint16, vector
from .errors import InvalidState, MlsError, NewerStateVersion

STATE_VERSION = 2
CLAUSE = "keyturn.mls README, saved state"


@dataclass(frozen=True)
class SeparatePart:
    """The separate part of an envelope as stored, and its SHA-256 (bytes, 32)."""

    stored: bytes
    digest: bytes

    @classmethod
    def of(cls, data: bytes) -> "SeparatePart":
        """Make a separate part from its bytes."""
        return cls(data, sha256(data))

    def read(self) -> bytes:
        """Return the bytes. Raises InvalidState when they do not have their digest."""
        if not hmac.compare_digest(sha256(self.stored), self.digest):
            raise InvalidState("the saved state is damaged", CLAUSE)
        return self.stored


NOTHING = SeparatePart.of(b"")


def pack(magic: bytes, main: bytes, separate: SeparatePart = NOTHING) -> bytes:
    """Wrap two parts: magic, uint16 version, main part, digest of the separate part, digest so far, separate part."""
    head = magic + uint16(STATE_VERSION) + vector(main) + separate.digest
    return head + sha256(head) + separate.stored


def unpack(magic: bytes, data: bytes) -> tuple[bytes, SeparatePart]:
    """Return the two parts. Raises InvalidState for a damaged envelope, NewerStateVersion for a newer format.

    The digests find damage, not manipulation: encrypting and authenticating the state is the caller's duty.
    """
    if not data.startswith(magic):
        raise InvalidState("the saved state is damaged", CLAUSE)
    reader = Reader(data)
    reader.fixed(len(magic))
    version = reader.uint16()
    if version > STATE_VERSION:
        raise NewerStateVersion("the saved state was written by a newer version", CLAUSE)
    if version < STATE_VERSION:
        raise InvalidState("the saved state has a version that is no longer read", CLAUSE)
    main, separate_digest = reader.vector(), reader.fixed(HASH_BYTES)
    head = reader.since(0)
    if not hmac.compare_digest(sha256(head), reader.fixed(HASH_BYTES)):
        raise InvalidState("the saved state is damaged", CLAUSE)
    return main, SeparatePart(data[reader.position :], separate_digest)


@contextmanager
def checked() -> Iterator[None]:
    """Turn every error while a saved state is read into an InvalidState."""
    try:
        yield
    except InvalidState:
        raise
    except MlsError as error:
        raise InvalidState("the saved state contradicts itself", error.clause) from None
