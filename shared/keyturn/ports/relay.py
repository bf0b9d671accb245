"""Relays: external Nostr relays that also carry the service's messages. They store and forward, and are not trusted.

Messages are published from their stored bytes, so publishing them again changes nothing (docs/protocol.md §12).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class PublishResult(StrEnum):
    """The result of publishing one event at one relay."""

    ACCEPTED = "accepted"
    """The relay confirmed that it has the event."""
    REFUSED = "refused"
    """The relay refuses the event, and would refuse it again."""
    UNKNOWN = "unknown"
    """The relay did not answer, or cannot store it now. It may or may not have the event."""


class Relays(Protocol):
    """The relays in the settings."""

    @property
    def urls(self) -> Sequence[str]:
        """Their URLs, ws:// or wss://."""
        ...

    def publish(self, url: str, events: Sequence[str]) -> Sequence[PublishResult]:
        """Publish events (NIP-01 JSON) at one relay, in order. Return one result for each. Raises nothing."""
        ...
