from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tests.cli.shell import PASSPHRASE, Shell
from tests.service import Service, alice, bob, clock, new_device, server
from tests.world import TOKEN, URL, Clock

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["alice", "bob", "clock", "new_device", "server"]


@pytest.fixture
def keyturn(tmp_path: Path, server: Service, clock: Clock) -> Shell:
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
