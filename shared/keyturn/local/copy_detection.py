"""Detects that a data folder is a copy or was restored from a backup, and freezes its store.

    placement.json (in the folder)       the deployment's id, and which file control.db is (device and inode)
    deployment-<id>.json (outside)       a rollback counter: the store's highest version, in the user's state folder

1. If control.db is another file than recorded, the folder was copied, or restored as new files.
2. If the store's version is behind the rollback counter, the store was restored in place.
3. In both cases the store is frozen (use_cases/groups/freeze.py), because an older MLS state must not send: it would
   use keys a second time. `keyturn thaw` re-creates the MLS groups.

The counter is written at every sweep. Rule 2 does not notice a restore that loses only later writes than that.
"""

from __future__ import annotations

import json
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from keyturn.cli.folders import state_folder
from keyturn.local.errors import LocalError
from keyturn.ports.store import Query, StoreUnavailable
from keyturn.private_files import replace_private
from keyturn.records import paths

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from keyturn.adapters.sqlite.store import SqliteStore
    from keyturn.entry.composition.suite import Suite

_log = logging.getLogger(__name__)

COPIED = "copied"
RESTORED = "restored"
_PLACEMENT = "placement.json"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """A deployment's data folder and its rollback counter in the state folder."""

    folder: Path
    state: Path
    deployment: str

    @property
    def _counter(self) -> Path:
        return self.state / f"deployment-{self.deployment}.json"

    def record_version(self, suite: Suite) -> None:
        """Write the store's highest version to the rollback counter."""
        content = json.dumps({"reached": _highest_version(suite)}).encode("ascii")
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):  # another process on the same folder is writing it at this moment
            replace_private(self._counter, content)

    def try_to_record_version(self, suite: Suite) -> None:
        """Write the rollback counter. If that is not possible now, log it: the next sweep writes it."""
        try:
            self.record_version(suite)
        except (OSError, StoreUnavailable):
            _log.warning("could not update the rollback counter in the state folder")

    def is_behind(self, suite: Suite) -> bool:
        """Return whether the store's version is lower than the rollback counter."""
        counter = _read(self._counter)
        return counter is not None and _highest_version(suite) < int(str(counter.get("reached", 0)))


def identify_folder(suite: Suite, environment: Mapping[str, str]) -> DataFolder:
    """Return a suite's data folder. If it is a copy or a restored backup, freeze it and record the new file."""
    folder, state = cast("Path", suite.settings.data), state_folder(environment)
    record, file = _read(folder / _PLACEMENT), _file_identity(folder)
    is_same_file = record is not None and record.get("file") == file
    # A copy becomes a deployment of its own, because its writes must not make the original look older than it is.
    deployment = str(record["deployment"]) if record and is_same_file else secrets.token_hex(8)
    data_folder = DataFolder(folder, state, deployment)
    if record and not is_same_file:
        suite.freeze.freeze(COPIED)
    elif (record and data_folder.is_behind(suite)) or (not record and _has_groups(suite)):
        suite.freeze.freeze(RESTORED)
    placement: dict[str, object] = {"deployment": deployment, "file": file}
    if placement != record:  # so that a known folder needs no space to start
        replace_private(folder / _PLACEMENT, json.dumps(placement).encode("ascii"))
    data_folder.try_to_record_version(suite)
    return data_folder


def _has_groups(suite: Suite) -> bool:
    return bool(suite.databases.control.query(Query(paths.MAINTENANCE, order_by="due_at", limit=1)))


def _file_identity(folder: Path) -> list[int]:
    status = (folder / "control.db").stat()
    return [status.st_dev, status.st_ino]


def _highest_version(suite: Suite) -> int:
    return cast("SqliteStore", suite.databases.control).highest_version()


def _read(path: Path) -> dict[str, object] | None:
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        record = json.loads(data)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise LocalError(
            f"{path.name} is damaged.", "If the data folder was neither copied nor restored, remove the file."
        )
    return record
