"""Unknown outcomes: a commit raises `LostRace` although it was applied, or because it was not. The answer is the same.

The rows are complete: each route either has a row, or was called and commits nothing, and each function of the package
that commits runs in a row. Each commit of each row fails in both ways. Answer, audit, documents and queued events must
be as without the fault.
"""

from __future__ import annotations

import ast
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import keyturn
import pytest
from keyturn.adapters.sqlite.schema import connect
from keyturn.entry.functions import FUNCTIONS
from keyturn.use_cases.commands.actions import ACTIONS
from keyturn.use_cases.optimistic import ATTEMPTS
from werkzeug.test import TestResponse

from tests.functions.attested import admitted
from tests.memory_store import MemoryStore
from tests.scenarios.outcome_rows import READS, ROWS
from tests.scenarios.outcome_scenes import COMMANDS
from tests.scenarios.outcome_world import STORES, lossy, prepared
from tests.world import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from sqlite3 import Connection

    from keyturn.adapters.sqlite.store import SqliteStore

    from tests.lossy_store import Faults
    from tests.scenarios.outcome_world import Call
    from tests.world import World

PACKAGE = Path(keyturn.__file__).parent
RANDOM_FIELDS = {"hint", "due_shard", "counted_to", "process"}
"""Short fields that are made at random, or from a clock of the process."""
RANDOM_SHARDS = ("rates/", "version_usage/", "client_failures/", "verifiers/ended")
"""Collections with documents whose shard is drawn at random."""


class Outcome(NamedTuple):
    """What a call came to: the answer, all documents, and the events that it caused."""

    answer: object
    stored: list[tuple[str, object]]
    events: list[tuple[str, str]]


class Saved:
    """The state of a world's stores and queue, to start each call from."""

    def __init__(self, world: World) -> None:
        self.world, self.queue = world, list(world.queue)
        self.stores: list[MemoryStore | SqliteStore] = [getattr(world, name).inner for name in STORES]
        self.copies = [_copy(store) for store in self.stores]
        self.text = repr(self._documents())

    def restore(self) -> None:
        for store, copy in zip(self.stores, self.copies, strict=True):
            _set_back(store, copy)
        self.world.queue.clear()
        self.world.queue.extend(self.queue)
        self.world.serve()

    def outcome(self, answer: object) -> Outcome:
        """Return what the call came to, without what is random, and without the marks of acts."""
        if isinstance(answer, TestResponse):
            answer = (answer.status_code, answer.json)
        documents = ((self._place(path), self._plain(data)) for path, data in self._documents())
        stored = [(path, data) for path, data in documents if not path.startswith("events/")]
        events = [(item.function, self._place(item.subject)) for item in self.world.queue]
        return Outcome(self._plain(answer), sorted(stored, key=repr), sorted(events))

    def _documents(self) -> list[tuple[str, object]]:
        found = zip(STORES, self.stores, strict=True)
        by_store = [(store, self.world.documents(getattr(self.world, name))) for name, store in found]
        return [(path, store.get([path])[path].data) for store, paths in by_store for path in paths]

    def _plain(self, value: object) -> object:
        """Return a value with each text that is new and long, so made at random, replaced by a constant."""
        if isinstance(value, str):
            return value if len(value) < 16 or value in self.text else "<random>"
        if hasattr(value, "items"):
            return {str(self._plain(name)): name in RANDOM_FIELDS or self._plain(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._plain(item) for item in value]
        return "<random>" if isinstance(value, bytes) else value

    def _place(self, path: str) -> str:
        shard = path.rpartition("-")[0] if path.startswith(RANDOM_SHARDS) else path
        return "/".join(str(self._plain(part)) for part in shard.split("/"))


def _copy(store: MemoryStore | SqliteStore) -> dict[str, object] | list[list[tuple[object, ...]]]:
    if isinstance(store, MemoryStore):
        return dict(store._documents)
    with _connected(store) as connection:
        return [connection.execute(f"SELECT * FROM {table}").fetchall() for table in ("documents", "counter")]  # noqa: S608 - constant words


def _set_back(store: MemoryStore | SqliteStore, copy: Any) -> None:  # noqa: ANN401 - what `_copy` returned
    if isinstance(store, MemoryStore):
        store.restore(copy, store._version)
        return
    documents, (counter,) = copy
    with _connected(store) as connection:
        connection.execute("DELETE FROM documents")
        connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?)", documents)
        connection.execute("UPDATE counter SET version = ?, time = ? WHERE id = ?", (*counter[1:], counter[0]))


@contextmanager
def _connected(store: SqliteStore) -> Iterator[Connection]:
    connection = connect(store.file.path)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
    finally:
        connection.close()


# --- the rows are complete --------------------------------------------------------------------------------------------

WITHOUT_ROW = {
    (
        "keyturn.local.trigger_probe",
        "TriggerProbe._write",
    ): "writes a document of its own to an emulator",
}
"""Functions that commit and have no row, each with its reason."""
NO_STORE = ("mls.", "device.", "cli.", "adapters.sqlite.", "adapters.firestore.", "adapters.mls.groups")
"""Packages that implement a store, or have commits of another kind."""


def test_each_route_has_a_row_or_commits_nothing() -> None:
    routes = {(name, *route) for name, table in FUNCTIONS.items() for route in table.handlers}
    with_row = {row.route for row in ROWS.values() if row.route is not None}
    assert routes == with_row | READS.keys()
    assert not with_row & READS.keys()


def test_each_action_has_a_row() -> None:
    assert {action for _, action, _ in COMMANDS.values()} == ACTIONS.keys()


@pytest.mark.parametrize("route", READS, ids=" ".join)
def test_a_route_without_a_row_commits_nothing(route: tuple[str, str, str], tmp_path: Path) -> None:
    with running(tmp_path) as world:
        call = READS[route](world.found("alice", "bob"))
        faults = lossy(world)
        answer = call()
        assert not isinstance(answer, TestResponse) or answer.status_code in {200, 204}, answer.text
        assert faults.count == 0


def committing_functions() -> set[tuple[str, str]]:
    """Return module and name of each function of the package with a call of `commit` or `commit_together`."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(("keyturn", *path.relative_to(PACKAGE).with_suffix("").parts))
        if not module.removeprefix("keyturn.").startswith(NO_STORE):
            found |= {(module, name) for name in _committing(ast.parse(path.read_text()), "")}
    return found


def _committing(tree: ast.AST, within: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield from _committing(node, f"{within}.{node.name}".lstrip("."))
        else:
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in {"commit", "commit_together"}:
                yield within
            yield from _committing(node, within)


def test_each_function_that_commits_runs_in_a_row(tmp_path: Path) -> None:
    seen: set[tuple[str, str]] = set()
    # All commands of admins commit in the same function, which `request` runs as well.
    for name in (name for name in ROWS if not name.startswith(("command ", "envelope "))):
        with prepared(ROWS[name], tmp_path / name) as (_, call, faults):
            faults.callers = seen
            call()
    assert committing_functions() - seen == WITHOUT_ROW.keys()


# --- the answers ------------------------------------------------------------------------------------------------------


def differences(world: World, call: Call, faults: Faults, status: int = 200) -> Iterator[tuple[str, Outcome, Outcome]]:
    """Yield for each fault its name and, if it changed the outcome, that outcome and the one without it."""
    saved = Saved(world)

    def outcome(at: int, *, applied: bool) -> Outcome:
        saved.restore()
        faults.start(at, applied=applied)
        answer = call()
        if at < 0 and isinstance(answer, TestResponse):
            assert answer.status_code == status, answer.text
        return saved.outcome(answer)

    honest = outcome(-1, applied=False)
    assert faults.count, "the row commits nothing"
    for at in range(faults.count):
        for applied in (True, False):
            if (found := outcome(at, applied=applied)) != honest:
                yield f"{at + 1} {'applied' if applied else 'not applied'}", found, honest


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@pytest.mark.parametrize("name", ROWS)
def test_the_outcome_is_as_without_the_fault(name: str, kind: str, tmp_path: Path) -> None:
    row = ROWS[name]
    with prepared(row, tmp_path, kind) as (world, call, faults):
        assert list(differences(world, call, faults, row.status)) == []


# --- when a call has used up its attempts -----------------------------------------------------------------------------

OTHER_ANSWER = {
    "invite": "has another code: the first was shown to nobody",
    "invite another phone": "the same",
    "prove": "consumes its code: the device asks for another one",
    "prove, wrong code": "the same",
    "register": "consumes its challenge: the device asks for another one",
    "confirm, wrong code": "is a second wrong code",
}
"""Requests that answer otherwise when they are made again, each with the reason."""
BY_ITSELF = {"distribute", "grace_sweeper"}
"""Functions that only the suite calls. It reads nothing but the status of their answers."""


def made_again() -> list[str]:
    """Return the rows of requests by people and integrators."""
    left_out = BY_ITSELF | {*OTHER_ANSWER}
    return [name for name, row in ROWS.items() if row.route and not {row.route[0], name} & left_out]


@pytest.mark.parametrize("name", made_again())
def test_request_that_is_made_again_gets_the_answer_that_was_lost(name: str, tmp_path: Path) -> None:
    """The last attempt is applied, its answer is lost, and the caller is told 503 where nothing else repeats it."""
    row = ROWS[name]
    with prepared(row, tmp_path) as (world, call, faults):
        send = world.call
        world.call = lambda method, path, body=b"", headers=None: send(  # type: ignore[method-assign]  # as the CLI
            method, path, body, {**(headers or {}), "Idempotency-Key": "of this request"}
        )
        saved = Saved(world)
        honest = saved.outcome(call())
        saved.restore()
        faults.start(ATTEMPTS - 1, applied=True, failures=ATTEMPTS - 1)
        lost = call()
        assert not isinstance(lost, TestResponse) or lost.status_code in {503, row.status}
        faults.start(-1, applied=False)
        assert saved.outcome(call()) == honest


# --- what an unknown outcome must not allow ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["register", "prove"])
def test_challenge_is_used_up_for_every_other_request(name: str, tmp_path: Path) -> None:
    with prepared(ROWS[name], tmp_path) as (_, call, faults):
        faults.start(0, applied=True)
        assert cast("TestResponse", call()).status_code == 200
        again = cast("TestResponse", call())
    assert (again.status_code, again.json and again.json["reason"]) == (401, "challenge_refused")


def test_code_is_used_up_for_every_other_request(tmp_path: Path) -> None:
    with running(tmp_path, attested=True) as world:
        alice = admitted(world.found(), "alice")
        faults = lossy(world)
        faults.start(0, applied=True)
        code = alice.fresh_code()
        assert alice.prove("A" * 43, totp=code).status_code == 200
        again = alice.prove("A" * 43, totp=code)
    assert (again.status_code, again.json and again.json["reason"]) == (401, "proof_refused")


@pytest.mark.parametrize("applied", [True, False])
def test_wrong_code_is_counted_once(tmp_path: Path, *, applied: bool) -> None:
    with running(tmp_path, attested=True) as world:
        alice = admitted(world.found(), "alice")
        faults = lossy(world)
        faults.start(0, applied=applied)
        assert alice.prove("A" * 43, totp="000000").status_code == 401
        assert world.auth.get(["admins/alice"])["admins/alice"].integer("failures") == 1
