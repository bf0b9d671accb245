"""Identity: who a person is, by the word of an identity provider (protocol.md §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime


class IdentityRefused(Exception):  # noqa: N818 - a refusal is no failure of ours
    """The token proves nobody; the text is a slug of ours for the audit, never for the caller."""


class Identity(Protocol):
    """One identity provider."""

    @property
    def name(self) -> str:
        """The provider's name in settings; a test authority says so in it."""
        ...

    def subject(self, token: str, now: datetime) -> str:
        """Return the provider's id of the person whom the token speaks for.

        `IdentityRefused` for a token that is malformed, forged, expired, revoked, of another issuer or audience, or of
        a disabled user; `Unavailable` when the provider cannot be asked.
        """
        ...
