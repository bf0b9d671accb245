"""Usage as it is read: what is known of a transition, over all shards and verifiers, and what it tells."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Final

from keyturn.domain import usage_silence
from keyturn.domain.usage_silence import HOUR, Forecast, Silence, UsageEvidence, UseHistory, VerifierReport, hour_of
from keyturn.ports.store import Query, scan
from keyturn.records.codec import from_data
from keyturn.records.usage import (
    USAGE_SHARDS,
    ClientFailures,
    VerifierLife,
    VersionUse,
    failures_path,
    merge_failures,
    merge_uses,
    unpack,
    unpack_hours,
    version_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.model import ClientState, Version
    from keyturn.ports.store import Snapshot, Store
    from keyturn.records.usage import CallerUse

DAY: Final = timedelta(days=1)
HIGH_SHARE: Final = 0.05
"""From which share of a day's uses on the old secret's use is high."""
_UNBOUNDED = 10**6


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """How far a client has moved from the version in grace (`old`) to the current one (`new`), as of `now`."""

    now: datetime
    since: datetime | None
    old_version: Version | None
    new_version: Version | None
    old: VersionUse | None
    new: VersionUse | None
    failures: Mapping[int, int] = field(repr=False)
    failed_at: datetime | None
    lives: Sequence[VerifierReport] = field(repr=False)
    complete_since: datetime | None
    seen: UsageEvidence = field(repr=False)
    silence: Silence
    forecast: Forecast

    @property
    def verifiers(self) -> int:
        """How many verifier processes count, as far as is known."""
        return sum(life.ended_at is None for life in self.lives)

    @property
    def lagging(self) -> frozenset[str]:
        """Callers that may still come back with the old secret."""
        return frozenset(usage_silence.callers_not_moved(self.seen, self.now))

    def uses(self, use: VersionUse | None, since: datetime | None) -> int:
        """Return how often a version was used since the hour of a time."""
        first = hour_of(since) if since else 0
        return sum(count for hour, count in unpack(use.hours).items() if hour >= first) if use else 0

    def old_share(self, since: datetime | None) -> float | None:
        """Return the old version's share of all uses since a time, 0 to 1; None where there were none."""
        old = self.uses(self.old, since)
        return usage_silence.share(old, old + self.uses(self.new, since))

    @property
    def failed(self) -> int:
        """How many refusals there were since the transition began."""
        first = hour_of(self.since) if self.since else 0
        return sum(count for hour, count in self.failures.items() if hour >= first)

    @property
    def at_risk(self) -> bool:
        """Whether somebody still uses the old version near its end: in the last quarter of its grace, 2 h at least."""
        ends_at = self.old_version.not_after if self.old_version else None
        if self.old is None or self.since is None or ends_at is None:
            return False
        near = ends_at - self.now <= max((ends_at - self.since) / 4, 2 * HOUR)
        lagging = any(use.last_at >= self.since for use in self.old.callers if use.caller in self.lagging)
        high = (self.old_share(self.now - DAY) or 0.0) >= HIGH_SHARE
        return near and self.old.last_at >= self.since and (lagging or high)


@dataclass(frozen=True, slots=True)
class ReadUsage:
    """Reads the database usage, where everything stands under paths that are known beforehand."""

    usage: Store

    def lives(self, now: datetime) -> Sequence[VerifierReport]:
        """Return the word of every verifier process that is remembered."""
        query = Query("verifiers", order_by="expires_at", at_least=now)
        return [_life(from_data(VerifierLife, item.data)) for item in scan(self.usage, query) if item.data]

    def progress(self, state: ClientState, lives: Sequence[VerifierReport], now: datetime) -> MigrationProgress:
        """Return how far a client is, from its settled state: one read."""
        client_id, versions = state.client.client_id, (state.previous, state.current)
        uses = [version_path(item.version_id, shard) for item in versions if item for shard in range(USAGE_SHARDS)]
        snapshot = self.usage.get([*uses, *(failures_path(client_id, shard) for shard in range(USAGE_SHARDS))])
        old, new = (_uses(snapshot, version) for version in versions)
        failures = _failures(snapshot, client_id)
        since = state.client.last_promoted_at if state.previous else None
        complete, seen = usage_silence.complete_since(lives, now), _seen(old, new)
        trend = usage_silence.forecast(unpack(old.hours) if old else {}, since, now) if since else Forecast(known=False)
        return MigrationProgress(
            now=now,
            since=since,
            old_version=state.previous,
            new_version=state.current,
            old=old,
            new=new,
            failures=unpack(failures.hours) if failures else Counter(),
            failed_at=failures.last_at if failures else None,
            lives=lives,
            complete_since=complete,
            seen=seen,
            silence=usage_silence.silence(seen, complete, now),
            forecast=trend,
        )


def _life(life: VerifierLife) -> VerifierReport:
    return VerifierReport(life.started_at, life.counted_to, life.ended_at, life.lost_to)


def _uses(snapshot: Snapshot, version: Version | None) -> VersionUse | None:
    if version is None:
        return None
    found = (snapshot[version_path(version.version_id, shard)].data for shard in range(USAGE_SHARDS))
    uses = [from_data(VersionUse, data) for data in found if data]
    return reduce(lambda one, other: merge_uses(one, other, _UNBOUNDED), uses) if uses else None


def _failures(snapshot: Snapshot, client_id: str) -> ClientFailures | None:
    found = (snapshot[failures_path(client_id, shard)].data for shard in range(USAGE_SHARDS))
    failures = [from_data(ClientFailures, data) for data in found if data]
    return reduce(merge_failures, failures) if failures else None


def _seen(old: VersionUse | None, new: VersionUse | None) -> UsageEvidence:
    by_old, by_new = (_callers(use.callers if use else ()) for use in (old, new))
    callers = {tag: (by_old.get(tag), by_new.get(tag)) for tag in {**by_old, **by_new}}
    return UsageEvidence(_trace(old) if old else None, _trace(new) if new else None, callers)


def _trace(use: VersionUse) -> UseHistory:
    return UseHistory(use.first_at, use.last_at, frozenset(unpack(use.hours)))


def _callers(uses: Iterable[CallerUse]) -> Mapping[str, UseHistory]:
    return {use.caller: UseHistory(use.first_at, use.last_at, unpack_hours(use.hours)) for use in uses}
