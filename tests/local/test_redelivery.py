"""Redelivery: what a door did not take comes again as it was, later each time, until it is given up."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from keyturn.adapters.sqlite.outbox import DeliveryPolicy
from keyturn.local.function_client import FunctionClient
from keyturn.local.redelivery import Call, Redelivery
from keyturn.local.server import Server
from werkzeug.wrappers import Request, Response

from tests.local.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import WSGIApplication

    import pytest

QUICK = DeliveryPolicy(first_delay_seconds=0.01, longest_delay_seconds=0.02, attempts=4)
CALL = Call("on_secret_version", {"ce-id": "one", "content-type": "application/protobuf"}, b"body")


class Door:
    """Answers with the statuses given, one each, and with 204 after them."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.calls: list[tuple[str, str | None, bytes]] = []
        self.server = Server(0, self._application())

    def _application(self) -> WSGIApplication:
        @Request.application
        def take(request: Request) -> Response:
            self.calls.append((request.path, request.headers.get("ce-id"), request.get_data()))
            return Response(status=self.statuses.pop(0) if self.statuses else 204)

        return take

    @contextmanager
    def delivering(self, redelivery: Redelivery) -> Iterator[None]:
        self.server.start()
        stop = threading.Event()
        thread = threading.Thread(target=redelivery.run, args=(FunctionClient(self.server.url, 5, {}), stop))
        thread.start()
        yield
        stop.set()
        thread.join()
        self.server.stop()


def test_refused_call_comes_again_as_it_was() -> None:
    door, redelivery = Door(503, 500), Redelivery(policy=QUICK)
    with door.delivering(redelivery):
        redelivery.add(CALL)
        until(lambda: len(door.calls) == 3)
    assert door.calls == [("/on_secret_version/", "one", b"body")] * 3


def test_call_that_is_always_refused_is_given_up_and_named_without_its_body(caplog: pytest.LogCaptureFixture) -> None:
    door, redelivery = Door(*[503] * 10), Redelivery(policy=QUICK)
    with door.delivering(redelivery):
        redelivery.add(CALL)
        until(lambda: "dropped" in caplog.text)
    assert len(door.calls) == QUICK.attempts
    assert "on_secret_version" in caplog.text
    assert "body" not in caplog.text


def test_one_that_fails_holds_up_no_other() -> None:
    door, redelivery = Door(503), Redelivery(policy=DeliveryPolicy(first_delay_seconds=30), workers=1)
    with door.delivering(redelivery):
        redelivery.add(CALL)
        until(lambda: door.calls)
        redelivery.add(Call("on_secret_version", {"ce-id": "two"}, b""))
        until(lambda: len(door.calls) == 2)
    assert [event_id for _, event_id, _ in door.calls] == ["one", "two"]


def test_a_call_says_nothing_of_what_it_carries() -> None:
    assert repr(CALL) == "Call(function='on_secret_version', attempts=0)"
