"""What only the embedded store promises: its file's mode, its death, its forgetting, its refusals, its query plans."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, cast

import pytest
from keyturn.adapters.document_values import LATE_COMMIT
from keyturn.adapters.sqlite import file
from keyturn.adapters.sqlite.host_clock import HostClock
from keyturn.adapters.sqlite.outbox import Outbox
from keyturn.adapters.sqlite.query import page_statement
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.indexes import INDEXES, Index
from keyturn.ports.store import Create, Data, Delete, Document, LostRace, Query, StoreUnavailable, put
from keyturn.ports.triggers import TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
GROUP, CLIENT = "mls_groups/g", "oauth2_clients/a"
MARKER = "MARKER-{}-of-a-state-that-must-be-forgotten"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "control.db"


@pytest.fixture
def store(path: Path) -> SqliteStore:
    return SqliteStore(path, triggers=TRIGGERS)


def write(store: SqliteStore, path: str, data: Data) -> None:
    store.commit([put(store.get([path])[path], data)])


def log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")


def every_byte(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(path.parent.iterdir()))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Birth and refusals


@pytest.mark.parametrize("umask", [0, 0o022, 0o377])
def test_files_are_their_owners_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = SqliteStore(tmp_path / "control.db")
        store.commit([Create(CLIENT, {})])
    finally:
        os.umask(before)
    assert {file.name: mode(file) for file in tmp_path.iterdir()} == {
        "control.db": 0o600,
        "control.db-wal": 0o600,
        "control.db-shm": 0o600,
    }


def test_folder_is_made_for_its_owner_alone(store: SqliteStore, path: Path) -> None:
    store.commit([Create(CLIENT, {})])
    assert mode(path.parent) == 0o700


OPENING = """
import pathlib, sys
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.store import Create
SqliteStore(pathlib.Path(sys.argv[1])).commit([Create(f"oauth2_clients/{sys.argv[2]}", {})])
"""


def test_processes_that_make_the_file_at_once_share_it(path: Path) -> None:
    commands = [[sys.executable, "-c", OPENING, str(path), name] for name in "abcd"]
    processes = [subprocess.Popen(command, cwd=ROOT) for command in commands]  # noqa: S603 - our own program
    assert [process.wait(30) for process in processes] == [0, 0, 0, 0]
    found = SqliteStore(path).get([f"oauth2_clients/{name}" for name in "abcd"])
    assert all(document.exists for document in found.documents.values())
    assert not [file.name for file in path.parent.iterdir() if file.name.startswith(".")]


FROZEN = """
import pathlib, sys, time
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.store import LostRace, put
store = SqliteStore(pathlib.Path(sys.argv[1]))
snapshot = store.get([sys.argv[2]])

def pause():
    print("ready", flush=True)
    time.sleep(0.3)  # in which the process is stopped

def pause_inside(*args, add_events=store._add_events):
    pause()
    return add_events(*args)

if sys.argv[3] == "inside":
    store._add_events = pause_inside  # the writes are applied, and the end of the transaction is next
else:
    pause()
try:
    store.commit([put(snapshot[sys.argv[2]], {"n": 1})], basis=snapshot)
    print("committed")
except LostRace:
    print("lost")
"""


@pytest.mark.parametrize(
    ("where", "frozen_seconds", "outcome"),
    [("before", 2.2, "lost"), ("inside", 2.2, "lost"), ("inside", 0.0, "committed")],
)
def test_a_process_that_is_frozen_between_read_and_commit(
    path: Path, where: str, frozen_seconds: float, outcome: str
) -> None:
    command = [sys.executable, "-c", FROZEN, str(path), CLIENT, where]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - our own
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        if frozen_seconds:
            process.send_signal(signal.SIGSTOP)
            time.sleep(frozen_seconds)
            process.send_signal(signal.SIGCONT)
        assert process.stdout.read() == f"{outcome}\n"
    assert SqliteStore(path).get([CLIENT])[CLIENT].exists is (outcome == "committed")


def test_a_freeze_at_the_end_of_the_transaction_is_reported(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    store = SqliteStore(path, clock=lambda: now[0])

    def freeze(connection: sqlite3.Connection, _path: Path) -> None:
        now[0] += timedelta(seconds=2.1)
        connection.execute("COMMIT")

    for basis in (store.get([CLIENT]), None):
        with monkeypatch.context() as patch:
            patch.setattr(file, "_commit", freeze)
            store.commit([put(store.get([CLIENT])[CLIENT], {})], basis=basis)
        assert [record.getMessage() for record in caplog.records] == [LATE_COMMIT] * (basis is not None)
        caplog.clear()


def test_a_clock_that_is_set_back_does_not_hide_the_age_of_a_read(path: Path) -> None:
    now, elapsed = [datetime(2026, 1, 1, tzinfo=UTC)], [0.0]
    store = SqliteStore(path, host=HostClock(lambda: now[0], lambda: elapsed[0]))
    snapshot = store.get([CLIENT])
    elapsed[0] += 2.001
    now[0] -= timedelta(seconds=50)
    with pytest.raises(LostRace):
        store.commit([put(snapshot[CLIENT], {})], basis=snapshot)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def refused(path: Path, why: str) -> None:
    before = contents(path.parent)
    with pytest.raises(StoreUnavailable, match=why) as error:
        SqliteStore(path)
    assert str(path.parent) not in str(error.value)
    after = contents(path.parent)
    assert {name: after[name] for name in before} == before
    assert after.get(log_of(path).name, b"") == b""


@pytest.mark.parametrize("wide", [0o640, 0o604, 0o666])
def test_file_that_others_may_read_is_refused(store: SqliteStore, path: Path, wide: int) -> None:
    store.close()
    path.chmod(wide)
    refused(path, "0600")


def test_symbolic_link_and_folder_are_refused(store: SqliteStore, path: Path) -> None:
    store.close()
    link, folder = path.with_name("link.db"), path.with_name("folder.db")
    link.symlink_to(path)
    folder.mkdir()
    refused(link, "not a regular file")
    refused(folder, "not a regular file")


def test_newer_version_is_refused_and_left_as_it_is(store: SqliteStore, path: Path) -> None:
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    refused(path, "newer version")


@pytest.mark.parametrize("content", [b"", b"hello", b"SQLite format 3\x00", os.urandom(8192)])
def test_foreign_file_is_refused_and_left_as_it_is(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    path.chmod(0o600)
    refused(path, "not a keyturn store")


def test_foreign_database_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE documents (path TEXT)")
    path.chmod(0o600)
    refused(path, "not a keyturn store")


def filled(store: SqliteStore) -> None:
    for number in range(50):
        store.commit([Create(f"mls_groups/{number}", {"state": "x" * 2000})])
    assert store.checkpoint()
    store.close()


def test_damaged_file_is_refused_and_left_as_it_is(store: SqliteStore, path: Path) -> None:
    filled(store)
    content = bytearray(path.read_bytes())
    content[8192:] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    refused(path, "damaged")


def test_file_cut_short_is_refused_and_left_as_it_is(store: SqliteStore, path: Path) -> None:
    filled(store)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "damaged")


@pytest.mark.parametrize("tagged", ['{"$b":"marker!"}', '{"$t":"marker"}', '{"$t":1e30}', '{"$t":1,"marker":1}', "}"])
def test_damaged_document_is_refused_without_its_content(store: SqliteStore, tagged: str) -> None:
    store.commit([Create(GROUP, {"n": 1})])
    with store.file.writing() as connection:
        connection.execute("UPDATE documents SET data = ?", (f'{{"marker":{tagged}}}',))
    with pytest.raises(StoreUnavailable, match="damaged") as error:
        store.get([GROUP])
    assert (error.value.__cause__, error.value.__context__) == (None, None)
    assert "marker" not in str(error.value)


def test_store_whose_lock_somebody_keeps_is_unavailable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sqlite.schema", "sqlite.file"):
        monkeypatch.setattr(f"keyturn.adapters.{module}.BUSY_SECONDS", 0.05)
    store = SqliteStore(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable):
            store.commit([Create(CLIENT, {})])
        assert not store.get([CLIENT])[CLIENT].exists
        other.execute("ROLLBACK")
    store.commit([Create(CLIENT, {})])


FULL_DISK = """
import pathlib, resource, sys
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.store import Create, LostRace
store = SqliteStore(pathlib.Path(sys.argv[1]))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, hard))
try:
    store.commit([Create("mls_groups/g", {"state": "x" * 200_000})])
except LostRace:
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    store.commit([Create("oauth2_clients/a", {})])
    raise SystemExit(5)
"""


def test_commit_that_fails_midway_is_a_lost_race_and_undone(path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 5  # noqa: S603 - our own program
    found = SqliteStore(path).get([GROUP, CLIENT])
    assert (found[GROUP].exists, found[CLIENT].exists) == (False, True)


def test_file_where_none_can_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="can't be opened"):
        SqliteStore(tmp_path / "file" / "control.db")


# Life


def test_documents_and_versions_survive_opening_again(store: SqliteStore, path: Path) -> None:
    store.commit([Create(CLIENT, {"n": 1})])
    before = store.get([CLIENT])[CLIENT]
    store.commit([Delete(CLIENT, before.version or "")])
    store.close()
    again = SqliteStore(path)
    again.commit([Create(CLIENT, {"n": 1})])
    assert again.get([CLIENT])[CLIENT].version not in {None, before.version}


def test_time_does_not_go_back_across_processes(path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    SqliteStore(path, clock=lambda: now).commit([Create(CLIENT, {})])
    late = SqliteStore(path, clock=lambda: now - timedelta(seconds=30))
    assert late.get([CLIENT]).read_time == now
    assert late.commit([Create("oauth2_clients/b", {})]) == now


def test_every_connection_syncs_and_zeroes(store: SqliteStore) -> None:
    with store.file.writing(durable=False):
        pass
    with store.file.writing() as connection:
        settings = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "secure_delete", "temp_store", "cache_spill")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "secure_delete": 1, "temp_store": 2, "cache_spill": 0}


def test_no_transaction_outlives_a_call(store: SqliteStore, path: Path) -> None:
    store.commit([Create(CLIENT, {})])
    store.get([CLIENT])
    store.query(Query("oauth2_clients", "client_id"))
    with pytest.raises(LostRace):
        store.commit([Create(CLIENT, {})])
    with closing(sqlite3.connect(path, timeout=0)) as other:
        assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


def test_short_lived_threads_share_connections(store: SqliteStore) -> None:
    for _ in range(20):
        thread = Thread(target=store.get, args=([CLIENT],))
        thread.start()
        thread.join()
    assert len(store.file._idle) == 1


def test_child_of_a_fork_uses_connections_of_its_own(path: Path) -> None:
    program = f"""
import os, pathlib
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.store import Create
store = SqliteStore(pathlib.Path({str(path)!r}))
parents = set(map(id, store.file._idle))
child = os.fork()
store.commit([Create("oauth2_clients/" + ("parent" if child else "child"), {{}})])
if not child:
    os._exit(bool(parents & set(map(id, store.file._idle))))
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0  # noqa: S603 - our own
    found = SqliteStore(path).get(["oauth2_clients/parent", "oauth2_clients/child"])
    assert all(document.exists for document in found.documents.values())


# Death

WRITING = """
import hashlib, pathlib, sys
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.ports.triggers import TRIGGERS
from keyturn.ports.store import put
store = SqliteStore(pathlib.Path(sys.argv[1]), triggers=TRIGGERS)
paths = ["oauth2_clients/a", "mls_groups/g", "oauth2_clients/a/secrets/1"]
while True:
    read = store.get(paths)
    n = (read[paths[0]].data or {"n": 0})["n"] + 1
    body = str(n) * 3000
    check = hashlib.sha256(body.encode()).hexdigest()
    store.commit([put(read[paths[0]], {"n": n, "check": check}), put(read[paths[1]], {"n": n, "body": body}),
                  put(read[paths[2]], {"n": n})])
    print(n, flush=True)
"""


def killed_in_the_middle(path: Path, after_lines: int, pause_seconds: float) -> int:
    command = [sys.executable, "-c", WRITING, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:  # noqa: S603 - our own program
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after_lines)]
        time.sleep(pause_seconds)
        process.kill()
        return int([*lines, *process.stdout.read().splitlines()][-1])


def test_killed_writer_leaves_nothing_half_written(path: Path) -> None:
    rng = random.Random(11)
    for _ in range(8):
        confirmed = killed_in_the_middle(path, rng.randrange(1, 5), rng.random() / 50)
        store = SqliteStore(path)
        paths = [CLIENT, GROUP, f"{CLIENT}/secrets/1"]
        found = store.get(paths)
        client, group, secret = (cast("dict[str, int | str]", found[path].data) for path in paths)
        assert confirmed <= cast("int", client["n"]) <= confirmed + 1
        assert client["n"] == group["n"] == secret["n"] == Outbox(store.file).depth().waiting
        assert hashlib.sha256(str(group["body"]).encode()).hexdigest() == client["check"]
        store.close()


# Forgetting


def test_overwritten_state_is_in_no_byte(store: SqliteStore, path: Path) -> None:
    write(store, GROUP, {"state": MARKER.format(1)})
    assert MARKER.format(1).encode() in every_byte(path)
    write(store, GROUP, {"state": MARKER.format(2)})
    assert MARKER.format(1).encode() not in every_byte(path)
    assert MARKER.format(2).encode() in every_byte(path)


def test_deleted_state_is_in_no_byte(store: SqliteStore, path: Path) -> None:
    write(store, GROUP, {"state": MARKER.format(1)})
    store.commit([Delete(GROUP, store.get([GROUP])[GROUP].version or "")])
    assert MARKER.format(1).encode() not in every_byte(path)


def test_state_kept_from_forgetting_by_a_reader_goes_with_the_next_checkpoint(store: SqliteStore, path: Path) -> None:
    write(store, GROUP, {"state": MARKER.format(1)})
    with store.file.reading() as reader:
        reader.execute("SELECT count(*) FROM documents").fetchone()
        write(store, GROUP, {"state": MARKER.format(2)})
        assert not store.checkpoint()
        assert MARKER.format(1).encode() in every_byte(path)
    assert store.checkpoint()
    assert MARKER.format(1).encode() not in every_byte(path)


def test_state_kept_from_forgetting_goes_with_any_next_commit(store: SqliteStore, path: Path) -> None:
    write(store, GROUP, {"state": MARKER.format(1)})
    with store.file.reading() as reader:
        reader.execute("SELECT count(*) FROM documents").fetchone()
        write(store, GROUP, {"state": MARKER.format(2)})
    store.commit([Create(CLIENT, {})])
    assert MARKER.format(1).encode() not in every_byte(path)


def test_states_that_threads_overwrite_at_once_are_all_forgotten(store: SqliteStore, path: Path) -> None:
    def turn_over(thread: int) -> None:
        for step in range(30):
            write(store, f"mls_groups/{thread}", {"state": MARKER.format(f"{thread}.{step}.")})

    threads = [Thread(target=turn_over, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert every_byte(path).count(b"MARKER-") == 3


def test_state_that_a_killed_process_left_in_the_log_goes_when_the_file_is_opened(path: Path) -> None:
    killed_in_the_middle(path, 1, 0.0)
    store = SqliteStore(path)
    assert not log_of(path).exists() or log_of(path).stat().st_size == 0
    store.close()


def write_and_lose(store: SqliteStore, state: str) -> None:
    with store.file.writing() as connection:
        for number in range(3):
            row = (f"mls_groups/{number}", state)
            connection.execute("INSERT INTO documents VALUES (?, 'mls_groups', 'mls_groups', 1, ?)", row)
        raise LostRace


def test_state_that_was_never_committed_is_in_no_byte(store: SqliteStore, path: Path) -> None:
    with pytest.raises(LostRace):
        write_and_lose(store, "".join(MARKER.format(number) for number in range(100_000)))
    assert b"MARKER-" not in every_byte(path)


@pytest.mark.parametrize("seed", range(3))
def test_no_old_state_survives_in_pages_that_were_moved_and_split(store: SqliteStore, path: Path, seed: int) -> None:
    rng = random.Random(seed)
    live: dict[str, str] = {}
    dead: list[str] = []
    for step in range(300):
        name = f"mls_groups/{rng.randrange(40)}"
        document = store.get([name])[name]
        dead += [live.pop(name)] if name in live else []
        if document.exists and rng.random() < 0.3:
            store.commit([Delete(name, document.version or "")])
            continue
        live[name] = f"<{seed}.{step}.{rng.getrandbits(64):016x}>"
        around = rng.choice([0, 50, 500, 1500, 5000])
        store.commit([put(document, {"state": "x" * rng.randrange(around + 1) + live[name] + "y" * around})])
    content = every_byte(path)
    assert sum(state.encode() in content for state in live.values()) > len(live) * 0.8
    assert [state for state in dead if state.encode() in content] == []


def test_plain_documents_do_not_empty_the_log(store: SqliteStore, path: Path) -> None:
    write(store, CLIENT, {"n": 1})
    write(store, CLIENT, {"n": 2})
    assert log_of(path).stat().st_size > 0
    write(store, GROUP, {"n": 1})
    assert log_of(path).stat().st_size > 0
    write(store, GROUP, {"n": 2})
    assert log_of(path).stat().st_size == 0


def test_no_other_file_is_left_beside(store: SqliteStore, path: Path) -> None:
    store.commit([Create(f"mls_groups/{number}", {"state": "x" * 100_000}) for number in range(30)])
    store.query(Query("oauth2_clients", "client_id"))
    assert {file.name for file in path.parent.iterdir()} == {path.name, f"{path.name}-wal", f"{path.name}-shm"}


# Query plans


def pages() -> Iterator[Query]:
    for index in INDEXES:
        collection = index.collection.replace("{group}", "g").replace("{client}", "a")
        plain = Query(collection, index.order_by, tuple((name, 1) for name in index.equal))
        yield plain
        last = Document(f"{collection}/x", {index.order_by: 5}, "1")
        yield Query(collection, index.order_by, plain.equal, at_least=1, at_most=9, limit=5, after=last)


@pytest.mark.parametrize("query", list(pages()), ids=lambda query: f"{query.collection} {query.limit}")
def test_page_reads_its_index_in_order_and_nothing_else(store: SqliteStore, query: Query) -> None:
    statement, values = page_statement(query, INDEXES)
    with store.file.reading() as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    (step,) = plan
    assert step.startswith("SEARCH documents USING INDEX by_")
    assert "collection=? AND " in step
    assert step.count("=? AND") == len(query.equal) + 1
    assert "<expr>" in step
    assert ">" in step.replace("<expr>", "")


def test_index_that_is_declared_later_is_built_for_what_is_there(store: SqliteStore, path: Path) -> None:
    store.commit([Create("proofs/b", {"used": 2}), Create("proofs/a", {"used": 1})])
    store.close()
    later = SqliteStore(path, indexes=(*INDEXES, Index("proofs", (), "used")))
    assert [document.path for document in later.query(Query("proofs", "used"))] == ["proofs/a", "proofs/b"]


def test_index_of_another_declaration_is_built_anew(store: SqliteStore, path: Path) -> None:
    store.commit([Create(CLIENT, {"client_id": "a"})])
    with store.file.writing() as connection:
        connection.execute("DROP INDEX by_oauth2_clients_client_id")
        connection.execute("CREATE INDEX by_oauth2_clients_client_id ON documents (shape)")
    again = SqliteStore(path)
    with again.file.reading() as connection:
        query = "SELECT sql FROM sqlite_schema WHERE name = 'by_oauth2_clients_client_id'"
        assert "json_extract" in connection.execute(query).fetchone()[0]
    assert len(again.query(Query("oauth2_clients", "client_id"))) == 1


def test_declared_field_that_is_no_plain_name_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="plain"):
        SqliteStore(path, indexes=(Index("a", (), "x'); DROP TABLE documents --"),))
    assert not path.exists()
