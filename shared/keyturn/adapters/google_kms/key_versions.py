"""One key in Cloud KMS and its enabled versions: which one is the newest, and which names are versions of it at all."""

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
    """One cryptoKey and its enabled versions, which are asked for again after `lag_seconds`. Threads may share it."""

    def __init__(self, rpc: Callable[[], KmsRpc], name: str, clock: Callable[[], float], lag_seconds: float) -> None:
        self.name = name
        self._rpc = rpc
        self._clock = clock
        self._lag_seconds = lag_seconds
        self._lock = Lock()
        self._enabled: Mapping[str, datetime] = {}
        self._known_until = float("-inf")

    @property
    def rpc(self) -> KmsRpc:
        """The connection, opened on first use."""
        return self._rpc()

    def has(self, name: str) -> bool:
        """Return whether `name` has the form of a version of this key."""
        prefix = f"{self.name}/cryptoKeyVersions/"
        return name.startswith(prefix) and re.fullmatch(r"[1-9][0-9]{0,9}", name[len(prefix) :]) is not None

    def require(self, name: str) -> None:
        """Return if `name` has the form of a version of this key; `KeyRefused` if not."""
        if not self.has(name):
            raise KeyRefused("the key version is unknown or disabled")

    def enabled(self) -> Sequence[str]:
        """Return the names of the enabled versions, newest first; `KeyUnavailable` if there is no such key at all."""
        return tuple(self._known())

    def _known(self) -> Mapping[str, datetime]:
        with self._lock:  # while one asks, the others wait for its answer
            if self._clock() >= self._known_until:
                asked_at, asked = self._clock(), self._asked()
                self._enabled = {name: asked[name] for name in sorted(asked, key=_number, reverse=True)}
                self._known_until = asked_at + self._lag_seconds
            return self._enabled

    def _asked(self) -> Mapping[str, datetime]:
        try:
            return {name: made for name, made in self.rpc.enabled_versions(self.name).items() if self.has(name)}
        except KeyRefused:  # nobody named a version: the settings name a key that is not there
            raise KeyUnavailable("there is no such key in the key service") from None

    def current(self) -> str:
        """Return the newest enabled version; `KeyUnavailable` if there is none."""
        for name in self.enabled():
            return name
        raise KeyUnavailable(_ALL_DISABLED)

    def current_since(self, time: datetime) -> str:
        """Return the newest enabled version that there was at `time`, or else the oldest; `KeyUnavailable` if none."""
        known = self._known()
        for name, made in known.items():
            if made <= time:
                return name
        for name in reversed(tuple(known)):
            return name
        raise KeyUnavailable(_ALL_DISABLED)

    def forget(self) -> None:
        """Ask again at the next use: what was known turned out to be old."""
        with self._lock:
            self._known_until = float("-inf")


def _number(name: str) -> int:
    return int(name.rpartition("/")[2])
