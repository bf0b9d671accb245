"""Delivery over real HTTP, from a real file: redelivery, back-off, dead letters, and who dies in the middle."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event as Flag
from threading import Lock, Thread
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.document_values import utc_now
from keyturn.adapters.sqlite.bus import LocalBus
from keyturn.adapters.sqlite.outbox import DeliveryPolicy, Outbox
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.local.cloud_events import request_of
from keyturn.local.delivery import Delivery
from keyturn.ports.store import Create, StoreUnavailable
from keyturn.ports.triggers import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
SECRET = "oauth2_clients/a/secrets/1"
QUICK = DeliveryPolicy(lease_seconds=30, first_delay_seconds=0.02, longest_delay_seconds=0.05, attempts=3)


class Doors:
    """A real server that answers as told (None: hang up without an answer) and remembers what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Mapping[str, str], bytes]] = []
        self.answers: deque[int | None] = deque()
        self.otherwise: int | None = 204
        self.delay_seconds = 0.0
        self.connections = 0
        self.begun = 0
        self._lock = Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/suite"

    def answer(self, path: str, headers: Mapping[str, str], body: bytes) -> int | None:
        self.begun += 1
        time.sleep(self.delay_seconds)
        with self._lock:
            self.calls.append((path, headers, body))
            return self.answers.popleft() if self.answers else self.otherwise

    def ids(self) -> list[str]:
        return [headers["ce-id"] for _, headers, _ in self.calls]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        doors = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                doors.connections += 1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status = doors.answer(self.path, headers, body)
                if status is None:
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def doors() -> Iterator[Doors]:
    served = Doors()
    thread = Thread(target=served.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.server.shutdown()
    thread.join()
    served.server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "store.db", triggers=TRIGGERS)


@pytest.fixture
def outbox(store: SqliteStore) -> Outbox:
    return Outbox(store.file, policy=QUICK)


@contextmanager
def delivering(outbox: Outbox, base_url: str, timeout_seconds: float = 5.0) -> Iterator[None]:
    stop = Flag()
    delivery = Delivery(outbox, base_url, timeout_seconds=timeout_seconds, headers={"x-local": "1"})
    thread = Thread(target=delivery.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)


def attempts(store: SqliteStore) -> int:
    with store.file.reading() as connection:
        return int(connection.execute("SELECT max(attempts) FROM outbox").fetchone()[0])


def is_empty(outbox: Outbox) -> bool:
    depth = outbox.depth()
    return (depth.waiting, depth.leased, depth.dead) == (0, 0, 0)


def test_written_document_reaches_its_door_as_a_cloud_event(store: SqliteStore, outbox: Outbox, doors: Doors) -> None:
    with delivering(outbox, doors.base_url):
        committed = store.commit([Create(SECRET, {"secret_hash": None})])
        until(lambda: is_empty(outbox))
    ((path, headers, body),) = doors.calls
    assert (path, json.loads(body), headers["content-type"]) == ("/suite/on_secret_version/", {}, "application/json")
    assert headers["ce-specversion"] == "1.0"
    assert headers["ce-type"] == "google.cloud.firestore.document.v1.written"
    assert headers["ce-source"] == "//firestore.googleapis.com/projects/local/databases/(default)"
    assert (headers["ce-subject"], headers["ce-document"]) == (f"documents/{SECRET}", SECRET)
    assert headers["ce-time"] == committed.isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert headers["x-local"] == "1"


def test_published_message_reaches_its_door_as_eventarc_sends_it(
    store: SqliteStore, outbox: Outbox, doors: Doors
) -> None:
    with delivering(outbox, doors.base_url):
        LocalBus(store).publish("secret-distribution", {"client_id": "a", "version_id": "1"})
        until(lambda: is_empty(outbox))
    ((path, headers, body),) = doors.calls
    message = json.loads(body)["message"]
    assert path == "/suite/distribute/"
    assert headers["ce-type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert headers["ce-source"] == "//pubsub.googleapis.com/projects/local/topics/secret-distribution"
    assert message["attributes"] == {"client_id": "a", "version_id": "1"}
    assert (message["messageId"], message["publishTime"]) == (headers["ce-id"], headers["ce-time"])
    assert json.loads(body)["subscription"] == "projects/local/subscriptions/distribute"


def test_path_beyond_ascii_is_percent_encoded(store: SqliteStore, outbox: Outbox) -> None:
    store.commit([Create('oauth2_clients/Zoë "%"/secrets/1', {})])
    (event,) = outbox.claim(1)
    headers, _ = request_of(event)
    assert headers["ce-document"] == "oauth2_clients/Zo%C3%AB%20%22%25%22/secrets/1"


@pytest.mark.parametrize("answer", [500, 503, 404, 301, None])
def test_what_is_no_success_is_delivered_again_under_the_same_id(
    store: SqliteStore, outbox: Outbox, doors: Doors, answer: int | None
) -> None:
    doors.answers.append(answer)
    store.commit([Create(SECRET, {})])
    with delivering(outbox, doors.base_url):
        until(lambda: is_empty(outbox))
    assert len(doors.calls) == 2
    assert len(set(doors.ids())) == 1


@pytest.mark.parametrize("answer", [200, 201, 204, 299])
def test_success_is_delivered_once(store: SqliteStore, outbox: Outbox, doors: Doors, answer: int) -> None:
    doors.otherwise = answer
    store.commit([Create(SECRET, {})])
    with delivering(outbox, doors.base_url):
        until(lambda: is_empty(outbox))
        time.sleep(0.1)
    assert len(doors.calls) == 1


def test_back_off_then_dead_letter_then_replay(store: SqliteStore, outbox: Outbox, doors: Doors) -> None:
    doors.otherwise = 500
    store.commit([Create(SECRET, {})])
    with delivering(outbox, doors.base_url):
        until(lambda: outbox.depth().dead == 1)
        assert len(doors.calls) == QUICK.attempts
        (dead,) = outbox.dead_letters()
        assert (dead.reason, dead.attempts) == ("HTTP 500", QUICK.attempts)
        doors.otherwise = 204
        assert outbox.replay() == 1
        until(lambda: is_empty(outbox))
    assert len(doors.calls) == QUICK.attempts + 1
    assert len(set(doors.ids())) == 1


def test_no_call_before_its_back_off_is_over(store: SqliteStore, doors: Doors) -> None:
    slow = Outbox(store.file, policy=DeliveryPolicy(first_delay_seconds=0.4, attempts=3), jitter=lambda: 0.0)
    doors.answers.append(500)
    store.commit([Create(SECRET, {})])
    with delivering(slow, doors.base_url):
        until(lambda: len(doors.calls) == 1 and slow.depth().leased == 0)
        due = slow.next_due()
        until(lambda: len(doors.calls) == 2)
        assert due is not None
        assert utc_now() >= due


def test_doors_that_nobody_serves_lose_nothing(store: SqliteStore, doors: Doors) -> None:
    patient = Outbox(
        store.file, policy=DeliveryPolicy(first_delay_seconds=0.02, longest_delay_seconds=0.05, attempts=500)
    )
    store.commit([Create(SECRET, {})])
    with delivering(patient, "http://127.0.0.1:1"):
        until(lambda: attempts(store) >= 2)
    with delivering(patient, doors.base_url):
        until(lambda: is_empty(patient))
    assert len(doors.calls) == 1


def test_door_that_hangs_is_given_up_and_called_again(store: SqliteStore, outbox: Outbox, doors: Doors) -> None:
    doors.delay_seconds = 0.3
    store.commit([Create(SECRET, {})])
    with delivering(outbox, doors.base_url, timeout_seconds=0.1):
        until(lambda: doors.begun >= 1)
        doors.delay_seconds = 0.0
        until(lambda: is_empty(outbox))
        until(lambda: len(doors.calls) == doors.begun)
    assert len(doors.calls) >= 2
    assert len(set(doors.ids())) == 1


def test_connection_that_the_server_closed_meanwhile_costs_no_attempt(
    store: SqliteStore, outbox: Outbox, doors: Doors
) -> None:
    delivery = Delivery(outbox, doors.base_url, timeout_seconds=5)
    store.commit([Create(SECRET, {}), Create("oauth2_clients/b/secrets/1", {})])
    first, second = outbox.claim(2)
    assert delivery._functions.call(first.function, *request_of(first)) is None
    doors.answers.append(None)
    assert delivery._functions.call(second.function, *request_of(second)) is None
    assert doors.ids() == [first.event_id, second.event_id, second.event_id]
    delivery._functions.close()


def test_connections_are_kept(store: SqliteStore, outbox: Outbox, doors: Doors) -> None:
    with delivering(outbox, doors.base_url):
        for number in range(20):
            store.commit([Create(f"oauth2_clients/a/secrets/{number}", {})])
        until(lambda: is_empty(outbox))
    assert len(doors.calls) == 20
    assert doors.connections <= 4


def test_many_rows_are_each_delivered_once_by_two_deliveries(store: SqliteStore, outbox: Outbox, doors: Doors) -> None:
    with delivering(outbox, doors.base_url), delivering(Outbox(store.file, policy=QUICK), doors.base_url):
        for batch in range(5):
            store.commit([Create(f"oauth2_clients/{batch}/secrets/{number}", {}) for number in range(20)])
        until(lambda: is_empty(outbox))
    assert len(doors.calls) == len(set(doors.ids())) == 100


WRITER = """
import sys, pathlib
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.triggers import TRIGGERS
from keyturn.ports.store import Create
SqliteStore(pathlib.Path(sys.argv[1]), triggers=TRIGGERS).commit([Create("oauth2_clients/a/secrets/1", {})])
"""

DYING = """
import sys, pathlib, os, threading, time
from keyturn.local.cloud_events import request_of
from keyturn.local.delivery import Delivery
from keyturn.adapters.sqlite.outbox import Outbox, DeliveryPolicy
from keyturn.adapters.sqlite.store import SqliteStore
policy = DeliveryPolicy(lease_seconds=0.5)
outbox = Outbox(SqliteStore(pathlib.Path(sys.argv[1])).file, policy=policy)
Delivery(outbox, sys.argv[2], timeout_seconds=0.4).run(threading.Event())
"""


def spawn(program: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program, *arguments], cwd=ROOT)  # noqa: S603 - our own program


def test_row_that_another_process_wrote_is_delivered(store: SqliteStore, outbox: Outbox, doors: Doors) -> None:
    with delivering(outbox, doors.base_url):
        assert spawn(WRITER, str(store.file.path)).wait(20) == 0
        until(lambda: is_empty(outbox) and len(doors.calls) == 1)


def test_row_of_a_delivery_that_was_killed_is_delivered_by_the_next(store: SqliteStore, doors: Doors) -> None:
    outbox = Outbox(store.file, policy=QUICK)
    doors.delay_seconds = 0.2
    store.commit([Create(SECRET, {})])
    dying = spawn(DYING, str(store.file.path), doors.base_url)
    until(lambda: doors.begun == 1)
    dying.kill()
    dying.wait(20)
    assert outbox.depth().leased == 1
    with delivering(outbox, doors.base_url):
        until(lambda: is_empty(outbox))
    until(lambda: len(doors.calls) == 2)
    assert len(set(doors.ids())) == 1


def test_stopping_finishes_the_call_that_is_under_way(store: SqliteStore, outbox: Outbox, doors: Doors) -> None:
    doors.delay_seconds = 0.2
    store.commit([Create(SECRET, {})])
    with delivering(outbox, doors.base_url):
        until(lambda: outbox.depth().leased == 1)
    assert is_empty(outbox)
    assert len(doors.calls) == 1


def test_store_that_fails_for_a_while_stops_no_delivery(
    store: SqliteStore, outbox: Outbox, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [StoreUnavailable("away"), StoreUnavailable("away")]
    claim = outbox.claim
    monkeypatch.setattr("keyturn.local.delivery.STORE_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(outbox, "claim", lambda limit: raise_(failures.pop()) if failures else claim(limit))
    store.commit([Create(SECRET, {})])
    with delivering(outbox, doors.base_url):
        until(lambda: is_empty(outbox))
    assert failures == []


def test_delivery_that_cannot_be_noted_is_repeated_when_its_lease_runs_out(
    store: SqliteStore, doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = Outbox(store.file, policy=DeliveryPolicy(lease_seconds=0.3))
    failures = [StoreUnavailable("away")]
    done = outbox.mark_delivered
    monkeypatch.setattr(outbox, "mark_delivered", lambda event: raise_(failures.pop()) if failures else done(event))
    store.commit([Create(SECRET, {})])
    with delivering(outbox, doors.base_url, timeout_seconds=0.2):
        until(lambda: is_empty(outbox))
    assert len(doors.calls) == 2
    assert len(set(doors.ids())) == 1


def raise_(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("base_url", ["https://example.org", "ftp://127.0.0.1", "127.0.0.1:80", ""])
def test_address_that_is_no_http_url_is_refused(outbox: Outbox, base_url: str) -> None:
    with pytest.raises(ValueError, match="http URL"):
        Delivery(outbox, base_url, timeout_seconds=1)


def test_call_that_outlasts_its_lease_is_refused(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match="lease"):
        Delivery(outbox, "http://127.0.0.1:1", timeout_seconds=30)
