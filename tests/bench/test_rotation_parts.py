"""What a rotation is made of, counted at a real one: the numbers that the bench's floor is the sum of."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import keyturn.local.machine
import pytest
from keyturn.adapters.sqlite.file import SqliteFile
from keyturn.adapters.sqlite.outbox import Outbox
from keyturn.local.gateway import open_gateway
from keyturn.records import paths

from bench import rotation_parts
from bench.rotation_stage import GROUP, raised

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from keyturn.adapters.sqlite.outbox import OutboxEvent

    from bench.rotation_stage import Way


class Counts:
    """What a running suite did since it was last cleared: calls by door, and what was written to its control store."""

    def __init__(self) -> None:
        self.hops: Counter[str] = Counter()
        self.outbox: Counter[str] = Counter()
        self.transactions = 0

    def clear(self) -> None:
        self.hops.clear()
        self.outbox.clear()
        self.transactions = 0

    def gateway(self, token: str) -> WSGIApplication:
        inner = open_gateway(token)

        def counted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            self.hops[environ["PATH_INFO"].split("/")[1]] += 1
            return inner(environ, start_response)

        return counted

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keyturn.local.machine, "open_gateway", self.gateway)
        monkeypatch.setattr(SqliteFile, "writing", self._writing(SqliteFile.writing))
        monkeypatch.setattr(Outbox, "claim", self._claim(Outbox.claim))
        monkeypatch.setattr(Outbox, "mark_delivered", self._done(Outbox.mark_delivered))

    def _writing(self, inner: Callable[..., object]) -> object:
        @contextmanager
        def counted(file: SqliteFile, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
            self.transactions += file.path.name == "control.db"
            with inner(file, durable=durable) as connection:  # type: ignore[attr-defined]  # a context manager
                yield connection

        return counted

    def _claim(self, inner: Callable[[Outbox, int], Sequence[OutboxEvent]]) -> object:
        def counted(outbox: Outbox, limit: int) -> Sequence[OutboxEvent]:
            events = inner(outbox, limit)
            self.outbox["claims"] += bool(events)
            return events

        return counted

    def _done(self, inner: Callable[[Outbox, OutboxEvent], None]) -> object:
        def counted(outbox: Outbox, event: OutboxEvent) -> None:
            inner(outbox, event)
            self.outbox["done"] += 1

        return counted


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Counts, Way]]:
    counts, folder = Counts(), tmp_path_factory.mktemp("rotation")
    with pytest.MonkeyPatch.context() as monkeypatch:
        counts.watch(monkeypatch)
        with raised(folder) as stage:
            stage.add("client-0")
            counts.clear()
            yield counts, stage.rotate("client-0")


def test_hops_between_accepted_and_readable(rotated: tuple[Counts, Way]) -> None:
    hops = rotated[0].hops
    # The second call of on_secret_version is woken by what distribute wrote, when the notice can be read already.
    assert hops["distribute"] == 1
    assert hops["on_secret_version"] == 2
    assert rotation_parts.HOPS == 2


def test_store_calls_that_write_between_accepted_and_readable(rotated: tuple[Counts, Way]) -> None:
    _, way = rotated
    names = Counter(call.name for call in way.between)
    assert names["publish"] == rotation_parts.PUBLISHES == 1
    assert names["commit"] == 0
    assert rotation_parts.COMMITS == 1  # the one that makes it readable


def test_transactions_of_a_whole_rotation(rotated: tuple[Counts, Way]) -> None:
    counts, way = rotated
    # Three rows of the outbox: each is claimed and done; the third one after the notice could be read.
    assert counts.outbox == {"claims": 3, "done": 3}
    assert (rotation_parts.CLAIMS, rotation_parts.DONE) == (2, 1)
    accepting_commit, published, distributed = 1, 1, 1
    assert counts.transactions == accepting_commit + published + distributed + counts.outbox.total()
    assert way.readable.at > way.accepting_commit.at


def test_the_last_commit_carries_the_group_and_two_messages(rotated: tuple[Counts, Way]) -> None:
    written = [write.path for write in rotated[1].readable.writes]
    assert paths.group(GROUP) in written
    assert len([path for path in written if path.startswith(paths.messages(GROUP))]) == 2


def test_parts_are_each_measured(tmp_path: Path) -> None:
    with raised(tmp_path) as stage, rotation_parts.parts(stage.suite, tmp_path) as bare:
        stage.add("client-0")
        times = bare.times(stage.rotate("client-0").readable.writes)
    assert set(times) == {
        *("publish", "claims", "done", "commit", "hops", "mac"),
        *("unseal", "mls_update", "mls_encrypt", "sign", "seal"),
    }
    assert all(value > 0 for value in times.values())
