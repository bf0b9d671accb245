"""Bus: publish identifiers to a topic; never part of a commit, delivered at least once, late and in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class BusUnavailable(Exception):  # noqa: N818 - named after HTTP's own word for it
    """The publish was not confirmed: it may or may not have happened. Whoever triggered it tries again."""


class Bus(Protocol):
    """A topic's sending end."""

    def publish(self, topic: str, message: Mapping[str, str]) -> None:
        """Publish identifiers (never a secret) to `topic`; `BusUnavailable` when not confirmed."""
        ...
