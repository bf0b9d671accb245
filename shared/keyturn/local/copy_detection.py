"""Where a data folder lies, and how far it had come: to notice that it is a copy, or was restored from a backup.

    placement.json (in the folder)       which deployment, and which file control.db is (device and inode)
    deployment-<id>.json (outside)       how far its store had come, in the user's state folder

1. Another file than the one that was placed: the folder was copied, or put back as new files.
2. A store that is behind what was seen outside of it: it was put back in place.
3. Either way the store is frozen (shared/keyturn/use_cases/groups/freeze.py): `keyturn thaw` founds its groups anew.

What was written after the outside was last told, at most one sweep ago, and restored at once, is not noticed by 2.
"""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from keyturn.local.errors import LocalError
from keyturn.ports.store import Query
from keyturn.private_files import replace_private
from keyturn.records import paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.adapters.sqlite.store import SqliteStore
    from keyturn.entry.composition.suite import Suite

COPIED = "copied"
RESTORED = "restored"
_PLACEMENT = "placement.json"


@dataclass(frozen=True, slots=True)
class Placement:
    """A deployment's data folder, and what is known about it outside."""

    folder: Path
    state: Path
    deployment: str

    @property
    def _witness(self) -> Path:
        return self.state / f"deployment-{self.deployment}.json"

    def witness(self, suite: Suite) -> None:
        """Tell the outside how far the store has come."""
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another process on the same folder tells it at this moment
            replace_private(self._witness, json.dumps({"reached": _reached(suite)}).encode("ascii"))

    def behind(self, suite: Suite) -> bool:
        """Return whether the store is behind what the outside knows."""
        known = _read(self._witness)
        return known is not None and _reached(suite) < int(str(known.get("reached", 0)))


def place(suite: Suite, environment: Mapping[str, str]) -> Placement:
    """Return where a suite's data lies; a folder that is not what was placed there is frozen, and placed anew."""
    folder, state = cast("Path", suite.settings.data), _state_folder(environment)
    known, file = _read(folder / _PLACEMENT), _identity(folder)
    in_place = known is not None and known.get("file") == file
    # A copy is a deployment of its own: what it writes must not make the first one look old.
    placement = Placement(folder, state, str(known["deployment"]) if known and in_place else secrets.token_hex(8))
    if known and not in_place:
        suite.freeze.freeze(COPIED)
    elif (known and placement.behind(suite)) or (not known and _has_groups(suite)):
        suite.freeze.freeze(RESTORED)
    replace_private(folder / _PLACEMENT, json.dumps({"deployment": placement.deployment, "file": file}).encode("ascii"))
    placement.witness(suite)
    return placement


def _has_groups(suite: Suite) -> bool:
    return bool(suite.databases.control.query(Query(paths.MAINTENANCE, order_by="due_at", limit=1)))


def _state_folder(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "keyturn"


def _identity(folder: Path) -> list[int]:
    found = (folder / "control.db").stat()
    return [found.st_dev, found.st_ino]


def _reached(suite: Suite) -> int:
    return cast("SqliteStore", suite.databases.control).highest_version()


def _read(path: Path) -> dict[str, object] | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        known = json.loads(data)
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise LocalError(f"{path.name} is damaged.", "If the data folder was not copied or restored, remove that file.")
    return known
