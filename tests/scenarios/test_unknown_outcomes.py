"""Unknown outcomes: a commit raises `LostRace` although it was applied, or because it was not. The answer is the same.

Each route of every function is in one of the tables here, so a new route cannot be forgotten. What is not as it should
be is listed with its reason, and the test fails once such an entry is no longer needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import bcrypt
import pytest
from keyturn.entry.functions import FUNCTIONS
from keyturn.ports.store import LostRace

from tests.functions.attested import Person, admitted, invite
from tests.world import CLIENT, GROUP, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keyturn.ports.store import Snapshot, Store, Write
    from werkzeug.test import TestResponse

    from tests.memory_store import MemoryStore
    from tests.world import World

RANDOM_FIELDS = {"hint", "due_shard"}
"""Short fields that are made at random."""
HASH = bcrypt.hashpw(b"integrator", bcrypt.gensalt(4)).decode()


class Faults:
    """Numbers the commits of all stores. Commit number `at` raises `LostRace`, after it was `applied` or instead."""

    def __init__(self, world: World) -> None:
        self.at, self.applied, self.count = -1, False, 0
        for store in (world.control, world.auth, world.usage):
            store.inner = Faulty(store.inner, self)  # type: ignore[assignment]  # a store with a fault


class Faulty:
    """A store on a list of faults."""

    def __init__(self, inner: Store, faults: Faults) -> None:
        self.inner, self.faults = inner, faults

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self.inner, name)

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> object:
        number, self.faults.count = self.faults.count, self.faults.count + 1
        if number == self.faults.at and not self.faults.applied:
            raise LostRace("not applied")
        at = self.inner.commit(writes, basis=basis)
        if number == self.faults.at:
            raise LostRace("applied")
        return at


class Saved:
    """The state of a world's stores and queues, to start each call from."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stores: list[MemoryStore] = [item.inner.inner for item in (world.control, world.auth, world.usage)]  # type: ignore[attr-defined]  # `Faulty`
        self.documents = [dict(store._documents) for store in self.stores]
        self.queue = list(world.queue)
        self.text = repr(self.documents)

    def restore(self) -> None:
        for store, documents in zip(self.stores, self.documents, strict=True):
            store._documents = dict(documents)
        self.world.queue.clear()
        self.world.queue.extend(self.queue)
        self.world.serve()

    def plain(self, value: object) -> object:
        """Return a value with each text that is new and long, so made at random, replaced by a constant."""
        if isinstance(value, str):
            return value if len(value) < 20 or value in self.text else "<random>"
        if hasattr(value, "items"):
            return {str(self.plain(name)): name in RANDOM_FIELDS or self.plain(item) for name, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.plain(item) for item in value]
        return "<random>" if isinstance(value, bytes) else value

    def stored(self) -> list[tuple[str, object]]:
        """Return what is stored now, without the marks of acts."""
        return sorted(
            ((self.plain_path(path), self.plain(item.data)) for store in self.stores
             for path, item in store._documents.items() if not path.startswith("events/")),
            key=repr,
        )  # fmt: skip

    def plain_path(self, path: str) -> str:
        shard = path.rpartition("-")[0] if path.startswith("rates/") else path  # the shard is drawn at random
        return "/".join(str(self.plain(part)) for part in shard.split("/"))


class Outcome(NamedTuple):
    status: int
    body: object
    stored: list[tuple[str, object]]


def outcomes(world: World, request: Callable[[], TestResponse]) -> Iterator[tuple[str, Outcome, Outcome]]:
    """Yield for each fault its name, the outcome with it, and the one without."""
    faults = Faults(world)
    world.serve()
    saved = Saved(world)

    def outcome(at: int, *, applied: bool) -> Outcome:
        saved.restore()
        faults.at, faults.applied, faults.count = at, applied, 0
        answer = request()
        return Outcome(answer.status_code, saved.plain(answer.json), saved.stored())

    honest = outcome(-1, applied=False)
    assert honest.status == 200, honest.body
    assert faults.count, "the row commits nothing"
    for at in range(faults.count):
        for applied in (True, False):
            yield f"{at + 1} {'applied' if applied else 'not applied'}", outcome(at, applied=applied), honest


# --- the rows ---------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    prepare: Callable[[World], Callable[[], TestResponse]]
    attested: bool = False


def operated(path: str, fields: Mapping[str, object], *before: tuple[str, Mapping[str, object]]) -> Row:
    """Return the row of an operator's request, after others that prepare it."""

    def prepare(world: World) -> Callable[[], TestResponse]:
        for earlier, given in before:
            assert world.operator(earlier, given).status_code == 200
        return lambda: world.operator(path, fields)

    return Row(prepare)


def of_admins(path: str, fields: Mapping[str, object], *before: tuple[str, Mapping[str, object]]) -> Row:
    """Return the row of an operator's request about alice, who is an attested admin."""

    def prepare(world: World) -> Callable[[], TestResponse]:
        alice = admitted(world, "alice")
        admitted(world, "bob", alice)
        return operated(path, fields, *before).prepare(world)

    return Row(prepare, attested=True)


def remove_recipient(world: World) -> Callable[[], TestResponse]:
    world.send(world.admins["alice"].rotation())
    world.pump()
    return lambda: world.operator(f"/groups/{GROUP}/remove", {"user": "alice"})


def rotate(world: World) -> Callable[[], TestResponse]:
    event = world.admins["alice"].rotation()
    return lambda: world.send(event)


def distribute(world: World) -> Callable[[], TestResponse]:
    world.send(world.admins["alice"].rotation())
    world.deliver(world.queue.popleft())
    item = next(item for item in world.queue if item.function == "distribute")
    return lambda: world.deliver(item)


def sweep(world: World) -> Callable[[], TestResponse]:
    world.send(world.admins["alice"].rotation())
    world.pump()
    world.clock.advance(days=2)
    return lambda: world.call("POST", "/grace_sweeper/", b"{}", {"Authorization": "Bearer the-operators-own-token"})


def join(world: World) -> Callable[[], TestResponse]:
    carol, code = Person(world, "carol"), world.invite("carol")
    event = carol.offer()
    return lambda: carol.join(code, event)


def register(world: World) -> Callable[[], TestResponse]:
    alice, code = Person(world, "alice"), str(invite(world, "alice")["code"])
    fields = alice.registration(code)
    return lambda: alice.signed("/enrol/registration", fields)


def confirm(world: World) -> Callable[[], TestResponse]:
    alice, code = Person(world, "alice"), str(invite(world, "alice")["code"])
    alice.register(code)
    totp = alice.code()
    return lambda: alice.confirm(code, totp)


def approve(world: World) -> Callable[[], TestResponse]:
    alice = admitted(world, "alice")
    event = alice.approval(invite(world, "bob")["invite"], "bob")
    return lambda: alice.send_approval(event)


def prove(world: World) -> Callable[[], TestResponse]:
    alice = admitted(world, "alice")
    alice.id_token, token = None, alice.id_token()  # type: ignore[method-assign,assignment]  # drawn once
    alice.id_token = lambda: token  # type: ignore[method-assign]  # as above
    challenge, code = alice.challenge(), alice.fresh_code()
    alice.challenge, alice.fresh_code = lambda: challenge, lambda: code  # type: ignore[method-assign]  # as above
    return lambda: alice.prove("A" * 43)


ROWS: dict[tuple[str, str, str], Row] = {
    ("operator", "POST", "/clients"): operated("/clients", {"client_id": "new", "groups": [GROUP]}),
    ("operator", "POST", "/clients/<client_id>/tokens"): operated(f"/clients/{CLIENT}/tokens", {"scopes": ["read"]}),
    ("operator", "POST", "/imports"): operated(
        "/imports", {"clients": [{"client_id": "old", "groups": [GROUP], "secret_hash": HASH}]}
    ),
    ("operator", "POST", "/clients/<client_id>/policy"): operated(
        f"/clients/{CLIENT}/policy", {"policy": {"minimum_interval_seconds": 60}}
    ),
    ("operator", "POST", "/denied"): operated("/denied", {"add": {"users": ["mallory"]}, "reason": "left"}),
    ("operator", "POST", "/stop"): operated("/stop", {"reason": "an incident"}),
    ("operator", "POST", "/start"): operated("/start", {"reason": "it is over"}, ("/stop", {"reason": "an incident"})),
    ("operator", "POST", "/groups"): operated("/groups", {"group_id": "new-group"}),
    ("operator", "POST", "/groups/<group_id>/remove"): Row(remove_recipient),
    ("operator", "POST", "/invites"): operated("/invites", {"user": "carol", "group_id": GROUP}),
    ("operator", "POST", "/admins/<user>/suspend"): of_admins("/admins/alice/suspend", {}),
    ("operator", "POST", "/admins/<user>/resume"): of_admins("/admins/alice/resume", {}, ("/admins/alice/suspend", {})),
    ("operator", "POST", "/admins/<user>/remove"): of_admins("/admins/alice/remove", {}),
    ("rotate_request", "POST", "/"): Row(rotate),
    ("distribute", "POST", "/"): Row(distribute),
    ("grace_sweeper", "POST", "/"): Row(sweep),
    ("enrol", "POST", "/"): Row(join),
    ("enrol", "POST", "/registration"): Row(register, attested=True),
    ("enrol", "POST", "/registration/confirm"): Row(confirm, attested=True),
    ("enrol", "POST", "/approvals"): Row(approve, attested=True),
    ("admin_proof", "POST", "/proof"): Row(prove, attested=True),
}


WITHOUT_COMMITS = {
    ("operator", "POST", "/callers"),
    ("operator", "POST", "/id_tokens"),
    ("on_secret_version", "POST", "/"),
    ("admin_proof", "POST", "/challenge"),
    ("client_token", "POST", "/token"),
    ("client_token", "POST", "/check"),
    ("client_token", "POST", "/introspect"),
    ("client_token", "POST", "/canary/challenge"),
}
"""Routes that change nothing, besides every GET. Counts of uses are written in the background."""

WITHOUT_ROW = {
    ("operator", "POST", "/leak/revoke"): "idempotent by its rotation's id, as a signed event is: needs a row",
    ("client_token", "POST", "/canary"): "idempotent by its instance: needs a row",
}

DIFFERENT = {
    ("distribute", "POST", "/", "1 applied"): "`sent` is false. The bus reads only the status",
    ("grace_sweeper", "POST", "/", "1 applied"): "`settled` is 0. Only the log and the scheduler see it",
    ("grace_sweeper", "POST", "/", "3 not applied"): "expired documents wait for the next turn",
    ("grace_sweeper", "POST", "/", "5 not applied"): "maintenance waits for the next turn",
    ("grace_sweeper", "POST", "/", "6 not applied"): "maintenance waits for the next turn",
}
"""Faults that change the outcome, each with its reason."""


def test_every_route_is_in_a_table() -> None:
    routes = {(name, *route) for name, table in FUNCTIONS.items() for route in table.handlers}
    tables = [set(ROWS), WITHOUT_COMMITS, set(WITHOUT_ROW)]
    assert {route for route in routes if route[1] != "GET"} == set().union(*tables)
    assert sum(map(len, tables)) == len(set().union(*tables))


@pytest.mark.parametrize("route", ROWS, ids=" ".join)
def test_the_answer_and_what_is_stored_are_as_without_the_fault(route: tuple[str, str, str], tmp_path: Path) -> None:
    row = ROWS[route]
    with running(tmp_path, attested=row.attested) as world:
        world.found(*(() if row.attested else ("alice", "bob")))
        found = {name for name, faulty, honest in outcomes(world, row.prepare(world)) if faulty != honest}
    assert found == {name for *about, name in DIFFERENT if tuple(about) == route}


@pytest.mark.parametrize("name", ["register", "prove"])
def test_a_challenge_is_used_up_for_every_other_request_after_an_unknown_outcome(name: str, tmp_path: Path) -> None:
    with running(tmp_path, attested=True) as world:
        world.found()
        request = {"register": register, "prove": prove}[name](world)
        faults = Faults(world)
        world.serve()
        faults.at, faults.applied = 0, True
        assert request().status_code == 200
        again = request()
    assert (again.status_code, again.json and again.json["reason"]) == (401, "challenge_refused")


def test_a_code_is_used_up_after_an_unknown_outcome(tmp_path: Path) -> None:
    with running(tmp_path, attested=True) as world:
        world.found()
        alice = admitted(world, "alice")
        faults = Faults(world)
        world.serve()
        faults.at, faults.applied = 0, True
        code = alice.fresh_code()
        assert alice.prove("A" * 43, totp=code).status_code == 200
        again = alice.prove("A" * 43, totp=code)
    assert (again.status_code, again.json and again.json["reason"]) == (401, "proof_refused")


@pytest.mark.parametrize("applied", [True, False])
def test_a_wrong_code_is_counted_once_whatever_the_outcome(tmp_path: Path, *, applied: bool) -> None:
    with running(tmp_path, attested=True) as world:
        world.found()
        alice = admitted(world, "alice")
        faults = Faults(world)
        world.serve()
        faults.at, faults.applied = 0, applied
        assert alice.prove("A" * 43, totp="000000").status_code == 401
        assert world.auth.get(["admins/alice"])["admins/alice"].integer("failures") == 1
