"""The emulators' way in: only by its secret, and what comes through is as in the cloud."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from keyturn.entry.http.cloud_events import CloudEvent
from keyturn.local.emulator_webhooks import LARGEST_EVENT_BYTES, EmulatorWebhooks
from werkzeug.test import Client
from werkzeug.wrappers import Request, Response

from tests.local.document_event import event

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

    from keyturn.local.redelivery import Call

TOKEN = "the-operators-own-token"
SECRET = "0123abcd"
PATH = "oauth2_clients/acme/secrets/01ARZ3NDEKTSV4RRFFQ69G5FAV"
TRIGGER = f"/functions/projects/p/triggers/on_secret_version-{SECRET}"
HEADERS = {
    "ce-id": "6ec740ca",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.firestore.document.v1.written",
    "ce-source": "//firestore.googleapis.com/projects/projects/p/databases/control",
    "ce-document": PATH,
    "x-other": "stays outside",
}


class Gateway:
    """Notes what comes through: the path, and with which right."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.taken: list[Call] = []
        self.client = Client(EmulatorWebhooks(self.application, self.taken.append, TOKEN, lambda: SECRET))

    @property
    def application(self) -> WSGIApplication:
        @Request.application
        def take(request: Request) -> Response:
            self.seen.append((request.path, request.headers.get("Authorization")))
            return Response(status=204)

        return take


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_written_document_becomes_eventarcs_call(gateway: Gateway) -> None:
    body = event(PATH)
    answer = gateway.client.post(TRIGGER, data=b64encode(body), headers=HEADERS)
    assert answer.status_code == 204
    (call,) = gateway.taken
    assert (call.function, call.body, call.attempts) == ("on_secret_version", body, 0)
    assert call.headers["ce-source"] == "//firestore.googleapis.com/projects/p/databases/control"
    assert call.headers["content-type"] == "application/protobuf"
    assert "x-other" not in call.headers
    assert gateway.seen == []


def test_door_takes_the_protobuf_event_and_reads_its_attributes_only() -> None:
    attributes = {"document": PATH}
    for body in (event(PATH), event("oauth2_clients/somebody/secrets/else"), b"\xff\xfe no protobuf"):
        delivered = CloudEvent(attributes, body)
        assert delivered.document("oauth2_clients", "secrets") == ("acme", PATH.rpartition("/")[2])


def test_push_reaches_its_door_with_the_token(gateway: Gateway) -> None:
    assert gateway.client.post(f"/pushed/{SECRET}/distribute", data=b"{}").status_code == 204
    assert gateway.client.post(f"/pushed/{SECRET}/distribute/", data=b"{}").status_code == 204
    assert gateway.seen == [("/distribute/", f"Bearer {TOKEN}")] * 2


@pytest.mark.parametrize(
    "path",
    [
        "/pushed/wrong/distribute/",
        "/pushed//distribute/",
        "/pushed/",
        f"/pushed/{SECRET}/operator/",
        f"/pushed/{SECRET}/grace_sweeper/",
        f"/pushed/{SECRET}/../operator/",
        f"/pushed/{SECRET}é/distribute/",
        "/functions/projects/p/triggers/on_secret_version",
        "/functions/projects/p/triggers/on_secret_version-wrong",
        f"/functions/projects/p/triggers/operator-{SECRET}",
        f"/functions/projects/p/triggers/{SECRET}",
    ],
)
def test_nothing_is_there_for_others(gateway: Gateway, path: str) -> None:
    answer = gateway.client.post(path, data=b64encode(event(PATH)), headers=HEADERS)
    assert (answer.status_code, answer.json["reason"]) == (404, "unknown_door")  # type: ignore[index]  # an object
    assert (gateway.seen, gateway.taken) == ([], [])
    assert SECRET not in answer.text


@pytest.mark.parametrize("body", [b"not base64!", b"A", b"A" * (LARGEST_EVENT_BYTES + 4)])
def test_what_is_no_event_is_refused_without_an_echo(gateway: Gateway, body: bytes) -> None:
    answer = gateway.client.post(TRIGGER, data=body, headers=HEADERS)
    assert answer.status_code == 400
    assert PATH not in answer.text
    assert gateway.taken == []


def test_everything_else_is_the_gateways(gateway: Gateway) -> None:
    assert gateway.client.post("/operator/groups").status_code == 204
    assert gateway.seen == [("/operator/groups", None)]


def test_no_secret_is_in_what_it_says_of_itself(gateway: Gateway) -> None:
    said = repr(EmulatorWebhooks(gateway.application, gateway.taken.append, TOKEN, lambda: SECRET))
    assert TOKEN not in said
    assert SECRET not in said
