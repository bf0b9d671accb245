from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from keyturn.device.device import Device
from keyturn.device.home.home import Home

from tests.cli.fake_server import TOKEN, URL, Clock, FakeServer
from tests.cli.shell import CHEAP, PASSPHRASE, Shell

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> FakeServer:
    server = FakeServer(clock)
    server.create_group("ops")
    server.add_client("acme", ["ops"])
    return server


@pytest.fixture
def new_device(tmp_path: Path, server: FakeServer, clock: Clock) -> Callable[[str], Device]:
    def make(name: str) -> Device:
        home = Home.create(tmp_path / name, name, "passphrase", cost=CHEAP)
        return Device.open(home, URL, transport=server, now=clock.now, random=os.urandom, sleep=lambda _seconds: None)

    return make


@pytest.fixture
def alice(new_device: Callable[[str], Device], server: FakeServer) -> Device:
    device = new_device("alice")
    device.join(server.invite("alice", "ops"))
    return device


@pytest.fixture
def bob(alice: Device, new_device: Callable[[str], Device], server: FakeServer) -> Device:
    assert alice.memberships()
    device = new_device("bob")
    device.join(server.invite("bob", "ops"))
    return device


@pytest.fixture
def keyturn(tmp_path: Path, server: FakeServer, clock: Clock) -> Shell:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    name = hashlib.sha256(URL.encode()).hexdigest()[:16]
    state = tmp_path / "state" / "keyturn"
    state.mkdir(parents=True)
    (state / f"operator-{name}.token").write_text(TOKEN + "\n")
    return Shell(tmp_path, server, clock)


@pytest.fixture
def enrolled(keyturn: Shell) -> Shell:
    keyturn.json("device", "init", "--name", "laptop")
    code = keyturn.json("device", "invite", "--user", "alice", "--group", "ops")["code"]
    keyturn.json("device", "join", code)
    return keyturn
