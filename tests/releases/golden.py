"""Write the golden deployment of this release: `python -m tests.releases.golden`.

    tests/golden/VERSION/control.sql, auth.sql, usage.sql    the databases of `keyturn up`, as SQL
                         keys.json                           the key file
                         homes/alice, homes/bob              homes of devices, with their saved MLS states
                         story.json                          the time, and the test's secrets and rotations

Later releases read it in `test_golden.py`. It is written once, with the release, and never again (docs/upgrade.md).
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from keyturn import __version__

from tests.releases.stores import DATABASES, POLICY, Built, open_rotation, overrides, tell_story
from tests.world import running

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = Path(__file__).parents[1] / "golden"
_PRAGMAS = ("application_id", "user_version")


def write(folder: Path) -> None:
    """Write the golden deployment of this release into a folder, which is replaced."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        with running(work, "sqlite", policy=POLICY, overrides=overrides()) as world:
            built = Built(world)
            tell_story(built, _tell_endings)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name in DATABASES:
                (folder / f"{name}.sql").write_text(dump(work / f"{name}.db"))
            shutil.copy(work / "keys.json", folder / "keys.json")
            for user in world.admins:
                shutil.copytree(work / "homes" / user, folder / "homes" / user, ignore=shutil.ignore_patterns("lock"))
            story = {"now": world.clock.now.isoformat(), "secrets": built.secrets, "rotations": built.rotations}
            (folder / "story.json").write_text(json.dumps(story, indent=1) + "\n")


def dump(path: Path) -> str:
    """Return a database as SQL, one row on each line, with what SQLite's own dump leaves out."""
    with closing(sqlite3.connect(path)) as connection:
        values = [(name, connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in _PRAGMAS]
        lines = [*(f"PRAGMA {name} = {value};" for name, value in values), *connection.iterdump()]
    return "\n".join(lines) + "\n"


def load(sql: str, path: Path) -> None:
    """Make a database of its SQL, as the release that wrote it would have left it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(sql)
    make_private(path)


def make_private(path: Path) -> None:
    """Let only the owner read a file or a folder with all it has: a clone of the repository lets everyone."""
    for item in (path, *path.rglob("*")):
        item.chmod(stat.S_IRWXU if item.is_dir() else stat.S_IRUSR | stat.S_IWUSR)


def _tell_endings(built: Built) -> None:
    """Add a client of each status, and a rotation of each outcome, that the story does not have."""
    world = built.world
    for client_id in ("suspended", "revoked", "rolled-back", "canceled", "expired"):
        world.add_client(client_id, kind="x_api_key")
        built.secrets[client_id] = world.issue("alice", "bob", client_id=client_id)
    _act(built, "suspended", "suspend")
    _act(built, "revoked", "revoke", {"version_id": "all"})
    built.secrets["rolled-back's next"] = world.issue("alice", "bob", client_id="rolled-back")
    _act(built, "rolled-back", "rollback")
    open_rotation(built, "canceled", "alice")
    _act(built, "canceled", "cancel", {"rotation_id": built.rotations["canceled"]})
    assert world.operator("/clients/expired/policy", {"policy": {"ack_deadline_seconds": 60}}).status_code == 200
    open_rotation(built, "expired", "alice")
    world.clock.advance(seconds=61)
    assert world.operator("/clients/expired/policy", {"policy": {"ack_deadline_seconds": None}}).status_code == 200
    world.clock.advance(seconds=1)


def _act(built: Built, client_id: str, action: str, params: Mapping[str, object] | None = None) -> None:
    event = built.world.admins["bob"].action(action, params, client_id=client_id)
    answer = built.world.send(event)
    assert answer.status_code == 200, cast("Any", answer).text


if __name__ == "__main__":
    write(GOLDEN / (sys.argv[1] if len(sys.argv) > 1 else __version__))
