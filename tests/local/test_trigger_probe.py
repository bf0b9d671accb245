"""The probe: a Firestore emulator that was given is heard, or it is said that it is not."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.firestore.store import FirestoreChannel, FirestoreStore
from keyturn.local.emulator_project import local_cloud
from keyturn.local.emulator_webhooks import EmulatorWebhooks
from keyturn.local.emulators import start_firestore
from keyturn.local.trigger_probe import PATH, TriggerProbe, register_probe
from keyturn.ports.store import Create, StoreUnavailable
from werkzeug.serving import make_server

from tests.memory_store import MemoryStore
from tests.world import Clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

    from keyturn.local.redelivery import Call
    from keyturn.ports.store import Snapshot

SECRET = "0123abcd"
ADDRESS = "127.0.0.1:8787"


def nothing(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("404 Not Found", [])
    return []


def entrance(taken: list[Call]) -> EmulatorWebhooks:
    return EmulatorWebhooks(nothing, taken.append, "the-operators-own-token", lambda: SECRET)


@pytest.mark.parametrize("left_behind", [False, True])
def test_silence_is_told_with_the_address_and_leaves_nothing(
    caplog: pytest.LogCaptureFixture, *, left_behind: bool
) -> None:
    store = MemoryStore(Clock())
    if left_behind:  # by one that was killed in between
        store.commit([Create(PATH, {})])
    TriggerProbe(store, threading.Event(), ADDRESS, timeout_seconds=0.2).run(threading.Event())
    (told,) = caplog.records
    assert (told.levelname, ADDRESS in told.getMessage()) == ("ERROR", True)
    assert not store.get([PATH])[PATH].exists


def test_who_is_stopped_or_has_heard_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    happened = threading.Event()
    happened.set()
    TriggerProbe(MemoryStore(Clock()), happened, ADDRESS).run(threading.Event())
    TriggerProbe(MemoryStore(Clock()), threading.Event(), ADDRESS).run(happened)
    assert caplog.messages == []


def test_a_store_that_does_not_answer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    class Down(MemoryStore):
        def get(self, paths: Iterable[str]) -> Snapshot:
            raise StoreUnavailable(next(iter(paths)))

    TriggerProbe(Down(Clock()), threading.Event(), ADDRESS).run(threading.Event())
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.fixture
def listening() -> Iterator[tuple[str, EmulatorWebhooks, list[Call]]]:
    taken: list[Call] = []
    way_in = entrance(taken)
    server = make_server("127.0.0.1", 0, way_in, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}", way_in, taken
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.tier("java")
@pytest.mark.parametrize("knows_us", [True, False])
def test_an_emulator_that_posts_here_is_heard_and_another_is_not(
    listening: tuple[str, EmulatorWebhooks, list[Call]], caplog: pytest.LogCaptureFixture, *, knows_us: bool
) -> None:
    address, way_in, taken = listening
    with start_firestore(functions=address if knows_us else None) as emulator:
        cloud = replace(local_cloud(emulator.host, "127.0.0.1:1", "127.0.0.1:1"), project="demo-probe")
        register_probe(cloud, SECRET)
        channel = FirestoreChannel(emulator_host=emulator.host)
        store = FirestoreStore(channel, project=cloud.project, database=cloud.control)
        seconds = 20.0 if knows_us else 1.0
        TriggerProbe(store, way_in.event_arrived, address, timeout_seconds=seconds).run(threading.Event())
        channel.close()
    assert (way_in.event_arrived.is_set(), taken) == (knows_us, [])
    told = [line for line in caplog.records if line.name == "keyturn.local.trigger_probe"]
    assert len(told) == (0 if knows_us else 1)
