"""Migration progress: the usage of a client's old and new secret, summed over all shards and verifiers.

See docs/verifier.md for how uses are counted, and `domain.usage_silence` for the conclusions.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Final

from keyturn.domain import usage_silence
from keyturn.domain.usage_silence import HOUR, Forecast, Silence, UsageEvidence, UseHistory, VerifierReport, hour_of
from keyturn.ports.store import Query, scan
from keyturn.records.codec import from_data, salvage
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
"""The use of the old secret is high from this share of a day's uses on."""
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
    reports: Sequence[VerifierReport] = field(repr=False)
    complete_since: datetime | None
    evidence: UsageEvidence = field(repr=False)
    silence: Silence
    forecast: Forecast

    @property
    def verifiers(self) -> int:
        """The number of verifier processes that have not ended."""
        return sum(report.ended_at is None for report in self.reports)

    @property
    def lagging(self) -> frozenset[str]:
        """The tags of callers that may use the old secret again."""
        return frozenset(usage_silence.callers_not_moved(self.evidence, self.now))

    def uses(self, use: VersionUse | None, since: datetime | None) -> int:
        """Return how often a version was used since the hour of a time."""
        first = hour_of(since) if since else 0
        return sum(count for hour, count in unpack(use.hours).items() if hour >= first) if use else 0

    def old_share(self, since: datetime | None) -> float | None:
        """Return the old version's share of all uses since a time, 0 to 1, or None if there were none."""
        old = self.uses(self.old, since)
        return usage_silence.share(old, old + self.uses(self.new, since))

    @property
    def failed(self) -> int:
        """The number of refusals since the transition began."""
        first = hour_of(self.since) if self.since else 0
        return sum(count for hour, count in self.failures.items() if hour >= first)

    @property
    def at_risk(self) -> bool:
        """Whether the old version is still in use near its end: in the last quarter of its grace, at least 2 hours."""
        ends_at = self.old_version.not_after if self.old_version else None
        if self.old is None or self.since is None or ends_at is None:
            return False
        # A caller that has moved to the new secret is no risk. A high share of old uses is, even without caller tags.
        near = ends_at - self.now <= max((ends_at - self.since) / 4, 2 * HOUR)
        lagging = any(use.last_at >= self.since for use in self.old.callers if use.caller in self.lagging)
        high = (self.old_share(self.now - DAY) or 0.0) >= HIGH_SHARE
        return near and self.old.last_at >= self.since and (lagging or high)


@dataclass(frozen=True, slots=True)
class ReadUsage:
    """Reads the database `usage`. All paths follow from the client and its versions, so no query is needed for them."""

    usage: Store

    def reports(self, now: datetime) -> Sequence[VerifierReport]:
        """Return the reports of all verifier processes that have not expired."""
        query = Query("verifiers", order_by="expires_at", at_least=now)
        return [_report(salvage(VerifierLife, document.fields), now) for document in scan(self.usage, query)]

    def progress(self, state: ClientState, reports: Sequence[VerifierReport], now: datetime) -> MigrationProgress:
        """Return the progress of a client with this settled state, in one read."""
        client_id, versions = state.client.client_id, (state.previous, state.current)
        uses = [version_path(item.version_id, shard) for item in versions if item for shard in range(USAGE_SHARDS)]
        snapshot = self.usage.get([*uses, *(failures_path(client_id, shard) for shard in range(USAGE_SHARDS))])
        old, new = (_uses(snapshot, version) for version in versions)
        failures = _failures(snapshot, client_id)
        since = state.client.last_promoted_at if state.previous else None
        complete, evidence = usage_silence.complete_since(reports, now), _evidence(old, new)
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
            reports=reports,
            complete_since=complete,
            evidence=evidence,
            silence=usage_silence.silence(evidence, complete, now),
            forecast=trend,
        )


def _report(record: VerifierLife, now: datetime) -> VerifierReport:
    if record.damaged:
        # It may have lost counts up to now, so that no silence is shown before it expires.
        return VerifierReport(now, now, None, now)
    return VerifierReport(record.started_at, record.counted_to, record.ended_at, record.lost_to)


def _uses(snapshot: Snapshot, version: Version | None) -> VersionUse | None:
    if version is None:
        return None
    shards = (snapshot[version_path(version.version_id, shard)].data for shard in range(USAGE_SHARDS))
    uses = [from_data(VersionUse, data) for data in shards if data]
    # Unbounded: a bound on the callers of the sum would hide callers that a single shard lists.
    return reduce(lambda one, other: merge_uses(one, other, _UNBOUNDED), uses) if uses else None


def _failures(snapshot: Snapshot, client_id: str) -> ClientFailures | None:
    shards = (snapshot[failures_path(client_id, shard)].data for shard in range(USAGE_SHARDS))
    failures = [from_data(ClientFailures, data) for data in shards if data]
    return reduce(merge_failures, failures) if failures else None


def _evidence(old: VersionUse | None, new: VersionUse | None) -> UsageEvidence:
    by_old, by_new = (_callers(use.callers if use else ()) for use in (old, new))
    callers = {tag: (by_old.get(tag), by_new.get(tag)) for tag in {**by_old, **by_new}}
    return UsageEvidence(_history(old) if old else None, _history(new) if new else None, callers)


def _history(use: VersionUse) -> UseHistory:
    return UseHistory(use.first_at, use.last_at, frozenset(unpack(use.hours)))


def _callers(uses: Iterable[CallerUse]) -> Mapping[str, UseHistory]:
    return {use.caller: UseHistory(use.first_at, use.last_at, unpack_hours(use.hours)) for use in uses}
