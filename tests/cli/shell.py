"""A user at a shell: commands as they would be typed, and what an error has to look like."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keyturn.cli.main import app
from keyturn.cli.session import Ports
from keyturn.device.home.sealed_files import ScryptCost
from typer.testing import CliRunner

from tests.cli.fake_server import URL, Clock, FakeServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result


CHEAP = ScryptCost(n=2**4)
"""A passphrase costs next to nothing in tests."""
ROTATION = "01JNM0000000000000000000A1"
PASSPHRASE = "a long passphrase"


@dataclass
class Shell:
    """A user at a shell: each call is one command, as it would be typed."""

    folder: Path
    server: FakeServer
    clock: Clock
    typed: list[str] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    def ports(self, *, terminal: bool) -> Ports:
        answers = iter(self.typed)
        return Ports(
            transport=self.server,
            now=self.clock.now,
            random=os.urandom,
            sleep=lambda _seconds: self.on_sleep(),
            environment={"XDG_STATE_HOME": str(self.folder / "state"), "XDG_DATA_HOME": str(self.folder / "data")},
            is_terminal=lambda: terminal,
            ask_secret=lambda _prompt: next(answers),
            passphrase_cost=CHEAP,
        )

    def __call__(self, *words: str, stdin: str | bytes = "", terminal: bool = False, home: str = "alice") -> Result:
        options = ["--url", URL, "--home", str(self.folder / home)]
        if not self.typed:
            options += ["--passphrase-file", str(self.folder / "passphrase")]
        return CliRunner().invoke(app, [*options, *words], input=stdin, obj=self.ports(terminal=terminal))

    def json(self, *words: str, stdin: str = "", home: str = "alice") -> dict[str, Any]:
        result = self(*words, "--json", stdin=stdin, home=home)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("\n") == 1
        value = json.loads(result.stdout)
        assert isinstance(value, dict)
        return value


def assert_error(result: Result, *, code: int, error: str, hint: str) -> None:
    assert result.exit_code == code, result.output
    lines = result.stderr.splitlines()
    assert lines[-2].startswith("error: ")
    assert error in lines[-2]
    assert lines[-1].startswith("hint: ")
    assert hint in lines[-1]
