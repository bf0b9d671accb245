"""Bus: publish identifiers to a topic. It is no part of a commit, and delivers at least once, late, in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class BusUnavailable(Exception):  # noqa: N818 - HTTP's word for this state (503)
    """The message was not confirmed: it may or may not have been published. The trigger is delivered again."""


class Bus(Protocol):
    """The publisher's side of a bus."""

    def publish(self, topic: str, message: Mapping[str, str]) -> None:
        """Publish identifiers (never a secret) to `topic`. Raises `BusUnavailable` if that is not confirmed."""
        ...
