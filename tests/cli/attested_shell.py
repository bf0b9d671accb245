"""An attested admin at a shell: commands as they would be typed, with the codes of an authenticator app."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.cli.shell import Shell

if TYPE_CHECKING:
    from keyturn.cli.session import Ports
    from keyturn.device.security_key import SecurityKeys
    from typer.testing import Result


class Attested(Shell):
    """A shell at a server that wants proofs."""

    security_keys: SecurityKeys | None = None

    def ports(self, *, terminal: bool) -> Ports:
        common = super().ports(terminal=terminal)
        return replace(common, has_screen=lambda: terminal, security_keys=self.security_keys)

    def code(self, user: str = "alice") -> str:
        """Return what the person's app shows next."""
        self.clock.advance(seconds=30)
        return self.server.code(user) + "\n"

    def invited(self, user: str = "alice", purpose: str = "join") -> str:
        words = ("device", "invite", "--user", user, "--group", "ops", "--purpose", purpose)
        return str(self.json(*words)["code"])

    def enrol(self) -> None:
        self.json("device", "init", "--name", "laptop")
        self.json("login", "--user", "alice")
        assert self("device", "join", self.invited(), "--totp-uri", stdin=self.code()).exit_code == 0

    def admit(self, user: str) -> None:
        """Enrol a further admin, whom alice approves."""
        invite = self.json("device", "invite", "--user", user, "--group", "ops")
        assert self("admin", "approve", invite["invite"], "--user", user, stdin=self.code()).exit_code == 0
        self.json("device", "init", "--name", "laptop", home=user)
        self.json("login", "--user", user, home=user)
        self.server.next_seed = os.urandom(20)
        joined = self("device", "join", invite["code"], "--totp-uri", stdin=self.code(user), home=user)
        assert joined.exit_code == 0, joined.stderr

    def issue(self, client_id: str = "acme") -> str:
        asked = last_line(self("rotate", client_id, "--reason", "routine", "--yes", "--json", stdin=self.code()))
        self.json("ack", asked["rotation_id"])
        return str(asked["version_id"])


def last_line(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    value = json.loads(result.stdout.splitlines()[-1])
    assert isinstance(value, dict)
    return value
