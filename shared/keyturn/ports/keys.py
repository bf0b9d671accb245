"""Keys that never leave their store: Cloud KMS in production, a key file (mode 0600) on one machine.

Every operation names an exact key version. The newest version signs and seals, every enabled one verifies and unseals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class KeyUnavailable(Exception):  # noqa: N818 - HTTP's word for this state (503)
    """The key service does not answer, or the key file is damaged, missing or of a newer format."""


class KeyDamaged(KeyUnavailable):
    """The key file is damaged: only a backup helps."""


class KeyRefused(Exception):  # noqa: N818 - a refusal is no failure of ours
    """The key version is unknown or disabled, or the sealed bytes do not match the key and the associated data."""


class MacKey(Protocol):
    """HMAC-SHA-256 under an exact key version."""

    def current(self) -> str:
        """Return the name of the key version for new secrets (`mac_key_ref`)."""
        ...

    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        """Return the tag (32 bytes) of `data` under that version. Raises `KeyRefused` if it is unknown or disabled."""
        ...

    def verify(self, mac_key_ref: str, data: bytes, tag: bytes) -> bool:
        """Return whether `tag` is right, compared in constant time. Raises `KeyRefused` as `sign` does."""
        ...


class Sealer(Protocol):
    """Envelope encryption with associated data."""

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return the sealed bytes. They contain the name of their key version."""
        ...

    def unseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext. Raises `KeyRefused` unless both arguments are unchanged since the sealing."""
        ...


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One ES256 verification key: its id (`kid`) and its point, x and y (32 bytes each)."""

    kid: str
    x: bytes = field(repr=False)
    y: bytes = field(repr=False)


class TokenSigner(Protocol):
    """ES256 (ECDSA, P-256, SHA-256; RFC 7518 §3.4)."""

    def current(self) -> str:
        """Return the `kid` that signs now."""
        ...

    def sign(self, kid: str, data: bytes) -> bytes:
        """Return the signature, r and s, 64 bytes. Raises `KeyRefused` if the key is unknown or disabled."""
        ...

    def public_keys(self) -> Sequence[PublicKey]:
        """Return every key that still verifies, newest first."""
        ...


class NamedKey(Protocol):
    """One enabled key version."""

    @property
    def name(self) -> str:
        """The version's full name. For the MAC key it is the `mac_key_ref`."""
        ...


class KeyRing(Protocol):
    """An operator's administration of key versions. No function has it. A purpose is "mac", "seal" or "sign"."""

    def enabled(self, purpose: str) -> Sequence[NamedKey]:
        """Return the enabled key versions of a purpose, newest first."""
        ...

    def add_version(self, purpose: str) -> str:
        """Add a key version, which becomes the current one. Return its name."""
        ...

    def disable(self, name: str) -> None:
        """Disable a key version. Raises `KeyRefused` if there is none of that name."""
        ...
