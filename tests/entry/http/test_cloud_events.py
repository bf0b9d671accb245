"""How a function answers an event: done, or retry, depending on the class of the error."""

from __future__ import annotations

import pytest
from keyturn.domain.errors import Broken, Conflict, NotFound, RateLimited, Unavailable
from keyturn.ports.bus import BusUnavailable
from keyturn.ports.store import StoreUnavailable

from tests.local.document_event import event as document_event
from tests.world import TOKEN, World

pytestmark = pytest.mark.world("alice", "bob")

RETRIED: dict[str, tuple[Exception, int]] = {
    "the bus does not answer": (BusUnavailable("down"), 503),
    "the store does not answer": (StoreUnavailable("down"), 503),
    "not now": (Unavailable("contended", "Too many changes at once."), 503),
    "too often": (RateLimited("rate", "Too many requests.", retry_after_seconds=1), 429),
    "a damaged store": (Broken("damaged"), 500),
    "a bug": (KeyError("bug"), 500),
}
DROPPED: dict[str, Exception] = {
    "there is no such thing": NotFound("unknown_client", "There is no such client."),
    "the state does not allow it": Conflict("rotation_not_open", "The rotation is no longer open."),
}


@pytest.fixture
def world(world: World) -> World:
    """Leave the event of a requested rotation in the queue."""
    assert world.send(world.admins["alice"].rotation()).status_code == 200
    return world


@pytest.mark.parametrize("name", RETRIED)
def test_an_event_that_may_succeed_later_is_delivered_again(world: World, name: str) -> None:
    (written,) = world.queue
    world.bus.down, status = RETRIED[name]
    assert world.deliver(written).status_code == status
    world.bus.down = None
    assert world.deliver(written).json == {"published": True}


@pytest.mark.parametrize("name", DROPPED)
def test_an_event_that_every_delivery_would_refuse_is_dropped(
    world: World, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    (written,) = world.queue
    world.bus.down = refusal = DROPPED[name]
    answer = world.deliver(written)
    reason = getattr(refusal, "reason", "")
    assert (answer.status_code, answer.json) == (200, {"dropped": reason})
    assert caplog.messages == [f"an event was dropped: {reason}"]


EVENTARC = {
    "ce-id": "7c9e6679-7425-40de-944b-e07fc1f90ae7-1",
    "ce-source": "//firestore.googleapis.com/projects/my-keyturn/databases/control",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.firestore.document.v1.written",
    "ce-time": "2026-03-01T12:00:00.123456789Z",
    "ce-dataschema": "https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/firestore/v1/data.proto",
    "ce-project": "my-keyturn",
    "ce-database": "control",
    "ce-namespace": "(default)",
    "ce-location": "europe-west1",
    "content-type": "application/protobuf",
}
"""The attributes of a Firestore event as Eventarc sends them in binary mode; the data is a DocumentEventData."""


@pytest.mark.parametrize("quoted", [False, True])
def test_an_event_in_eventarcs_form_is_accepted(world: World, *, quoted: bool) -> None:
    (written,) = world.queue
    path = written.subject.replace("/", "%2F") if quoted else written.subject
    headers = {**EVENTARC, "ce-document": path, "ce-subject": f"documents/{path}", "Authorization": f"Bearer {TOKEN}"}
    answer = world.call("POST", "/on_secret_version/", document_event(written.subject), headers)
    assert (answer.status_code, answer.json) == (200, {"published": True})
