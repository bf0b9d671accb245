"""Relays: outside Nostr relays that also carry what the service says; they store and forward, and are not trusted.

What is published is what is stored already, byte for byte, so that publishing again changes nothing (mls.md, "State and
concurrency").
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class PublishResult(StrEnum):
    """What became of one event at one relay."""

    ACCEPTED = "accepted"
    """The relay said that it has it."""
    REFUSED = "refused"
    """The relay said that it does not take it, and would say so again."""
    UNKNOWN = "unknown"
    """The relay said nothing, or that it can't now: it may or may not have it."""


class Relays(Protocol):
    """The relays that settings name."""

    @property
    def urls(self) -> Sequence[str]:
        """Their addresses, ws:// or wss://."""
        ...

    def publish(self, url: str, events: Sequence[str]) -> Sequence[PublishResult]:
        """Publish events (NIP-01 JSON) at one relay, in order; an outcome for each. Nothing is raised."""
        ...
