"""The bare parts of a rotation, each alone: what the way from accepted to readable cannot do without.

    outbox claim ─▶ hop ─▶ publish ─▶ outbox claim ─▶ hop ─▶ unseal ─▶ update ─▶ MAC ─▶ encrypt ─▶ sign ─▶ seal ─▶ commit
                     └──▶ outbox done

A test counts commits and hops of a real rotation against the numbers here. Reading documents, opening the MLS state
and validating it, deciding, JSON and waking are no parts: they are what the ratio leaves room for.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench import empty_door
from bench.mls_rooms import notice_of, room, update_of
from bench.rotation_stage import ADMINS, GROUP
from bench.timing import milliseconds
from local.cloud_events import request_of
from local.server import Server
from shared.adapters.outbox import Event, Outbox
from shared.adapters.store_sqlite import SqliteStore
from shared.ports.events import TRIGGERS
from shared.ports.store import Check, Create, Delete, Update, put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from shared.entry.wiring import Suite
    from shared.ports.store import Snapshot, Write

HOPS = 2
"""on_secret_version, distribute."""
CLAIMS = 2
DONE = 1
PUBLISHES = 1
COMMITS = 1
MESSAGES = 2
"""A path update's commit and the notice: two Nostr events to sign."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the parts are done alone: keys of the suite, a store and a server of their own on the same machine."""

    suite: Suite
    store: SqliteStore
    url: str
    state: bytes = field(repr=False)

    def times(self, writes: Sequence[Write]) -> Mapping[str, float]:
        """Return each part's milliseconds, as often as a rotation does it; `writes` are its last commit's."""
        return {
            **self._outbox_times(),
            "commit": COMMITS * self._commit(writes),
            "hops": sum(milliseconds(self._hop) for _ in range(HOPS)),
            **{name: milliseconds(act) for name, act in self._computed().items()},
        }

    def _outbox_times(self) -> Mapping[str, float]:
        outbox = Outbox(self.store.file)
        self._drain(outbox)
        publish = milliseconds(lambda: self.store.publish([("distribute", "secret-distribution", _MESSAGE)]))
        claims: list[Sequence[Event]] = []
        claim = milliseconds(lambda: claims.append(outbox.claim(4)))
        done = milliseconds(lambda: outbox.done(claims[0][0]))
        return {"publish": PUBLISHES * publish, "claims": CLAIMS * claim, "done": DONE * done}

    def _drain(self, outbox: Outbox) -> None:
        while events := outbox.claim(100):
            for event in events:
                outbox.done(event)

    def _commit(self, writes: Sequence[Write]) -> float:
        """Commit the same documents over the same ones, put there before the clock runs."""
        paths = [write.path for write in writes]
        before = [write for write in writes if not isinstance(write, Create)]
        found = self.store.get(paths)
        old = [put(found[write.path], _data(write)) for write in before if not _is_absence(write)]
        self.store.commit(old)
        rests_on = self.store.get(paths)
        again = [_replayed(write, rests_on) for write in writes]
        return milliseconds(lambda: self.store.commit(again))

    def _hop(self) -> None:
        headers, body = request_of(_EVENT)
        connection = HTTPConnection(urlsplit(self.url).netloc)
        connection.request("POST", "/", body, dict(headers))
        connection.getresponse().read()
        connection.close()

    def _computed(self) -> Mapping[str, Callable[[], object]]:
        keys, group = self.suite.keys, room(len(ADMINS) + 1).group
        sealed = keys.sealer.seal(self.state, _ASSOCIATED)
        messages = [update_of(group), notice_of(group)]
        name = keys.mac.current()
        tag = keys.mac.sign(name, _ASSOCIATED)
        return {
            "unseal": lambda: keys.sealer.unseal(sealed, _ASSOCIATED),
            "mls_update": lambda: update_of(group),
            "mac_sign": lambda: keys.mac.sign(name, _ASSOCIATED),
            "mac_verify": lambda: keys.mac.verify(name, _ASSOCIATED, tag),
            "mls_encrypt": lambda: notice_of(group),
            "sign": lambda: [self.suite.groups.envelope(445, GROUP, item, _EVENT.published_at) for item in messages],
            "seal": lambda: keys.sealer.seal(self.state, _ASSOCIATED),
        }


_MESSAGE = {"client_id": "client-000", "rotation_id": "01" + "A" * 24}
_ASSOCIATED = b"a" * 64
_EVENT = Event("0" * 32, "distribute", "topic", "secret-distribution", _MESSAGE, datetime.now(UTC), 1)


@contextmanager
def parts(suite: Suite, folder: Path) -> Iterator[Parts]:
    """Lend the parts while the context lasts; their store is in `folder`, on the disk of the suite's."""
    import functions_framework  # noqa: PLC0415 - as the gateway does it, when a server is to run

    door = functions_framework.create_app(target="empty_door", source=empty_door.__file__)  # type: ignore[no-untyped-call]  # the framework has no types
    server = Server(0, door)
    server.start()
    store = SqliteStore(folder / "parts.db", triggers=TRIGGERS)
    try:
        yield Parts(suite, store, server.url, room(len(ADMINS) + 1).group.to_bytes())
    finally:
        store.close()
        server.stop()


def _is_absence(write: Write) -> bool:
    return isinstance(write, Check) and write.version is None


def _data(write: Write) -> Mapping[str, str]:
    return write.data if isinstance(write, Update) else {"checked": "and not written"}


def _replayed(write: Write, found: Snapshot) -> Write:
    document = found[write.path]
    if isinstance(write, Check):
        return Check(write.path, document.version)
    if isinstance(write, Delete):
        return Delete(write.path, document.version or "")
    return put(document, write.data)
