"""HPKE base mode, single shot: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM (RFC 9180).

Written by hand on primitives because the ephemeral key must come from the caller's randomness, and because
MLS derives key pairs from secrets (RFC 9180 §7.1.3).
"""

import functools
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from .errors import DecryptionFailed, InvalidArgument, MalformedMessage

Random = Callable[[int], bytes]
KEM_SUITE = b"KEM\x00\x20"
HPKE_SUITE = b"HPKE\x00\x20\x00\x01\x00\x01"
NO_SALT = b""
KEY_BYTES = 32
# Clamping (RFC 7748 §5) makes every private key a multiple of 8 other than 0, this one too.
ANY_PRIVATE = bytes(KEY_BYTES)


def draw(random: Random, size: int) -> bytes:
    """Take `size` bytes from the caller's randomness. Raises InvalidArgument when it gives another number of them."""
    data = bytes(random(size))
    if len(data) != size:
        raise InvalidArgument("the source of randomness returned too few or too many bytes", "RFC 9420 §16.3")
    return data


def extract(salt: bytes, secret: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869 §2.2): 32 bytes."""
    return hmac.digest(salt, secret, "sha256")


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-256 (RFC 5869 §2.3): `length` bytes, at most 8160."""
    block = output = b""
    for counter in range(1, -(-length // 32) + 1):
        block = hmac.digest(key, block + info + bytes([counter]), "sha256")
        output += block
    return output[:length]


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, secret: bytes) -> bytes:
    return extract(salt, b"HPKE-v1" + suite + label + secret)


def _labeled_expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, length)


@functools.lru_cache(maxsize=4096)
def parse_public(public: bytes) -> X25519PublicKey:
    """Parse an X25519 public key (bytes, 32). Raises MalformedMessage on another length."""
    if len(public) != KEY_BYTES:
        raise MalformedMessage("an HPKE public key has the wrong length", "RFC 9420 §5.1.1")
    return X25519PublicKey.from_public_bytes(public)


@dataclass(frozen=True)
class KeyPair:
    """An X25519 key pair: private (bytes, 32) and public (bytes, 32).

    The public half is computed when it is first needed: a state that only sends loads its key pairs without using them.
    """

    private: bytes = field(repr=False)

    @classmethod
    def of(cls, private: bytes) -> Self:
        """Make a key pair from a private key (bytes, 32). Raises MalformedMessage on another length."""
        if len(private) != KEY_BYTES:
            raise MalformedMessage("an HPKE private key has the wrong length", "RFC 9420 §5.1.1")
        return cls(private)

    @functools.cached_property
    def public(self) -> bytes:
        """Public key: bytes, 32."""
        return X25519PrivateKey.from_private_bytes(self.private).public_key().public_bytes_raw()

    @classmethod
    def derive(cls, secret: bytes) -> Self:
        """DeriveKeyPair of X25519 (RFC 9180 §7.1.3)."""
        key = _labeled_extract(KEM_SUITE, NO_SALT, b"dkp_prk", secret)
        return cls.of(_labeled_expand(KEM_SUITE, key, b"sk", b"", KEY_BYTES))

    @classmethod
    def generate(cls, random: Random) -> Self:
        """Draw a fresh key pair."""
        return cls.derive(draw(random, KEY_BYTES))


def _exchange(private: bytes, public: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(parse_public(public))
    except ValueError:
        raise MalformedMessage("an HPKE public key is of low order", "RFC 9180 §7.1.4") from None


@functools.lru_cache(maxsize=4096)
def check_public(public: bytes) -> None:
    """Check that something can be sealed to a public key. Raises MalformedMessage on another length, or on low order.

    A point of low order gives zero with every private key (RFC 7748 §6.1): once such a key is in a tree, no member
    can make a path any more.
    """
    # The result doesn't matter. The library refuses an exchange that gives zero.
    _exchange(ANY_PRIVATE, public)


def _shared_secret(exchanged: bytes, encapsulated: bytes, recipient: bytes) -> bytes:
    key = _labeled_extract(KEM_SUITE, NO_SALT, b"eae_prk", exchanged)
    return _labeled_expand(KEM_SUITE, key, b"shared_secret", encapsulated + recipient, 32)


PSK_ID_HASH = _labeled_extract(HPKE_SUITE, NO_SALT, b"psk_id_hash", b"")


def _schedule(shared: bytes, info: bytes) -> tuple[AESGCM, bytes]:
    """Key schedule of base mode (RFC 9180 §5.1): the cipher and the nonce of the first and only message."""
    context = b"\x00" + PSK_ID_HASH + _labeled_extract(HPKE_SUITE, NO_SALT, b"info_hash", info)
    secret = _labeled_extract(HPKE_SUITE, shared, b"secret", b"")
    key = _labeled_expand(HPKE_SUITE, secret, b"key", context, 16)
    return AESGCM(key), _labeled_expand(HPKE_SUITE, secret, b"base_nonce", context, 12)


def seal(public: bytes, info: bytes, plaintext: bytes, random: Random) -> tuple[bytes, bytes]:
    """SealBase (RFC 9180 §6.1) with empty associated data: the encapsulated key (bytes, 32) and the ciphertext."""
    ephemeral = KeyPair.generate(random)
    shared = _shared_secret(_exchange(ephemeral.private, public), ephemeral.public, public)
    cipher, nonce = _schedule(shared, info)
    return ephemeral.public, cipher.encrypt(nonce, plaintext, b"")


def unseal(pair: KeyPair, info: bytes, encapsulated: bytes, ciphertext: bytes) -> bytes:
    """OpenBase (RFC 9180 §6.1) with empty associated data. Raises DecryptionFailed when it does not open."""
    shared = _shared_secret(_exchange(pair.private, encapsulated), encapsulated, pair.public)
    cipher, nonce = _schedule(shared, info)
    try:
        return cipher.decrypt(nonce, ciphertext, b"")
    except InvalidTag:
        raise DecryptionFailed("an HPKE ciphertext does not open", "RFC 9180 §5.2") from None
