"""Cipher suite 1, MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519: its functions with labels (RFC 9420 §5.1, §5.2, §8)."""

import hashlib
import hmac
from functools import lru_cache

from cryptography.exceptions import InvalidSignature as VerificationError
from cryptography.exceptions import InvalidTag as OpeningError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from . import hpke
from .encoding import uint16, uint32, vector
from .errors import DecryptionFailed, InvalidArgument, InvalidSignature, InvalidTag, MalformedMessage

VERSION = 1
SUITE = 1
HASH_BYTES = 32
KEY_BYTES = 16
NONCE_BYTES = 12
SEED_BYTES = 32
MOST_EXPANDED = 255 * HASH_BYTES
ZERO = bytes(HASH_BYTES)


def sha256(data: bytes) -> bytes:
    """Hash of the suite: 32 bytes."""
    return hashlib.sha256(data).digest()


def mac(key: bytes, data: bytes) -> bytes:
    """MAC of the suite, HMAC-SHA-256: 32 bytes."""
    return hmac.digest(key, data, "sha256")


def check_mac(key: bytes, data: bytes, tag: bytes, clause: str) -> None:
    """Compare in constant time. Raises InvalidTag when `tag` is not the MAC."""
    # In constant time: a tag is a secret until it is sent.
    if not hmac.compare_digest(mac(key, data), tag):
        raise InvalidTag("a tag does not verify", clause)


def _labeled(label: str) -> bytes:
    return vector(b"MLS 1.0 " + label.encode())


def ref_hash(label: str, value: bytes) -> bytes:
    """RefHash (RFC 9420 §5.2), bytes, 32. `label` is the complete label."""
    return sha256(vector(label.encode()) + vector(value))


def expand_with_label(secret: bytes, label: str, context: bytes, length: int) -> bytes:
    """ExpandWithLabel (RFC 9420 §8): `length` bytes. Raises InvalidArgument above 8160."""
    if not 0 <= length <= MOST_EXPANDED:
        raise InvalidArgument("more bytes than the key derivation function can give", "RFC 5869 §2.3")
    return hpke.expand(secret, uint16(length) + _labeled(label) + vector(context), length)


def derive_secret(secret: bytes, label: str) -> bytes:
    """DeriveSecret (RFC 9420 §8): 32 bytes."""
    return expand_with_label(secret, label, b"", HASH_BYTES)


def derive_tree_secret(secret: bytes, label: str, generation: int, length: int) -> bytes:
    """DeriveTreeSecret (RFC 9420 §9.1): `length` bytes."""
    return expand_with_label(secret, label, uint32(generation), length)


@lru_cache(maxsize=4096)
def _verifier(public: bytes) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(public)
    except ValueError:
        raise MalformedMessage("a signature key has the wrong length", "RFC 9420 §5.1.1") from None


# Encodings of the eight points of small order on Curve25519's Edwards form, without the sign bit, non-canonical ones
# included. With such a key, signatures exist that verify for any message, so it proves nothing about its holder.
_SIGN_BIT = 0x80
_SMALL_ORDER = frozenset(
    map(
        bytes.fromhex,
        (
            "0100000000000000000000000000000000000000000000000000000000000000",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        ),
    )
)


def check_signature_key(public: bytes) -> None:
    """Check that an Ed25519 public key (bytes, 32) is usable. Raises MalformedMessage for wrong length or small order.

    RFC 8032 §5.1.7 does not demand it of a verifier. RFC 9420 §16.5 rests on signature keys that only their holders
    can sign with.
    """
    _verifier(public)
    if public[:-1] + bytes([public[-1] & ~_SIGN_BIT]) in _SMALL_ORDER:
        raise MalformedMessage("a signature key is of small order", "RFC 9420 §16.5")


def signing_key(seed: bytes) -> Ed25519PrivateKey:
    """Parse an Ed25519 private key (bytes, 32). Raises InvalidArgument on another length."""
    if len(seed) != SEED_BYTES:
        raise InvalidArgument("a signature seed has 32 bytes", "RFC 8032 §5.1.5")
    return Ed25519PrivateKey.from_private_bytes(seed)


def signature_public(seed: bytes) -> bytes:
    """Public key (bytes, 32) of an Ed25519 private key (bytes, 32)."""
    return signing_key(seed).public_key().public_bytes_raw()


def sign_with_label(seed: bytes, label: str, content: bytes) -> bytes:
    """SignWithLabel (RFC 9420 §5.1.2): 64 bytes."""
    return signing_key(seed).sign(_labeled(label) + vector(content))


def verify_with_label(public: bytes, label: str, content: bytes, signature: bytes) -> None:
    """VerifyWithLabel (RFC 9420 §5.1.2). Raises InvalidSignature when it does not verify."""
    try:
        _verifier(public).verify(signature, _labeled(label) + vector(content))
    except VerificationError:
        raise InvalidSignature("a signature does not verify", "RFC 9420 §5.1.2") from None


def encrypt_with_label(
    public: bytes, label: str, context: bytes, plaintext: bytes, random: hpke.Random
) -> tuple[bytes, bytes]:
    """EncryptWithLabel (RFC 9420 §5.1.3): KEM output (bytes, 32) and ciphertext."""
    return hpke.seal(public, _labeled(label) + vector(context), plaintext, random)


def decrypt_with_label(pair: hpke.KeyPair, label: str, context: bytes, sealed: tuple[bytes, bytes]) -> bytes:
    """DecryptWithLabel (RFC 9420 §5.1.3) of KEM output and ciphertext. Raises DecryptionFailed."""
    return hpke.unseal(pair, _labeled(label) + vector(context), *sealed)


def aead_seal(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    """AES-128-GCM: key (bytes, 16), nonce (bytes, 12)."""
    return AESGCM(key).encrypt(nonce, plaintext, associated)


def aead_open(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    """AES-128-GCM. Raises DecryptionFailed when it does not open."""
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, associated)
    except OpeningError:
        raise DecryptionFailed("a ciphertext does not open", "RFC 9420 §5.1") from None
