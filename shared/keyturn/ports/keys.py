"""Keys that never leave their store: Cloud KMS in production, a key file (mode 0600) on one machine.

Every operation names an exact key version. The newest version signs and seals, every enabled one verifies and unseals.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.proofs.jwk import PublicKey


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


class TokenSigner(Protocol):
    """Signatures of one algorithm: ES256 (RFC 7518 §3.4) or RS256 (§3.3)."""

    @property
    def algorithm(self) -> str:
        """The algorithm's name in JWS."""
        ...

    def current(self) -> str:
        """Return the `kid` that signs now."""
        ...

    def sign(self, kid: str, data: bytes) -> bytes:
        """Return the signature, for ES256 r and s (64 bytes). Raises `KeyRefused` if the key is unknown or disabled."""
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
    """An operator's administration of key versions. No function has it.

    A purpose is "mac", "seal", "sign" or "sign_rs256".
    """

    def enabled(self, purpose: str) -> Sequence[NamedKey]:
        """Return the enabled key versions of a purpose, newest first."""
        ...

    def kid_of(self, name: str) -> str:
        """Return the `kid` of an enabled version of a signing key, "" for any other name."""
        ...

    def add_version(self, purpose: str) -> str:
        """Add a key version, which becomes the current one. Return its name."""
        ...

    def disable(self, name: str) -> None:
        """Disable a key version. Raises `KeyRefused` if there is none of that name."""
        ...
