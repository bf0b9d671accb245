"""The key schedule: group context, epoch secrets, exporter, transcript hashes (RFC 9420 §8)."""

from dataclasses import dataclass, field, replace
from typing import Self

from .cipher_suite import (
    HASH_BYTES,
    KEY_BYTES,
    NONCE_BYTES,
    SUITE,
    VERSION,
    ZERO,
    aead_open,
    aead_seal,
    derive_secret,
    expand_with_label,
    mac,
    sha256,
)
from .encoding import Reader, uint16, uint64, vector
from .errors import UnsupportedFeature
from .extensions import Extensions, encode_extensions, read_extensions
from .hpke import KeyPair, extract


@dataclass(frozen=True)
class GroupContext:
    """What all members of an epoch agree on (RFC 9420 §8.1)."""

    group_id: bytes
    epoch: int
    tree_hash: bytes
    confirmed_transcript_hash: bytes
    extensions: Extensions

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a GroupContext. Raises UnsupportedFeature on another version or cipher suite."""
        if (reader.uint16(), reader.uint16()) != (VERSION, SUITE):
            raise UnsupportedFeature("the group has another version or cipher suite", "RFC 9420 §8.1")
        group_id, epoch = reader.vector(), reader.uint64()
        return cls(group_id, epoch, reader.vector(), reader.vector(), read_extensions(reader))

    def encode(self) -> bytes:
        """Encode as GroupContext."""
        header = uint16(VERSION) + uint16(SUITE) + vector(self.group_id) + uint64(self.epoch)
        hashes = vector(self.tree_hash) + vector(self.confirmed_transcript_hash)
        return header + hashes + encode_extensions(self.extensions)


@dataclass(frozen=True)
class EpochSecrets:
    """The secrets of one epoch (RFC 9420 §8, table 4), each bytes, 32.

    Holds neither the epoch secret nor, once the secret tree uses it, the encryption secret.
    """

    sender_data: bytes = field(repr=False)
    encryption: bytes = field(repr=False)
    exporter: bytes = field(repr=False)
    external: bytes = field(repr=False)
    confirmation_key: bytes = field(repr=False)
    membership_key: bytes = field(repr=False)
    resumption_psk: bytes = field(repr=False)
    epoch_authenticator: bytes = field(repr=False)
    init: bytes = field(repr=False)

    @classmethod
    def derive(cls, epoch_secret: bytes) -> Self:
        """Derive all of them from the epoch secret (bytes, 32)."""
        labels = "sender data", "encryption", "exporter", "external", "confirm", "membership", "resumption"
        return cls(*(derive_secret(epoch_secret, label) for label in (*labels, "authentication", "init")))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read saved secrets. The encryption secret is never saved."""
        parts = [reader.fixed(HASH_BYTES) for _ in range(8)]
        return cls(parts[0], b"", *parts[1:])

    def encode(self) -> bytes:
        """Encode to be saved, without the encryption secret."""
        keys = self.sender_data + self.exporter + self.external + self.confirmation_key + self.membership_key
        return keys + self.resumption_psk + self.epoch_authenticator + self.init

    def without_encryption(self) -> Self:
        """Forget the encryption secret, from which every message key of the epoch would follow (RFC 9420 §9.2)."""
        return replace(self, encryption=b"")

    def export(self, label: str, context: bytes, length: int) -> bytes:
        """MLS-Exporter (RFC 9420 §8.5): `length` bytes."""
        return expand_with_label(derive_secret(self.exporter, label), "exported", sha256(context), length)

    def external_public(self) -> bytes:
        """Public key of the external key pair (RFC 9420 §8.3): bytes, 32."""
        return KeyPair.derive(self.external).public

    def confirmation_tag(self, confirmed_transcript_hash: bytes) -> bytes:
        """Compute the confirmation tag (RFC 9420 §6.1): bytes, 32."""
        return mac(self.confirmation_key, confirmed_transcript_hash)


@dataclass(frozen=True)
class Joiner:
    """The joiner secret with the PSK secret: where a Welcome enters the key schedule. Both are bytes, 32."""

    joiner_secret: bytes = field(repr=False)
    psk_secret: bytes = field(default=ZERO, repr=False)

    @classmethod
    def advance(cls, init_secret: bytes, commit_secret: bytes, context: bytes, psk_secret: bytes = ZERO) -> Self:
        """Derive from the previous epoch's init secret. `context` is the encoded new GroupContext (RFC 9420 §8)."""
        # Both secrets enter: the old epoch's members and the commit's recipients, so a removed member lacks one (§8).
        mixed = extract(init_secret, commit_secret)
        return cls(expand_with_label(mixed, "joiner", context, HASH_BYTES), psk_secret)

    @property
    def _member_secret(self) -> bytes:
        return extract(self.joiner_secret, self.psk_secret)

    @property
    def welcome_secret(self) -> bytes:
        """Welcome secret: bytes, 32."""
        return derive_secret(self._member_secret, "welcome")

    def epoch(self, context: bytes) -> EpochSecrets:
        """Secrets of the epoch with that encoded GroupContext."""
        return EpochSecrets.derive(expand_with_label(self._member_secret, "epoch", context, HASH_BYTES))

    def _welcome_keys(self) -> tuple[bytes, bytes]:
        secret = self.welcome_secret
        nonce = expand_with_label(secret, "nonce", b"", NONCE_BYTES)
        return expand_with_label(secret, "key", b"", KEY_BYTES), nonce

    def seal_group_info(self, group_info: bytes) -> bytes:
        """Encrypt a GroupInfo for a Welcome (RFC 9420 §12.4.3.1)."""
        return aead_seal(*self._welcome_keys(), group_info, b"")

    def open_group_info(self, sealed: bytes) -> bytes:
        """Decrypt a Welcome's GroupInfo (RFC 9420 §12.4.3.1). Raises DecryptionFailed when it does not open."""
        return aead_open(*self._welcome_keys(), sealed, b"")


def confirmed_hash(interim: bytes, commit: bytes) -> bytes:
    """Advance the confirmed transcript hash (RFC 9420 §8.2) by an encoded ConfirmedTranscriptHashInput: 32 bytes."""
    return sha256(interim + commit)


def interim_hash(confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """Advance the interim transcript hash (RFC 9420 §8.2): 32 bytes."""
    return sha256(confirmed + vector(confirmation_tag))
