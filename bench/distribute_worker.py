"""A worker of the group row: a process that handles the outbox's messages one at a time until it is killed.

`python -m bench.distribute_worker DATA COUNTS`: each attempted commit of a group's state adds one byte to the file
COUNTS, before the store is called.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from keyturn.adapters.sqlite.outbox import Outbox
from keyturn.entry.composition.foundation import Overrides
from keyturn.entry.composition.suite import Suite
from keyturn.ports.store import Databases, Replace
from keyturn.records import paths

from bench.distribute_stage import PATIENCE, settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.adapters.sqlite.outbox import OutboxEvent
    from keyturn.adapters.sqlite.store import SqliteStore
    from keyturn.ports.store import Snapshot, Write

IDLE_SECONDS = 0.005


class CountingStore:
    """The control store, counting the commits that would change a group."""

    def __init__(self, store: SqliteStore, counts_file: Path) -> None:
        self.get = store.get
        self.query = store.query
        self.longest_commit = store.longest_commit
        self._store = store
        self._counts_file = os.open(counts_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        """Commit, as the store does."""
        if any(isinstance(write, Replace) and write.path.startswith(f"{paths.GROUPS}/") for write in writes):
            os.write(self._counts_file, b".")
        return self._store.commit(writes, basis=basis)


def main(folder: Path, counts_file: Path) -> None:
    """Work until killed."""
    bare = Suite(settings(folder))
    control = cast("SqliteStore", bare.databases.control)
    counting = CountingStore(control, counts_file)
    databases = Databases(counting, bare.databases.auth, bare.databases.usage)
    suite = replace(bare, overrides=Overrides(databases=databases, bus=bare.bus, keys=bare.keys))
    outbox = Outbox(control.file, policy=PATIENCE)
    with outbox.hold_delivery_lock():
        while True:
            for event in outbox.claim(1):
                _deliver(suite, outbox, event)
            time.sleep(IDLE_SECONDS)


def _deliver(suite: Suite, outbox: Outbox, event: OutboxEvent) -> None:
    try:
        if event.function == "on_secret_version":
            _, client_id, _, version_id = event.subject.split("/")
            suite.distribution.publish(client_id, version_id)
        else:
            suite.distribution.distribute(event.attributes["client_id"], event.attributes["rotation_id"])
    except Exception as error:  # noqa: BLE001 - as a door does: whatever failed is delivered again
        outbox.mark_failed(event, type(error).__name__)
    else:
        outbox.mark_delivered(event)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
