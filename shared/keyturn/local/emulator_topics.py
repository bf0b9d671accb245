"""The topics and subscriptions of a Pub/Sub emulator, as terraform/messaging.tf makes them in a project.

A topic's messages are pushed to their door; one that the door does not take comes again with back-off, and ends in the
dead-letter topic, whose subscription keeps it. Made twice, all is as made once; an address that changed is the new one.
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

MOST_ATTEMPTS = 20
FIRST_DELAY_SECONDS = 1
LONGEST_DELAY_SECONDS = 120
ACK_DEADLINE_SECONDS = 150
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class CloudTopics:
    """The topics of one project in the emulator at `host`; `endpoint` gives the address of a door for pushes."""

    host: str
    project: str
    endpoint: Callable[[str], str]

    def make(self) -> None:
        """Make what there is not yet; `LocalError` if the emulator does not."""
        with grpc.insecure_channel(self.host) as channel:
            publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
            subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=channel))
            try:
                for subscription in SUBSCRIPTIONS:
                    self._topics(publisher, subscription)
                    self._subscriptions(subscriber, subscription)
            except (GoogleAPICallError, RetryError):
                raise LocalError(
                    "The Pub/Sub emulator does not do as it is told.", "Is this its address? Start it again."
                ) from None

    def _topics(self, publisher: PublisherClient, subscription: Subscription) -> None:
        for topic in (subscription.topic, dead(subscription.topic)):
            _once(publisher.create_topic, {"name": self._topic(topic)})

    def _subscriptions(self, subscriber: SubscriberClient, subscription: Subscription) -> None:
        name, push = self._subscription(subscription.function), {"push_endpoint": self.endpoint(subscription.function)}
        wanted = {
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
        kept = {"name": self._subscription(dead(subscription.function)), "topic": self._topic(dead(subscription.topic))}
        for request in (wanted, kept):
            _once(subscriber.create_subscription, request)
        subscriber.modify_push_config(request={"subscription": name, "push_config": push}, timeout=_TIMEOUT_SECONDS)

    def _topic(self, topic: str) -> str:
        return f"projects/{self.project}/topics/{topic}"

    def _subscription(self, name: str) -> str:
        return f"projects/{self.project}/subscriptions/{name}"


def dead(name: str) -> str:
    """Return what the dead-letter topic of a topic, or the subscription that keeps its messages, is called."""
    return f"{name}-dead"


def _once(make: Callable[..., object], request: Mapping[str, object]) -> None:
    try:
        make(request=request, timeout=_TIMEOUT_SECONDS)
    except AlreadyExists:
        return  # by an earlier run on the same emulator
