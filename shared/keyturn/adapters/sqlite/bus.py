"""The message bus of one machine. Publishing writes one outbox row per function that subscribes to the topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.ports.bus import BusUnavailable
from keyturn.ports.store import StoreError
from keyturn.ports.triggers import SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyturn.adapters.sqlite.store import SqliteStore
    from keyturn.ports.triggers import Subscription


class LocalBus:
    """Implements `keyturn.ports.bus.Bus` over the outbox of an embedded store. Durable once `publish` returns."""

    def __init__(self, store: SqliteStore, subscriptions: Sequence[Subscription] = SUBSCRIPTIONS) -> None:
        self._store = store
        self._subscriptions = tuple(subscriptions)

    def publish(self, topic: str, message: Mapping[str, str]) -> None:
        """Publish identifiers (never a secret) to `topic`.

        `BusUnavailable` if the message is not confirmed, or if the topic has no subscription.
        """
        functions = [subscription.function for subscription in self._subscriptions if subscription.topic == topic]
        if not functions:
            raise BusUnavailable("no such topic")
        try:
            self._store.publish([(function, topic, message) for function in functions])
        except StoreError as error:
            raise BusUnavailable("the message may not have been stored") from error
