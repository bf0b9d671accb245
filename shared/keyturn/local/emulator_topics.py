"""Topics and subscriptions in a Pub/Sub emulator, as terraform/messaging.tf creates them in a project.

A topic's messages are pushed to a function. If the function fails, the message is redelivered with back-off, and after
the last attempt it goes to the dead-letter topic. Creating everything again changes nothing except the push address.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from google.api_core.exceptions import AlreadyExists, GoogleAPICallError, RetryError
from google.protobuf.duration_pb2 import Duration
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from keyturn.local.errors import LocalError
from keyturn.ports.triggers import SUBSCRIPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.ports.triggers import Subscription

# The values of terraform/messaging.tf, so that the emulators behave as the cloud does.
MOST_ATTEMPTS = 20
FIRST_DELAY_SECONDS = 1
LONGEST_DELAY_SECONDS = 120
ACK_DEADLINE_SECONDS = 150
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class EmulatorTopics:
    """The topics of one project in the emulator at `host`. `endpoint(function)` is the URL to push to."""

    host: str
    project: str
    endpoint: Callable[[str], str]

    def create(self) -> None:
        """Create missing topics and subscriptions. `LocalError` if the emulator refuses."""
        with grpc.insecure_channel(self.host) as channel:
            publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            try:
                for subscription in SUBSCRIPTIONS:
                    self._topics(publisher, subscription)
                    self._subscriptions(subscriber, subscription)
            except (GoogleAPICallError, RetryError):
                raise LocalError(
                    "The Pub/Sub emulator refused a request.", "Check its address, or restart it."
                ) from None

    def _topics(self, publisher: PublisherClient, subscription: Subscription) -> None:
        for topic in (subscription.topic, dead(subscription.topic)):
            _create(publisher.create_topic, {"name": self._topic(topic)})

    def _subscriptions(self, subscriber: SubscriberClient, subscription: Subscription) -> None:
        name, push = self._subscription(subscription.function), {"push_endpoint": self.endpoint(subscription.function)}
        main = {
            "name": name,
            "topic": self._topic(subscription.topic),
            "push_config": push,
            "ack_deadline_seconds": ACK_DEADLINE_SECONDS,
            "retry_policy": {
                "minimum_backoff": Duration(seconds=FIRST_DELAY_SECONDS),
                "maximum_backoff": Duration(seconds=LONGEST_DELAY_SECONDS),
            },
            "dead_letter_policy": {
                "dead_letter_topic": self._topic(dead(subscription.topic)),
                "max_delivery_attempts": MOST_ATTEMPTS,
            },
        }
        dead_letters = {
            "name": self._subscription(dead(subscription.function)),
            "topic": self._topic(dead(subscription.topic)),
        }
        for request in (main, dead_letters):
            _create(subscriber.create_subscription, request)
        subscriber.modify_push_config(request={"subscription": name, "push_config": push}, timeout=_TIMEOUT_SECONDS)

    def _topic(self, topic: str) -> str:
        return f"projects/{self.project}/topics/{topic}"

    def _subscription(self, name: str) -> str:
        return f"projects/{self.project}/subscriptions/{name}"


def dead(name: str) -> str:
    """Return the name of a topic's dead-letter topic, or of a function's dead-letter subscription."""
    return f"{name}-dead"


def _create(create: Callable[..., object], request: Mapping[str, object]) -> None:
    try:
        create(request=request, timeout=_TIMEOUT_SECONDS)
    except AlreadyExists:
        return  # from an earlier run on the same emulator
