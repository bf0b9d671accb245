"""PrivateMessage: encrypted with a one-time key, its sender hidden (RFC 9420 §6.3)."""

from dataclasses import dataclass, field
from typing import Self

from .cipher_suite import HASH_BYTES, KEY_BYTES, NONCE_BYTES, aead_open, aead_seal, expand_with_label
from .encoding import Reader, decode, uint8, uint32, uint64, vector
from .errors import InvalidArgument, MalformedMessage
from .framing import (
    APPLICATION,
    COMMIT,
    MEMBER,
    PRIVATE_MESSAGE,
    PROPOSAL,
    AuthenticatedContent,
    FramedContent,
    Sender,
    encode_body,
    message_header,
    read_auth,
    read_body,
)
from .hpke import Random, draw
from .secret_tree import MessageKey

GUARD_BYTES = 4


@dataclass(frozen=True)
class SenderData:
    """The sender and its key's generation (RFC 9420 §6.3.2). reuse_guard is bytes, 4."""

    leaf_index: int
    generation: int
    reuse_guard: bytes

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a SenderData."""
        return cls(reader.uint32(), reader.uint32(), reader.fixed(GUARD_BYTES))

    def encode(self) -> bytes:
        """Encode as SenderData."""
        return uint32(self.leaf_index) + uint32(self.generation) + self.reuse_guard


def guard_nonce(nonce: bytes, guard: bytes) -> bytes:
    """XOR the reuse guard (bytes, 4) into the first bytes of a nonce (bytes, 12) (RFC 9420 §6.3.1)."""
    return bytes(one ^ other for one, other in zip(nonce, guard, strict=False)) + nonce[GUARD_BYTES:]


def sender_data_keys(secret: bytes, ciphertext: bytes) -> tuple[bytes, bytes]:
    """Key (bytes, 16) and nonce (bytes, 12) of the sender data, from a sample of the ciphertext (RFC 9420 §6.3.2)."""
    sample = ciphertext[:HASH_BYTES]
    key = expand_with_label(secret, "key", sample, KEY_BYTES)
    return key, expand_with_label(secret, "nonce", sample, NONCE_BYTES)


@dataclass(frozen=True)
class PrivateMessage:
    """The encrypted form of an authenticated content."""

    group_id: bytes
    epoch: int
    content_type: int
    authenticated_data: bytes
    sender_data: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a PrivateMessage. Raises MalformedMessage on an unknown content type."""
        head = reader.vector(), reader.uint64(), reader.uint8()
        if head[2] not in (APPLICATION, PROPOSAL, COMMIT):
            raise MalformedMessage("a message is of an unknown content type", "RFC 9420 §6")
        return cls(*head, reader.vector(), reader.vector(), reader.vector())

    @classmethod
    def protect(
        cls, authenticated: AuthenticatedContent, key: MessageKey, secret: bytes, random: Random, padding: int = 0
    ) -> Self:
        """Encrypt with a one-time key. `secret` is the sender data secret, `padding` the number of zero bytes."""
        if padding < 0:
            raise InvalidArgument("padding is not negative", "RFC 9420 §6.3.1")
        content, guard = authenticated.content, draw(random, GUARD_BYTES)
        head = _head(content.group_id, content.epoch, content.content_type)
        plaintext = encode_body(content.body) + authenticated.auth() + bytes(padding)
        nonce = guard_nonce(key.nonce, guard)
        ciphertext = aead_seal(key.key, nonce, plaintext, head + vector(content.authenticated_data))
        sender_data = SenderData(content.sender.index, key.generation, guard).encode()
        sealed = aead_seal(*sender_data_keys(secret, ciphertext), sender_data, head)
        parts = content.authenticated_data, sealed, ciphertext
        return cls(content.group_id, content.epoch, content.content_type, *parts)

    def encode(self) -> bytes:
        """Encode as PrivateMessage."""
        sealed = vector(self.authenticated_data) + vector(self.sender_data) + vector(self.ciphertext)
        return self._head + sealed

    def message(self) -> bytes:
        """Encode as MLSMessage."""
        return message_header(PRIVATE_MESSAGE) + self.encode()

    @property
    def _head(self) -> bytes:
        return _head(self.group_id, self.epoch, self.content_type)

    def open_sender(self, secret: bytes) -> SenderData:
        """Decrypt the sender data with its secret (bytes, 32). Raises DecryptionFailed when it does not open."""
        keys = sender_data_keys(secret, self.ciphertext)
        return decode(SenderData.read, aead_open(*keys, self.sender_data, self._head))

    def open(self, sender: SenderData, key: MessageKey) -> AuthenticatedContent:
        """Decrypt the content with the sender's key of that generation. The caller checks the signature."""
        associated = self._head + vector(self.authenticated_data)
        nonce = guard_nonce(key.nonce, sender.reuse_guard)
        reader = Reader(aead_open(key.key, nonce, self.ciphertext, associated))
        body = read_body(self.content_type, reader)
        auth = read_auth(self.content_type, reader)
        if any(reader.rest()):
            raise MalformedMessage("padding is not all zero", "RFC 9420 §6.3.1")
        member = Sender(MEMBER, sender.leaf_index)
        content = FramedContent(self.group_id, self.epoch, member, self.authenticated_data, body)
        return AuthenticatedContent(PRIVATE_MESSAGE, content, *auth)


def _head(group_id: bytes, epoch: int, content_type: int) -> bytes:
    """Encode SenderDataAAD, with which PrivateContentAAD starts too (RFC 9420 §6.3)."""
    return vector(group_id) + uint64(epoch) + uint8(content_type)
