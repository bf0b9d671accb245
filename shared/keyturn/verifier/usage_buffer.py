"""Count uses and refusals of one process in memory, bounded, until they are written."""

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
"""How many versions, and how many clients, may wait to be written."""


@dataclass(slots=True)
class _Count:
    first_at: datetime
    last_at: datetime
    hours: Counter[int] = field(default_factory=Counter)

    def add(self, moment: datetime, count: int) -> None:
        self.first_at = min(self.first_at, moment)
        self.last_at = max(self.last_at, moment)
        self.hours[hour_of(moment)] += count


@dataclass(slots=True)
class _VersionCount:
    client_id: str
    total: _Count
    callers: dict[str, _Count] = field(default_factory=dict)


class UsageBuffer:
    """The counts that wait to be written. The thread that counts holds `lock`; `take` acquires it by itself."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.events = 0
        self._versions: dict[str, _VersionCount] = {}
        self._failures: dict[str, _Count] = {}

    def __bool__(self) -> bool:
        """Return whether any count waits."""
        return bool(self._versions or self._failures)

    def count_uses(self, verdict: Verdict, caller: str, count: int) -> bool:
        """Count uses of a version by a caller; return False if there is no room for another version."""
        now, version = verdict.now, self._versions.get(verdict.version_id)
        if version is None:
            if len(self._versions) >= MOST_WAITING:
                return False
            version = self._versions[verdict.version_id] = _VersionCount(verdict.client_id, _Count(now, now))
        version.total.add(now, count)
        # Callers beyond the bound are counted together, under the empty tag.
        tag = caller if caller in version.callers or len(version.callers) < MAX_CALLERS else ""
        if tag not in version.callers:
            version.callers[tag] = _Count(now, now)
        version.callers[tag].add(now, count)
        self.events += count
        return True

    def count_failure(self, client_id: str, moment: datetime) -> None:
        """Count one refusal if there is room."""
        failures = self._failures.get(client_id)
        if failures is None and len(self._failures) < MOST_WAITING:
            failures = self._failures[client_id] = _Count(moment, moment)
        if failures is not None:
            failures.add(moment, 1)

    def take(self, most: int, shard: int, retention: timedelta) -> dict[str, VersionUse | ClientFailures]:
        """Remove and return the counts for at most `most` documents, by path."""
        documents: dict[str, VersionUse | ClientFailures] = {}
        with self.lock:
            while self._versions and len(documents) < most:
                version_id, version = self._versions.popitem()
                documents[version_path(version_id, shard)] = _version_use(version_id, version, retention)
            while self._failures and len(documents) < most:
                client_id, count = self._failures.popitem()
                documents[failures_path(client_id, shard)] = _client_failures(client_id, count, retention)
            # `events` only decides when to write early, so it need not be exact while versions remain.
            if not self._versions:
                self.events = 0
        return documents


def _version_use(version_id: str, version: _VersionCount, retention: timedelta) -> VersionUse:
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
        expires_at=total.last_at + retention,
    )


def _caller_use(tag: str, count: _Count) -> CallerUse:
    return CallerUse(tag, count.hours.total(), count.first_at, count.last_at, pack_hours(count.hours))


def _client_failures(client_id: str, count: _Count, retention: timedelta) -> ClientFailures:
    return ClientFailures(client_id, count.hours.total(), count.last_at, pack(count.hours), count.last_at + retention)
