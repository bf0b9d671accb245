"""A user at a shell: commands as they would be typed, and what an error has to look like."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keyturn.cli.main import app
from keyturn.cli.operator_token import token_path
from keyturn.cli.session import Ports
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from typer.testing import CliRunner

from tests.world import CHEAP, TOKEN, URL, Clock, World, WorldTransport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from keyturn.device.api.client import Transport
    from typer.testing import Result

    from tests.service import Service


ROTATION = "01JNM0000000000000000000A1"
PASSPHRASE = "a long passphrase"


@dataclass
class Shell:
    """A user at a shell: each call is one command, as it would be typed."""

    folder: Path
    server: Service
    clock: Clock
    typed: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    on_sleep: Callable[[], object] = lambda: None
    attended: bool = False
    """Whether a person sits at the terminal of the session, also where standard input is a pipe."""

    def sleep(self, _seconds: float) -> None:
        self.on_sleep()

    def ports(self, *, terminal: bool) -> Ports:
        answers = iter(self.typed)

        def ask(prompt: str) -> str:
            self.questions.append(prompt)
            return next(answers)

        return Ports(
            transport=self.server,
            now=self.clock,
            random=os.urandom,
            sleep=self.sleep,
            environment={"XDG_STATE_HOME": str(self.folder / "state"), "XDG_DATA_HOME": str(self.folder / "data")},
            is_terminal=lambda: terminal,
            has_terminal=lambda: terminal or self.attended,
            ask_secret=ask,
            passphrase_cost=CHEAP,
        )

    def __call__(self, *words: str, stdin: str | bytes = "", terminal: bool = False, home: str = "alice") -> Result:
        options = ["--url", URL, "--home", str(self.folder / home)]
        if not self.typed:
            options += ["--passphrase-file", str(self.folder / "passphrase")]
        return CliRunner().invoke(app, [*options, *words], input=stdin, obj=self.ports(terminal=terminal))

    def device(self, home: str = "alice") -> Device:
        """Return the device itself, as another process on the same machine."""
        opened = Home.open(self.folder / home, PASSPHRASE)
        return Device.open(opened, URL, transport=self.server, now=self.clock, sleep=lambda _seconds: None)

    def issue(self, client_id: str = "acme") -> str:
        """Rotate from request to promotion; the new version's id."""
        answer = self.json("rotate", client_id, "--reason", "routine", "--yes")
        self.json("ack", answer["rotation_id"])
        return str(answer["version_id"])

    def json(self, *words: str, stdin: str = "", home: str = "alice") -> dict[str, Any]:
        result = self(*words, "--json", stdin=stdin, home=home)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("\n") == 1
        value = json.loads(result.stdout)
        assert isinstance(value, dict)
        return value


@dataclass
class Operator:
    """The operator of a world at a shell, without a device."""

    world: World
    transport: Transport = field(default_factory=WorldTransport)

    def __post_init__(self) -> None:
        save_operator_token(self.world.folder)

    def __call__(self, *words: str, stdin: str = "") -> Result:
        ports = Ports(
            transport=self.transport,
            now=self.world.clock,
            random=os.urandom,
            sleep=lambda _seconds: None,
            environment={"XDG_STATE_HOME": str(self.world.folder / "state")},
            is_terminal=lambda: False,
            has_terminal=lambda: False,
        )
        options = ["--url", URL, "--home", str(self.world.folder / "home")]
        return CliRunner().invoke(app, [*options, *words], input=stdin, obj=ports)

    def json(self, *words: str, stdin: str = "", code: int = 0) -> dict[str, Any]:
        result = self(*words, "--json", stdin=stdin)
        assert result.exit_code == code, result.stderr
        value = json.loads(result.stdout)
        assert isinstance(value, dict)
        return value

    def file(self, text: str) -> str:
        """Write a file, and return its path as an argument."""
        path = self.world.folder / "clients"
        path.write_text(text, encoding="utf-8")
        return str(path)


def save_operator_token(folder: Path) -> None:
    """Put the operator token where `keyturn up` puts it, with `folder`/state as the user's state folder."""
    path = token_path(URL, {"XDG_STATE_HOME": str(folder / "state")})
    path.parent.mkdir(parents=True)
    path.write_text(TOKEN + "\n")


def assert_error(result: Result, *, code: int, error: str, hint: str) -> None:
    assert result.exit_code == code, result.output
    lines = result.stderr.splitlines()
    assert lines[-2].startswith("error: ")
    assert error in lines[-2]
    assert lines[-1].startswith("hint: ")
    assert hint in lines[-1]
