"""The bare parts of a rotation, each alone: the least work between accepted and readable.

    claim ─▶ hop ─▶ publish ─▶ claim ─▶ hop ─▶ unseal ─▶ update ─▶ MAC ─▶ encrypt ─▶ sign ─▶ seal ─▶ commit
              └──▶ done

A test counts commits and hops of a real rotation against the numbers here. Claim and done belong to the outbox. Unseal
and seal belong to the groups port: from a group's document to a session and back. Reading the other documents,
decisions, JSON, waking a thread and giving it the interpreter are not parts: the ratio's limit leaves room for them.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from keyturn.adapters.sqlite.outbox import Outbox, OutboxEvent
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.local.cloud_events import request_of
from keyturn.local.server import Server
from keyturn.ports.store import Check, Create, Delete, Replace, put
from keyturn.ports.triggers import TRIGGERS
from keyturn.records import paths

from bench import empty_function
from bench.mls_rooms import NOTICE
from bench.rotation_stage import GROUP
from bench.timing import Stopwatch, milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keyturn.entry.composition.suite import Suite
    from keyturn.ports.store import Data, Snapshot, Store, Write

HOPS = 2
"""on_secret_version, distribute."""
CLAIMS = 2
DONE = 1
PUBLISHES = 1
COMMITS = 1


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the parts are done alone: keys of the suite, a store and a server of their own on the same machine."""

    suite: Suite
    store: SqliteStore
    url: str

    def times(self, writes: Sequence[Write]) -> Mapping[str, float]:
        """Return each part's milliseconds, times its number in a rotation. `writes` are those of its last commit."""
        return {
            **self._outbox_times(),
            "commit": COMMITS * milliseconds(commit_again(self.store, writes)),
            "hops": sum(milliseconds(self._hop) for _ in range(HOPS)),
            "mac": milliseconds(self._mac),
            **self._mls(_group_document(writes)),
        }

    def _outbox_times(self) -> Mapping[str, float]:
        outbox = Outbox(self.store.file)
        self._drain(outbox)
        publish = milliseconds(lambda: self.store.publish([("distribute", "secret-distribution", _MESSAGE)]))
        claims: list[Sequence[OutboxEvent]] = []
        claim = milliseconds(lambda: claims.append(outbox.claim(4)))
        done_ms = milliseconds(lambda: outbox.mark_delivered(claims[0][0]))
        return {"publish": PUBLISHES * publish, "claims": CLAIMS * claim, "done": DONE * done_ms}

    def _drain(self, outbox: Outbox) -> None:
        while events := outbox.claim(100):
            for event in events:
                outbox.mark_delivered(event)

    def _hop(self) -> None:
        headers, body = request_of(_EVENT)
        connection = HTTPConnection(urlsplit(self.url).netloc)
        connection.request("POST", "/", body, dict(headers))
        connection.getresponse().read()
        connection.close()

    def _mls(self, document: Data) -> Mapping[str, float]:
        """Do the group operations of a rotation on `document`, through the groups port. Names are those of the port."""
        groups, now, stopwatch = self.suite.groups, _EVENT.published_at, Stopwatch()
        session = stopwatch.by("unseal", lambda: groups.open(document, now))
        update = stopwatch.by("mls_update", session.update)
        notice = stopwatch.by("mls_encrypt", lambda: session.encrypt(NOTICE))
        stopwatch.by("sign", lambda: [groups.envelope(445, GROUP, message, now) for message in (update, notice)])
        stopwatch.by("seal", session.sealed)
        return stopwatch.times

    def _mac(self) -> None:
        key = self.suite.keys.mac
        name = key.current()
        key.verify(name, _MACED, key.sign(name, _MACED))


_MESSAGE = {"client_id": "client-000", "rotation_id": "01" + "A" * 24}
_MACED = b"m" * 128
"""About what the MAC of a secret is over (docs/protocol.md §2)."""
_EVENT = OutboxEvent("0" * 32, "distribute", "topic", "secret-distribution", _MESSAGE, datetime.now(UTC), 1)


@contextmanager
def parts(suite: Suite, folder: Path) -> Iterator[Parts]:
    """Yield the parts. Their store is in `folder`, on the same disk as the suite's store."""
    server = Server(0, empty_function.ROUTES)
    server.start()
    store = SqliteStore(folder / "parts.db", triggers=TRIGGERS)
    try:
        yield Parts(suite, store, server.url)
    finally:
        store.close()
        server.stop()


def commit_again(store: Store, writes: Sequence[Write]) -> Callable[[], object]:
    """Return an act that commits the same documents to another store, over the same ones, which are put there now."""
    touched = [write.path for write in writes]
    before = [write for write in writes if not isinstance(write, Create)]
    snapshot = store.get(touched)
    store.commit([put(snapshot[write.path], _data(write)) for write in before if not _is_absence(write)])
    rests_on = store.get(touched)
    replayed_writes = [_replayed(write, rests_on) for write in writes]
    return lambda: store.commit(replayed_writes)


def _is_absence(write: Write) -> bool:
    return isinstance(write, Check) and write.version is None


def _group_document(writes: Sequence[Write]) -> Data:
    return next(write.data for write in writes if isinstance(write, Replace) and write.path == paths.group(GROUP))


def _data(write: Write) -> Data:
    return write.data if isinstance(write, Replace) else {"checked": "and not written"}


def _replayed(write: Write, snapshot: Snapshot) -> Write:
    document = snapshot[write.path]
    if isinstance(write, Check):
        return Check(write.path, document.version)
    if isinstance(write, Delete):
        return Delete(write.path, document.version or "")
    return put(document, write.data)
