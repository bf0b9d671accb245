"""Pub/Sub, on Google's own emulator: publishing is confirmed or fails; pushed, refused, pushed again, given up."""

from __future__ import annotations

import json
import queue
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
import pytest
from google.pubsub_v1.services.publisher import PublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from keyturn.adapters.pubsub_bus import BODY, PublishTimeouts, PubsubBus
from keyturn.domain.encodings import base64url_encode
from keyturn.entry.http.cloud_events import CloudEvent
from keyturn.local.emulators import start_pubsub
from keyturn.local.server import Server
from keyturn.ports.bus import BusUnavailable
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import WSGIApplication

TOPIC = "secret-distribution"
IDENTIFIERS = {"client_id": "acme", "rotation_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}
WAIT_SECONDS = 30


@dataclass
class Pushed:
    """One push: where to, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["message"]
        return found


class Inbox:
    """Takes pushes; answers with the statuses given, one each, and with 204 after them."""

    def __init__(self) -> None:
        self.pushed: queue.Queue[Pushed] = queue.Queue()
        self.statuses: dict[str, list[int]] = {}

    def application(self) -> WSGIApplication:
        @Request.application
        def take(request: Request) -> Response:
            self.pushed.put(Pushed(request.path, dict(request.headers), request.get_data()))
            left = self.statuses.get(request.path)
            return Response(status=left.pop(0) if left else 204)

        return take

    def next(self) -> Pushed:
        return self.pushed.get(timeout=WAIT_SECONDS)


class Emulated:
    """A project of its own in the emulator: topics, push subscriptions to an inbox, and the bus."""

    def __init__(self, host: str) -> None:
        self.project = f"test-{uuid4().hex[:12]}"
        self.inbox = Inbox()
        self.server = Server(0, self.inbox.application())
        self.channel = grpc.insecure_channel(host)
        self.publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self.channel))
        self.subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=self.channel))
        self.bus = PubsubBus(self.project, emulator_host=host, timeouts=PublishTimeouts(5, 5))

    def topic(self, topic: str) -> str:
        return str(self.publisher.create_topic(name=f"projects/{self.project}/topics/{topic}").name)

    def push(self, topic: str, **more: object) -> None:
        path = f"{self.server.url}/{topic.rpartition('/')[2]}"
        name = f"projects/{self.project}/subscriptions/sub-{uuid4().hex}"
        self.subscriber.create_subscription(
            request={"name": name, "topic": topic, "push_config": {"push_endpoint": path}, **more}
        )


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    with start_pubsub() as emulator:
        yield emulator.host


@pytest.fixture
def emulated(host: str) -> Iterator[Emulated]:
    opened = Emulated(host)
    opened.server.start()
    yield opened
    opened.server.stop()
    opened.bus.close()
    opened.channel.close()


@pytest.mark.tier("java")
@pytest.mark.xdist_group("pubsub")
def test_published_identifiers_are_pushed_as_attributes(emulated: Emulated) -> None:
    emulated.push(emulated.topic(TOPIC))
    emulated.bus.publish(TOPIC, IDENTIFIERS)
    pushed = emulated.inbox.next()
    fields = CloudEvent({}, pushed.body).message()
    assert {name: fields.text(name) for name in IDENTIFIERS} == IDENTIFIERS
    assert base64url_encode(BODY) == pushed.message["data"].rstrip("=").replace("+", "-").replace("/", "_")


@pytest.mark.tier("java")
@pytest.mark.xdist_group("pubsub")
def test_refused_push_comes_again_as_the_same_message(emulated: Emulated) -> None:
    emulated.inbox.statuses[f"/{TOPIC}"] = [503, 429]
    emulated.push(emulated.topic(TOPIC))
    emulated.bus.publish(TOPIC, IDENTIFIERS)
    pushed = [emulated.inbox.next() for _ in range(3)]
    assert len({push.message["messageId"] for push in pushed}) == 1
    assert len({push.body for push in pushed}) == 1


@pytest.mark.tier("java")
@pytest.mark.xdist_group("pubsub")
def test_message_that_is_always_refused_ends_in_the_dead_letter_topic(emulated: Emulated) -> None:
    dead = emulated.topic("dead-letters")
    emulated.push(dead)
    emulated.inbox.statuses[f"/{TOPIC}"] = [503] * 100
    emulated.push(emulated.topic(TOPIC), dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 5})
    emulated.bus.publish(TOPIC, IDENTIFIERS)
    paths = []
    while "/dead-letters" not in paths:
        pushed = emulated.inbox.next()
        paths.append(pushed.path)
    assert paths.count(f"/{TOPIC}") >= 5
    assert {name: CloudEvent({}, pushed.body).message().text(name) for name in IDENTIFIERS} == IDENTIFIERS


@pytest.mark.tier("java")
@pytest.mark.xdist_group("pubsub")
def test_topic_that_is_not_there_confirms_nothing(emulated: Emulated) -> None:
    with pytest.raises(BusUnavailable) as raised:
        emulated.bus.publish("never-made", IDENTIFIERS)
    assert emulated.project not in str(raised.value)
    assert raised.value.__suppress_context__


def test_nobody_there_confirms_nothing() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and never listens
        bus = PubsubBus("p", emulator_host=f"127.0.0.1:{bound.getsockname()[1]}", timeouts=PublishTimeouts(0.2, 0.2))
        with pytest.raises(BusUnavailable):
            bus.publish(TOPIC, IDENTIFIERS)
        bus.close()


def test_nothing_is_opened_before_the_first_publish() -> None:
    bus = PubsubBus("p")
    bus.close()
    assert "_channel" not in vars(bus)
