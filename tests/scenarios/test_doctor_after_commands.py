"""After every command of operators and admins, `keyturn doctor` finds nothing to report."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import bcrypt
import pytest
from keyturn.cli.main import app
from keyturn.local.doctor import diagnose
from typer.main import get_command

from tests.cli.attested_shell import Attested
from tests.cli.conftest import keyturn
from tests.service import clock, server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

    from tests.cli.shell import Shell

__all__ = ["clock", "keyturn", "server"]

pytestmark = [
    pytest.mark.world(founded=False, attested=True),
    pytest.mark.parametrize("world", ["sqlite"], indirect=True),
]

WHY = ("--reason", "routine")
LOCAL_COMMANDS = {"demo", "dead-letters", "doctor", "freeze", "keys", "package", "thaw", "up"}
"""Commands that work on a data folder and not through the functions: tests/local tries them."""


@dataclass
class Story(Attested):
    """Commands that succeed, each followed by a diagnosis."""

    commands: set[str] = field(default_factory=set)
    """The commands that ran."""

    def run(self, *words: str, code: bool = False, stdin: str = "", home: str = "alice") -> dict[str, object]:
        """Run a command, with the code of an authenticator app if it asks for one. Return its last line of JSON."""
        given = stdin + (self.code(home) if code else "")
        result = self(*words, "--json", stdin=given, home=home)
        assert result.exit_code == 0, (words, result.output)
        self.note(words)
        value = json.loads(result.stdout.splitlines()[-1])
        assert isinstance(value, dict)
        return value

    def note(self, words: tuple[str, ...]) -> None:
        """Note the command, and require that doctor finds nothing."""
        names = [" ".join(words[:length]) for length in (1, 2)]
        self.commands |= {name for name in names if name in set(leaf_commands())}
        world = self.server.world
        stores = {"control": world.control.inner, "auth": world.auth.inner, "usage": world.usage.inner}
        breaches = diagnose(world.new_suite(**stores)).breaches
        assert not breaches, (words, breaches)

    def __call__(self, *words: str, stdin: str | bytes = "", terminal: bool = False, home: str = "alice") -> Result:
        self.clock.advance(seconds=1)
        return super().__call__(*words, stdin=stdin, terminal=terminal, home=home)

    def rotation(self, *options: str) -> str:
        return str(self.run("rotate", "acme", *WHY, "--yes", *options, code=True)["rotation_id"])

    def promote(self) -> str:
        """Rotate to the end, and return the new secret."""
        rotation_id = self.rotation()
        self.run("ack", rotation_id)
        return self.server.secrets[rotation_id]


@pytest.fixture
def story(keyturn: Shell) -> Story:
    return Story(keyturn.folder, keyturn.server, keyturn.clock)


def leaf_commands() -> Iterator[str]:
    """Yield the commands of the command line that have no commands below them."""

    def walk(command: object, words: tuple[str, ...]) -> Iterator[str]:
        for name, below in getattr(command, "commands", {}).items():
            leaves = list(walk(below, (*words, name)))
            yield from leaves or [" ".join((*words, name))]

    return walk(get_command(app), ())


def test_doctor_finds_nothing_after_any_command(story: Story) -> None:
    found_people(story)
    change_settings(story)
    rotate_and_undo(story)
    end_clients(story)
    replace_people(story)
    assert story.commands == {name for name in leaf_commands() if name.split()[0] not in LOCAL_COMMANDS}


def found_people(story: Story) -> None:
    story.run("device", "init", "--name", "laptop")
    story.run("login", "--user", "alice")
    story.run("group", "create", "spare")
    code = str(story.run("device", "invite", "--user", "alice", "--group", "ops")["code"])
    story.run("device", "join", code, "--totp-uri", code=True)
    for user in ("bob", "carol"):
        invite = story.run("device", "invite", "--user", user, "--group", "ops")
        story.run("admin", "approve", str(invite["invite"]), "--user", user, code=True)
        story.run("device", "init", "--name", "laptop", home=user)
        story.run("login", "--user", user, home=user)
        story.server.next_seed = user.encode().ljust(20, b".")
        story.run("device", "join", str(invite["code"]), "--totp-uri", code=True, home=user)
    story.run("device", "refresh")
    story.run("device", "rejoin", "ops")
    story.run("group", "show", "ops")
    story.run("admin", "list")


def change_settings(story: Story) -> None:
    story.run("client", "add", "shop", "--group", "ops", "--audience", "https://shop.example", "--scope", "read")
    story.run("client", "tokens", "shop", "--scope", "read", "--scope", "write", "--introspects", "https://a.example")
    story.run("client", "tokens", "shop", "--no-scopes", "--no-introspects")
    story.run("client", "access", "shop", "--valid-until", "2027-01-31", "--source", "192.0.2.0/24")
    story.run("client", "access", "shop", "--no-end", "--any-source")
    story.run("client", "policy", "shop", "--set", "quorum=2")
    story.run("client", "policy", "acme", "--set", "minimum_not_before_seconds=0")
    hashed = bcrypt.hashpw(b"the secret of old", bcrypt.gensalt(4)).decode()
    table = f"client_id,groups,kind,secret_hash\nold,ops,oauth2,{hashed}\n"
    story.run("client", "import", "-", "--group", "ops", stdin=table)
    for name in ("list", "show", "cutover"):
        story.run("client", name, *([] if name == "list" else ["shop"]))
    for change in ("add", "remove"):
        story.run("deny", change, "--user", "mallory", *WHY)
    story.run("deny", "list")
    story.run("stop", *WHY)
    story.run("start", *WHY)


def rotate_and_undo(story: Story) -> None:
    story.run("check", "acme", stdin=story.promote() + "\n")
    canceled = story.rotation()
    story.run("inbox")
    story.run("rotation", "show", canceled)
    story.run("rotation", "cancel", canceled, *WHY, code=True)
    story.promote()
    story.run("rollback", "acme", *WHY, code=True)
    story.run("restore", "acme", *WHY, code=True)
    story.run("retire", "acme", *WHY, code=True)
    story.run("retire", "acme", *WHY, code=True, home="bob")
    story.run("suspend", "acme", *WHY, code=True)
    story.run("resume", "acme", *WHY, code=True)
    story.run("rotate", "acme", *WHY, "--emergency", "--yes", code=True)
    story.clock.advance(days=40)
    story.run("sweep")


def end_clients(story: Story) -> None:
    for user in ("alice", "bob"):
        story.run("login", "--user", user, home=user)
    secret = story.promote()
    story.run("leak", stdin=secret + "\n")
    story.run("leak", "--revoke", stdin=secret + "\n")
    story.run("revoke", "acme", "--all", *WHY, stdin="acme\n", code=True)


def replace_people(story: Story) -> None:
    story.run("group", "remove", "carol", "--group", "ops")
    story.run("admin", "suspend", "carol")
    story.run("admin", "resume", "carol")
    story.run("admin", "remove", "bob")
