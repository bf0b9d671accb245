"""Identity: the authentication of a person by an identity provider (docs/protocol.md §7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from datetime import datetime


CLOCK_TOLERANCE_SECONDS: Final = 10
"""How much the clocks of provider and service may differ when the times of an ID token are checked."""


class IdentityRefused(Exception):  # noqa: N818 - a refusal is no failure of ours
    """The token is not accepted. The text is a fixed slug for the audit and is never shown to the caller."""


class Identity(Protocol):
    """One identity provider."""

    @property
    def name(self) -> str:
        """The provider's name in settings. One for tests must say so in its name."""
        ...

    def subject(self, token: str, now: datetime) -> str:
        """Return the provider's id of the authenticated person.

        Raises `IdentityRefused` for a token that is malformed, forged, expired, revoked, of another issuer or audience,
        or of a disabled user, and `Unavailable` if the provider cannot be reached.
        """
        ...
