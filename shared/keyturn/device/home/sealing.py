"""Sealing at rest: a passphrase wraps a random data key, the data key seals the rest.

scrypt (RFC 7914) makes guessing the passphrase cost memory; AES-256-GCM (NIST SP 800-38D) binds each sealed text to
associated data that says what it is. Nonces are random, 96 bits: good for the 2**32 writes that no device ever makes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

if TYPE_CHECKING:
    from collections.abc import Callable

KEY_BYTES = 32
SALT_BYTES = 16
_NONCE_BYTES = 12
_MAX_N = 2**20
_MAX_R = 16
_MAX_P = 16


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """RFC 7914 §2: `n` rounds (a power of two), block size `r`, parallelisation `p`; 128·n·r bytes of memory."""

    n: int = 2**15
    r: int = 8
    p: int = 1

    def is_sane(self) -> bool:
        """Return whether a file may ask for this much: a changed one must not eat the machine."""
        power_of_two = self.n & (self.n - 1) == 0
        return 1 < self.n <= _MAX_N and power_of_two and 1 <= self.r <= _MAX_R and 1 <= self.p <= _MAX_P


DEFAULT_COST = ScryptCost()


def key_from_passphrase(passphrase: str, salt: bytes, cost: ScryptCost) -> bytes:
    """Return the key (`bytes, 32`) that wraps the data key."""
    kdf = Scrypt(salt=salt, length=KEY_BYTES, n=cost.n, r=cost.r, p=cost.p)
    # A terminal may hand over bytes that are no UTF-8, as surrogates: they count as they are, and never as an error.
    return kdf.derive(passphrase.encode("utf-8", "surrogatepass"))


def seal(key: bytes, plaintext: bytes, associated_data: bytes, random: Callable[[int], bytes]) -> bytes:
    """Return nonce and ciphertext; `key` is `bytes, 32`."""
    nonce = random(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated_data)


def unseal(key: bytes, sealed: bytes, associated_data: bytes) -> bytes | None:
    """Return the plaintext, None unless all three are exactly what was sealed with."""
    if len(sealed) < _NONCE_BYTES:
        return None
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated_data)
    except InvalidTag:
        return None
