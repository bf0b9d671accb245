"""The Firestore emulator does as it is told: triggers post what was written, a wipe leaves nothing."""

from __future__ import annotations

import queue
import threading
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.firestore.store import FirestoreChannel, FirestoreStore
from keyturn.local.emulators import start_firestore
from keyturn.local.errors import LocalError
from keyturn.local.firestore_control import register_trigger
from keyturn.ports.store import Create

from tests.emulators import FIRESTORE
from tests.firestore_admin import release_rules, wipe

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = FIRESTORE

A = "oauth2_clients/acme"
VERSION = f"{A}/secrets/one"
Posts = queue.Queue[tuple[str, str, bytes]]


@pytest.fixture
def posts() -> Iterator[tuple[str, Posts]]:
    """Return an address, and what was posted there: path, the document's name, body."""
    arrived: Posts = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            arrived.put((self.path, self.headers["ce-document"] or "", body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_port}", arrived
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("database", ["(default)", "control"])
def test_written_document_that_the_pattern_means_is_posted(
    posts: tuple[str, Posts], project: str, database: str
) -> None:
    address, arrived = posts
    with start_firestore(functions=address) as emulator:
        channel = FirestoreChannel(emulator_host=emulator.host)
        store = FirestoreStore(channel, project=project, database=database)
        register_trigger(emulator.host, project, "door", "oauth2_clients/{c}/secrets/{v}", database=database)
        store.commit([Create(A, {}), Create(VERSION, {"state": "pending"})])
        path, document, body = arrived.get(timeout=30)
        channel.close()
    assert path == f"/functions/projects/{project}/triggers/door"
    assert document == VERSION
    assert VERSION.encode() in b64decode(body)
    assert arrived.empty()


def test_wipe_leaves_nothing_in_its_database_and_all_in_others(
    firestore_channel: FirestoreChannel, firestore_host: str, project: str
) -> None:
    stores = {
        name: FirestoreStore(firestore_channel, project=project, database=name) for name in ("control", "(default)")
    }
    for store in stores.values():
        store.commit([Create(A, {}), Create(VERSION, {})])
    wipe(firestore_host, project, database="control")
    left = {name: [store.get([A, VERSION])[path].exists for path in (A, VERSION)] for name, store in stores.items()}
    assert left == {"control": [False, False], "(default)": [True, True]}


def test_address_where_nobody_listens_is_said() -> None:
    with pytest.raises(LocalError, match="does not respond"):
        wipe("127.0.0.1:1", "p")


def test_refusal_is_said(firestore_host: str, project: str) -> None:
    with pytest.raises(LocalError, match="refused"):
        release_rules(firestore_host, project, "service cloud.firestore {")
