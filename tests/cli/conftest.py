from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.shell import PASSPHRASE, Shell, save_operator_token
from tests.service import Service, alice, bob, clock, new_device, server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.world import Clock

__all__ = ["alice", "bob", "clock", "new_device", "server"]


@pytest.fixture
def keyturn(tmp_path: Path, server: Service, clock: Clock) -> Shell:
    path = tmp_path / "passphrase"
    path.write_text(PASSPHRASE + "\n")
    path.chmod(0o600)
    save_operator_token(tmp_path)
    return Shell(tmp_path, server, clock)


@pytest.fixture
def enrolled(keyturn: Shell) -> Shell:
    keyturn.json("device", "init", "--name", "laptop")
    code = keyturn.json("device", "invite", "--user", "alice", "--group", "ops")["code"]
    keyturn.json("device", "join", code)
    return keyturn
