"""Backends of a deployment: databases, keys and bus, of one of two kinds. Only the settings and this module know which.

data folder                     cloud
SQLite, one file a database     Firestore, one database each
a key file                      Cloud KMS
the store's own outbox          Pub/Sub
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.ports.keys import KeyUnavailable
from keyturn.ports.store import Databases
from keyturn.records.paths import SERVICE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from keyturn.adapters.firestore.store import FirestoreChannel
    from keyturn.adapters.google_kms.keys import CloudKeys
    from keyturn.adapters.key_file.keys import LocalKeys
    from keyturn.adapters.sqlite.store import SqliteStore
    from keyturn.entry.config.settings import Cloud
    from keyturn.ports.bus import Bus
    from keyturn.ports.effects import Random
    from keyturn.ports.feed import Feed
    from keyturn.ports.triggers import Trigger


@dataclass(frozen=True)
class FolderBackends:
    """One machine: everything in one data folder."""

    folder: Path
    random: Random

    @functools.cached_property
    def databases(self) -> Databases:
        """Three SQLite files."""
        from keyturn.ports.triggers import TRIGGERS

        return Databases(self._store("control", TRIGGERS), self._store("auth"), self._store("usage"))

    def _store(self, name: str, triggers: Sequence[Trigger] = ()) -> SqliteStore:
        from keyturn.adapters.sqlite.store import SqliteStore

        return SqliteStore(self.folder / f"{name}.db", triggers=triggers)

    @functools.cached_property
    def keys(self) -> LocalKeys:
        """The key file."""
        from keyturn.adapters.key_file.keys import LocalKeys

        path = self.folder / "keys.json"
        if not path.exists() and self.databases.control.get([SERVICE])[SERVICE].exists:
            # New keys would verify no issued credential and open no group: an operator has to decide.
            raise KeyUnavailable("keys.json is missing beside a store that was written with it")
        return LocalKeys.open_or_create(path, self.random)

    @functools.cached_property
    def bus(self) -> Bus:
        """The outbox of the embedded store."""
        from keyturn.adapters.sqlite.bus import LocalBus

        # A message is a row of the control database, so publishing survives a crash as a commit does.
        return LocalBus(self.databases.control)  # type: ignore[arg-type]  # the embedded store is its own outbox

    @property
    def feed(self) -> None:
        """None: a verifier on one machine keeps no verdicts, so it needs no news of changes."""


@dataclass(frozen=True)
class CloudBackends:
    """Google Cloud, or its emulators where the settings name them."""

    cloud: Cloud
    random: Random

    @functools.cached_property
    def databases(self) -> Databases:
        """Three Firestore databases over one channel."""
        from keyturn.adapters.firestore.store import FirestoreStore

        # Three databases rather than one: IAM grants access per database, and each function gets only what it needs.
        names = (self.cloud.control, self.cloud.auth, self.cloud.usage)
        stores = (FirestoreStore(self._channel, project=self.cloud.project, database=name) for name in names)
        return Databases(*stores)

    @functools.cached_property
    def feed(self) -> Feed:
        """The changes in the control database, as Firestore reports them."""
        from keyturn.adapters.firestore.change_feed import FirestoreFeed

        return FirestoreFeed(self._channel, project=self.cloud.project, database=self.cloud.control)

    @functools.cached_property
    def _channel(self) -> FirestoreChannel:
        from keyturn.adapters.firestore.store import FirestoreChannel

        return FirestoreChannel(emulator_host=self.cloud.firestore_emulator)

    @functools.cached_property
    def keys(self) -> CloudKeys:
        """Cloud KMS."""
        from keyturn.adapters.google_kms.keys import CloudKeyNames, CloudKeys

        # A function that may not use a key has no name of it: the name is empty, and KMS refuses the call.
        cloud = self.cloud
        names = CloudKeyNames(cloud.mac_key, cloud.seal_key, cloud.sign_key, cloud.sign_key_rs256)
        return CloudKeys(names, self.random, emulator_host=self.cloud.kms_emulator)

    @functools.cached_property
    def bus(self) -> Bus:
        """Pub/Sub."""
        from keyturn.adapters.pubsub_bus import PubsubBus

        return PubsubBus(self.cloud.project, emulator_host=self.cloud.pubsub_emulator)
