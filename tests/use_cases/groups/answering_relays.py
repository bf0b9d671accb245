"""Relays in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.ports.relay import PublishResult


@dataclass
class Answering:
    """Relays in memory: what each says to all, and what arrived there."""

    says: dict[str, PublishResult]
    arrived: dict[str, list[str]] = field(default_factory=dict)

    @property
    def urls(self) -> Sequence[str]:
        return tuple(self.says)

    def publish(self, url: str, events: Sequence[str]) -> Sequence[PublishResult]:
        self.arrived.setdefault(url, []).extend(events)
        return [self.says[url]] * len(events)
