"""Nostr relays over nostr-sdk, with one connection per batch.

nostr-sdk's errors and a relay's answers quote the published events. So their texts are never raised, logged or stored.
Only an enumerated result leaves this module.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.ports.relay import PublishResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nostr_sdk import Client, RelayUrl, SendEventOutput

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 5.0
BATCH_SECONDS = 20.0
"""How long one batch may take, however many events it has. The outbox publishes the rest later."""

_FINAL = re.compile(r"\b(auth-required|blocked|invalid|mute|pow|restricted):")
"""NIP-01, "from relay to client": prefixes of an `OK false` that a retry would not change."""


class NostrRelays:
    """Implements `Relays`. Connecting may take `connect_seconds`, the answer to each event `answer_seconds`.

    A batch may take `batch_seconds` in all.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        connect_seconds: float = CONNECT_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        batch_seconds: float = BATCH_SECONDS,
    ) -> None:
        self.urls = tuple(urls)
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._batch_seconds = batch_seconds

    def publish(self, url: str, events: Sequence[str]) -> Sequence[PublishResult]:
        """Publish events at one relay, in order. After one without an answer, all later ones are unknown too."""
        outcomes: list[PublishResult] = []
        seconds = min(self._batch_seconds, self._connect_seconds + self._answer_seconds * (len(events) + 1))
        with suppress(Exception):  # after any error the unconfirmed events are unknown, and its text must not leave
            asyncio.run(asyncio.wait_for(self._publish(url, events, outcomes), seconds))
        return outcomes + [PublishResult.UNKNOWN] * (len(events) - len(outcomes))

    async def _publish(self, url: str, events: Sequence[str], outcomes: list[PublishResult]) -> None:
        from nostr_sdk import ClientBuilder, RelayUrl  # noqa: PLC0415 - only where relays are configured

        client, relay = ClientBuilder().build(), RelayUrl.parse(url)
        try:
            await client.add_relay(relay)
            connection = await client.try_connect(timedelta(seconds=self._connect_seconds))
            for event in events if relay in connection.success else ():
                outcomes.append(await self._publish_one(client, relay, event))
                if outcomes[-1] is PublishResult.UNKNOWN:  # an unresponsive relay costs one time-out
                    return
        finally:
            await client.shutdown()

    async def _publish_one(self, client: Client, relay: RelayUrl, event: str) -> PublishResult:
        from nostr_sdk import Event  # noqa: PLC0415 - the same

        publishing = client.send_event(Event.from_json(event), ok_timeout=timedelta(seconds=self._answer_seconds))
        return _outcome(await asyncio.wait_for(publishing, self._answer_seconds), relay)


def _outcome(output: SendEventOutput, relay: RelayUrl) -> PublishResult:
    if relay in output.success:
        return PublishResult.ACCEPTED
    return PublishResult.REFUSED if _FINAL.search(output.failed.get(relay, "")) else PublishResult.UNKNOWN
