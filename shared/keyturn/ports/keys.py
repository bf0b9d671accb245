"""Keys that never leave where they live: Cloud KMS in production, a 0600 key file on one machine.

Every port names exact key versions: the newest signs and seals, every enabled one verifies and opens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class KeyUnavailable(Exception):  # noqa: N818 - named after HTTP's own word for it
    """The key service does not answer, or the key file is damaged, missing or of a newer version."""


class KeyRefused(Exception):  # noqa: N818 - a refusal is no failure of ours
    """The named key version is unknown or disabled, or the sealed bytes are not of this key and associated data."""


class MacKey(Protocol):
    """HMAC-SHA-256 by exact key version."""

    def current(self) -> str:
        """Return the name of the key version that new secrets use (`mac_key_ref`)."""
        ...

    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        """Return the tag (32 bytes) of `data` under that version; `KeyRefused` if it is unknown or disabled."""
        ...

    def verify(self, mac_key_ref: str, data: bytes, tag: bytes) -> bool:
        """Return whether `tag` is right, in constant time; `KeyRefused` if the version is unknown or disabled."""
        ...


class Sealer(Protocol):
    """Envelope encryption with associated data."""

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return sealed bytes that name their own key version."""
        ...

    def unseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext; `KeyRefused` unless both are exactly what was sealed."""
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
        """Return the signature, r and s, 64 bytes; `KeyRefused` if the key is unknown or disabled."""
        ...

    def public_keys(self) -> Sequence[PublicKey]:
        """Return every key whose signatures are still good, newest first."""
        ...


class NamedKey(Protocol):
    """One enabled key version."""

    @property
    def name(self) -> str:
        """The version's full name; for the MAC key it is the `mac_key_ref`."""
        ...


class KeyRing(Protocol):
    """What an operator does with key versions; no door may. A purpose is "mac", "seal" or "sign"."""

    def enabled(self, purpose: str) -> Sequence[NamedKey]:
        """Return the enabled key versions of a purpose, newest first."""
        ...

    def add_version(self, purpose: str) -> str:
        """Add a key version, which is the current one from now on; return its name."""
        ...

    def disable(self, name: str) -> None:
        """Disable a key version; `KeyRefused` if there is none of that name."""
        ...
