"""One key in Cloud KMS with its enabled versions: which one is the newest, and which names can be versions of it."""

from __future__ import annotations

import re
from threading import Lock
from typing import TYPE_CHECKING

from keyturn.ports.keys import KeyRefused, KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from keyturn.adapters.google_kms.rpc import KmsRpc

_ALL_DISABLED = "every version of this key is disabled"


class CloudKey:
    """One cryptoKey and its enabled versions, which are listed again after `lag_seconds`. Threads may share it."""

    def __init__(self, rpc: Callable[[], KmsRpc], name: str, clock: Callable[[], float], lag_seconds: float) -> None:
        self.name = name
        self._rpc = rpc
        self._clock = clock
        self._lag_seconds = lag_seconds
        self._lock = Lock()
        self._enabled: Mapping[str, datetime] = {}
        self._valid_until = float("-inf")

    @property
    def rpc(self) -> KmsRpc:
        """The connection, opened on first use."""
        return self._rpc()

    def has(self, name: str) -> bool:
        """Return whether `name` has the form of a version of this key."""
        prefix = f"{self.name}/cryptoKeyVersions/"
        return name.startswith(prefix) and re.fullmatch(r"[1-9][0-9]{0,9}", name[len(prefix) :]) is not None

    def require(self, name: str) -> None:
        """Raise `KeyRefused` unless `name` has the form of a version of this key."""
        if not self.has(name):
            raise KeyRefused("the key version is unknown or disabled")

    def enabled(self) -> Sequence[str]:
        """Return the names of the enabled versions, newest first. `KeyUnavailable` if the key does not exist."""
        return tuple(self._versions())

    def _versions(self) -> Mapping[str, datetime]:
        """Return the creation times of the enabled versions by name, newest first."""
        with self._lock:  # one thread lists, the others wait for its result
            if self._clock() >= self._valid_until:
                # The clock is read before the call, so that the lag counts from a time when the list was true.
                listed_at, versions = self._clock(), self._list()
                self._enabled = {name: versions[name] for name in sorted(versions, key=_number, reverse=True)}
                self._valid_until = listed_at + self._lag_seconds
            return self._enabled

    def _list(self) -> Mapping[str, datetime]:
        try:
            versions = self.rpc.enabled_versions(self.name)
        except KeyRefused:  # this call names no version, so it is the key itself that does not exist
            raise KeyUnavailable("the key named in the settings does not exist") from None
        return {name: created_at for name, created_at in versions.items() if self.has(name)}

    def current(self) -> str:
        """Return the newest enabled version. `KeyUnavailable` if there is none."""
        for name in self.enabled():
            return name
        raise KeyUnavailable(_ALL_DISABLED)

    def current_since(self, time: datetime) -> str:
        """Return the newest version created by `time`, or else the oldest enabled one. `KeyUnavailable` if none."""
        versions = self._versions()
        for name, created_at in versions.items():
            if created_at <= time:
                return name
        for name in reversed(tuple(versions)):
            return name
        raise KeyUnavailable(_ALL_DISABLED)

    def forget(self) -> None:
        """List the versions again at the next use, because the cached list turned out to be outdated."""
        with self._lock:
            self._valid_until = float("-inf")


def _number(name: str) -> int:
    return int(name.rpartition("/")[2])
