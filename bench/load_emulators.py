"""The emulators' side of `make load`: the functions in this process, and the count of dead letters."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from google.api_core.exceptions import DeadlineExceeded
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from keyturn.entry.functions import FUNCTIONS
from keyturn.local.emulator_backend import EmulatorBackend
from keyturn.local.emulator_topics import dead
from keyturn.ports.authorisation import UNSAFE_NO_ATTESTATION as UNSAFE
from keyturn.ports.triggers import SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyturn.entry.composition.suite import Suite
    from keyturn.entry.config.settings import Settings
    from keyturn.local.machine import Worker

_PULL_SECONDS = 2.0


@dataclass(frozen=True)
class LoadBackend(EmulatorBackend):
    """Emulators, and the functions in this process, so that their calls can be counted."""

    authoriser: str = UNSAFE

    @contextmanager
    def run_functions(self, settings: Settings) -> Iterator[Callable[[], Sequence[Worker]]]:
        """Serve the functions in this process."""
        del settings
        self.functions.update(FUNCTIONS)
        yield list


def count_dead(suite: Suite) -> int:
    """Return how many messages are dead letters, at most 100 for each function."""
    cloud = suite.settings.cloud
    if cloud is None:
        return 0
    with grpc.insecure_channel(cloud.pubsub_emulator or "") as channel:
        subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
        names = (f"projects/{cloud.project}/subscriptions/{dead(item.function)}" for item in SUBSCRIPTIONS)
        return sum(_waiting(subscriber, name) for name in names)


def _waiting(subscriber: SubscriberClient, name: str) -> int:
    try:
        answer = subscriber.pull(subscription=name, max_messages=100, timeout=_PULL_SECONDS)
    except DeadlineExceeded:  # the emulator waits for a message, and there is none
        return 0
    return len(answer.received_messages)
