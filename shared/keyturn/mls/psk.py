"""Pre-shared keys: their ids, and the secret that they add to an epoch (RFC 9420 §8.4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from .cipher_suite import HASH_BYTES, ZERO, expand_with_label
from .encoding import Reader, uint8, uint16, uint64, vector
from .errors import MalformedMessage, UnknownPsk
from .hpke import extract

EXTERNAL, RESUMPTION = 1, 2
APPLICATION, REINIT, BRANCH = 1, 2, 3


@dataclass(frozen=True)
class PskId:
    """A PreSharedKeyID: external (usage 0, `name` the psk_id) or resumption (`name` the group id, and epoch)."""

    kind: int
    usage: int
    name: bytes
    epoch: int
    nonce: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a PreSharedKeyID."""
        kind = reader.uint8()
        if kind == EXTERNAL:
            return cls(kind, 0, reader.vector(), 0, reader.vector())
        usage = reader.uint8()
        if kind != RESUMPTION or usage not in (APPLICATION, REINIT, BRANCH):
            raise MalformedMessage("a pre-shared key is of no known type", "RFC 9420 §8.4")
        return cls(kind, usage, reader.vector(), reader.uint64(), reader.vector())

    def encode(self) -> bytes:
        """Encode as PreSharedKeyID."""
        name = vector(self.name)
        if self.kind == RESUMPTION:
            name = uint8(self.usage) + name + uint64(self.epoch)
        return uint8(self.kind) + name + vector(self.nonce)


@dataclass(frozen=True)
class PskSource:
    """Where pre-shared keys are found: external ones by id, resumption ones by group id and epoch."""

    external: Mapping[bytes, bytes]
    resumption: Mapping[tuple[bytes, int], bytes]

    def __repr__(self) -> str:
        return "PskSource()"

    def find(self, psk_id: PskId) -> bytes:
        """Return the key. Raises UnknownPsk when it is not here."""
        if psk_id.kind == EXTERNAL:
            key = self.external.get(psk_id.name)
        else:
            key = self.resumption.get((psk_id.name, psk_id.epoch))
        if key is None:
            raise UnknownPsk("a pre-shared key is not at hand", "RFC 9420 §12.4.2")
        return key

    def secret(self, psk_ids: Sequence[PskId]) -> bytes:
        """psk_secret of the keys in that order. Raises UnknownPsk when one is not here."""
        return psk_secret([(one, self.find(one)) for one in psk_ids])


def psk_secret(keys: Sequence[tuple[PskId, bytes]]) -> bytes:
    """Combine pre-shared keys (RFC 9420 §8.4): 32 bytes, all zero when there are none."""
    secret = ZERO
    for index, (identity, key) in enumerate(keys):
        label = identity.encode() + uint16(index) + uint16(len(keys))
        secret = extract(expand_with_label(extract(ZERO, key), "derived psk", label, HASH_BYTES), secret)
    return secret
