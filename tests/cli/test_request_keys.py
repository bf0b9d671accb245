"""The operator's requests are repeated under their key when an answer is lost, by the same run and by the next one."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest
from keyturn.cli.request_keys import LIFETIME_SECONDS, StoredKeys
from keyturn.device.api.client import ApiClient, HttpTransport
from keyturn.device.core.errors import ServerRefusedError, UnreachableError
from keyturn.local.gateway import open_gateway
from keyturn.local.server import Server

from tests.adapters.valve import Valve
from tests.functions.attested import admitted
from tests.scenarios.outcome_scenes import HASH
from tests.world import CLIENT, GROUP, TOKEN, WorldTransport, running

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyturn.device.api.client import HttpRequest, HttpResponse

    from tests.world import World


class CutTransport:
    """A connection that is cut after the server has answered, for the first `cuts` requests."""

    def __init__(self, cuts: int) -> None:
        self.cuts, self.lost = cuts, list[object]()
        self._transport = WorldTransport()

    def send(self, request: HttpRequest) -> HttpResponse:
        response = self._transport.send(request)
        if len(self.lost) < self.cuts:
            self.lost.append(json.loads(response.body))
            raise UnreachableError("The server does not answer.", "Try again.")
        return response


Fields = dict[str, object]


def found(world: World) -> None:
    world.found("alice", "bob")


def with_recipient(world: World) -> None:
    found(world)
    assert world.send(world.admins["alice"].rotation()).status_code == 200
    world.pump()


def with_admins(world: World) -> None:
    world.found()
    admitted(world, "bob", admitted(world, "alice"))


REQUESTS: dict[str, tuple[Callable[[World], None], str, Fields]] = {
    "client add": (found, "/clients", {"client_id": "new", "groups": [GROUP]}),
    "client import": (found, "/imports", {"clients": [{"client_id": "old", "groups": [GROUP], "secret_hash": HASH}]}),
    "client policy": (found, f"/clients/{CLIENT}/policy", {"policy": {"minimum_interval_seconds": 60}}),
    "client tokens": (found, f"/clients/{CLIENT}/tokens", {"scopes": ["read"]}),
    "group create": (found, "/groups", {"group_id": "new-group"}),
    "group remove": (with_recipient, f"/groups/{GROUP}/remove", {"user": "alice"}),
    "deny": (found, "/denied", {"add": {"users": ["mallory"]}, "reason": "left"}),
    "stop": (found, "/stop", {"reason": "an incident"}),
    "start": (found, "/start", {"reason": "it is over"}),
    "admin suspend": (with_admins, "/admins/alice/suspend", {}),
    "admin remove": (with_admins, "/admins/alice/remove", {}),
}


def client(transport: CutTransport, folder: Path) -> ApiClient:
    return ApiClient("http://127.0.0.1:8787", transport, lambda _seconds: None, StoredKeys(folder))


@pytest.mark.parametrize("name", REQUESTS)
def test_command_that_lost_its_answers_gets_the_first_one(name: str, tmp_path: Path) -> None:
    prepare, path, fields = REQUESTS[name]
    with running(tmp_path, attested=prepare is with_admins) as world:
        prepare(world)
        cut, state = CutTransport(3), tmp_path / "state"  # as many as one run sends
        with pytest.raises(UnreachableError):
            client(cut, state).operator("POST", path, TOKEN, fields)
        after = [world.documents(), world.documents(world.auth)]

        answer = client(CutTransport(0), state).operator("POST", path, TOKEN, fields)  # the next run

        assert [answer] * 3 == cut.lost
        assert [world.documents(), world.documents(world.auth)] == after, "a repeated request changed something"
        assert not list(state.iterdir())


@pytest.mark.parametrize("name", ["client add", "group create"])
def test_another_command_for_the_same_thing_is_refused(name: str, tmp_path: Path) -> None:
    prepare, path, fields = REQUESTS[name]
    with running(tmp_path) as world:
        prepare(world)
        client(CutTransport(1), tmp_path / "state").operator("POST", path, TOKEN, fields)
        with pytest.raises(ServerRefusedError, match="already exists"):
            client(CutTransport(0), tmp_path / "state").operator("POST", path, TOKEN, fields)


def test_answer_that_a_real_connection_lost_is_repeated(tmp_path: Path) -> None:
    with running(tmp_path) as world:
        found(world)
        server = Server(0, open_gateway(TOKEN))
        server.start()
        try:
            with Valve(server.url.removeprefix("http://")) as valve:
                valve.held.set()  # the service answers, and the answer does not arrive

                def let_go(_seconds: float) -> None:
                    valve.held.clear()

                api = ApiClient(f"http://{valve.host}", HttpTransport(1), let_go, StoredKeys(tmp_path / "state"))
                assert api.operator("POST", "/groups", TOKEN, {"group_id": "new-group"})["group_id"] == "new-group"
        finally:
            server.stop()


def test_two_requests_under_one_key_are_two(world: World, tmp_path: Path) -> None:
    world.found("alice")

    class OneKey(StoredKeys):
        def key(self, request: bytes) -> str:
            return super().key(request[:0])

    server = ApiClient("http://127.0.0.1:8787", WorldTransport(), keys=OneKey(tmp_path))
    for name in ("first", "second"):
        assert server.operator("POST", "/groups", TOKEN, {"group_id": name})["group_id"] == name


def test_key_is_kept_until_the_answer_and_for_a_day_at_most(tmp_path: Path) -> None:
    keys = StoredKeys(tmp_path / "state")
    first = keys.key(b"POST one")
    assert (keys.key(b"POST one"), keys.key(b"POST two") == first) == (first, False)
    (path,) = [item for item in (tmp_path / "state").iterdir() if item.read_text() == first]
    assert path.stat().st_mode & 0o777 == 0o600
    late = time.time() - LIFETIME_SECONDS - 60
    os.utime(path, (late, late))
    second = keys.key(b"POST one")
    assert second != first
    keys.forget(b"POST one")
    keys.forget(b"POST one")
    assert keys.key(b"POST one") != second


def test_without_a_state_folder_a_request_is_sent_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keys = StoredKeys(tmp_path / "file" / "state")
    assert len(keys.key(b"POST one")) == 32
    keys.forget(b"POST one")
