"""Tally: uses and refusals of one process that wait to be written, in memory, bounded."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyturn.domain.usage_silence import hour_of
from keyturn.records.usage import (
    MAX_CALLERS,
    CallerUse,
    ClientFailures,
    VersionUse,
    failures_path,
    pack,
    pack_hours,
    version_path,
)

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from keyturn.verifier.verdict import Verdict

MOST_WAITING: Final = 20_000
"""Versions, and as many clients, that may wait to be written."""


@dataclass(slots=True)
class _Count:
    first_at: datetime
    last_at: datetime
    hours: Counter[int] = field(default_factory=Counter)

    def at(self, moment: datetime, count: int) -> None:
        self.first_at = min(self.first_at, moment)
        self.last_at = max(self.last_at, moment)
        self.hours[hour_of(moment)] += count


@dataclass(slots=True)
class _Version:
    client_id: str
    total: _Count
    callers: dict[str, _Count] = field(default_factory=dict)


class Tally:
    """What waits. Whoever counts holds `lock`; taking out holds it by itself."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.events = 0
        self._versions: dict[str, _Version] = {}
        self._failures: dict[str, _Count] = {}

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._versions or self._failures)

    def use(self, verdict: Verdict, caller: str, count: int) -> bool:
        """Count so many uses; False if there is no room for another version."""
        at, known = verdict.now, self._versions.get(verdict.version_id)
        if known is None:
            if len(self._versions) >= MOST_WAITING:
                return False
            known = self._versions[verdict.version_id] = _Version(verdict.client_id, _Count(at, at))
        known.total.at(at, count)
        tag = caller if caller in known.callers or len(known.callers) < MAX_CALLERS else ""
        if tag not in known.callers:
            known.callers[tag] = _Count(at, at)
        known.callers[tag].at(at, count)
        self.events += count
        return True

    def fail(self, client_id: str, at: datetime) -> None:
        """Count one refusal, if there is room."""
        known = self._failures.get(client_id)
        if known is None and len(self._failures) < MOST_WAITING:
            known = self._failures[client_id] = _Count(at, at)
        if known is not None:
            known.at(at, 1)

    def taken(self, most: int, shard: int, kept: timedelta) -> dict[str, VersionUse | ClientFailures]:
        """Take out at most so many documents' worth, by path."""
        found: dict[str, VersionUse | ClientFailures] = {}
        with self.lock:
            while self._versions and len(found) < most:
                version_id, version = self._versions.popitem()
                found[version_path(version_id, shard)] = _version_use(version_id, version, kept)
            while self._failures and len(found) < most:
                client_id, count = self._failures.popitem()
                found[failures_path(client_id, shard)] = _failures(client_id, count, kept)
            if not self._versions:
                self.events = 0
        return found


def _version_use(version_id: str, version: _Version, kept: timedelta) -> VersionUse:
    total = version.total
    callers = tuple(_caller_use(tag, count) for tag, count in version.callers.items())
    return VersionUse(
        client_id=version.client_id,
        version_id=version_id,
        count=total.hours.total(),
        first_at=total.first_at,
        last_at=total.last_at,
        hours=pack(total.hours),
        callers=callers,
        expires_at=total.last_at + kept,
    )


def _caller_use(tag: str, count: _Count) -> CallerUse:
    return CallerUse(tag, count.hours.total(), count.first_at, count.last_at, pack_hours(count.hours))


def _failures(client_id: str, count: _Count, kept: timedelta) -> ClientFailures:
    return ClientFailures(client_id, count.hours.total(), count.last_at, pack(count.hours), count.last_at + kept)
