"""The envelope of everything that is saved: magic, version, body, and a digest that makes it check itself."""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager

from .cipher_suite import HASH_BYTES, sha256
from .encoding import uint16
from .errors import InvalidState, MlsError, NewerStateVersion

STATE_VERSION = 1
CLAUSE = "keyturn.mls README, saved state"


def pack(magic: bytes, body: bytes) -> bytes:
    """Wrap a body: magic, uint16 version, body, SHA-256 of all that precedes."""
    head = magic + uint16(STATE_VERSION) + body
    return head + sha256(head)


def unpack(magic: bytes, data: bytes) -> bytes:
    """Return the body. Raises InvalidState for a damaged envelope, NewerStateVersion for a newer format.

    The digest finds damage, not malice: sealing the state is the caller's duty.
    """
    head, digest = data[:-HASH_BYTES], data[-HASH_BYTES:]
    if not head.startswith(magic) or not hmac.compare_digest(sha256(head), digest):
        raise InvalidState("the saved state is damaged", CLAUSE)
    version = int.from_bytes(head[len(magic) : len(magic) + 2], "big")
    if version > STATE_VERSION:
        raise NewerStateVersion("the saved state was written by a newer version", CLAUSE)
    if version < STATE_VERSION or len(head) < len(magic) + 2:
        raise InvalidState("the saved state has no known version", CLAUSE)
    return head[len(magic) + 2 :]


@contextmanager
def checked() -> Iterator[None]:
    """Whatever fails while a saved state is put together again is an InvalidState."""
    try:
        yield
    except InvalidState:
        raise
    except MlsError as error:
        raise InvalidState("the saved state contradicts itself", error.clause) from None
