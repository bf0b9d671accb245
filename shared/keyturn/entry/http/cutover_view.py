"""How far a client has moved to its new secret, as `operator` and `status` show it (docs/http.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.encodings import milliseconds, to_milliseconds
from keyturn.entry.http.views import plain
from keyturn.use_cases.usage.migration_progress import DAY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.domain.model import Version
    from keyturn.records.usage import CallerUse, VersionUse
    from keyturn.use_cases.usage.cutover import CutoverView
    from keyturn.use_cases.usage.migration_progress import MigrationProgress


def cutover_view(view: CutoverView) -> Mapping[str, Any]:
    """Return the view. Shares are 0 to 1, null where no client authenticated."""
    progress = view.progress
    old = progress.old_version
    return {
        "client_id": view.state.client.client_id,
        "now": to_milliseconds(progress.now),
        "in_transition": old is not None,
        "rolled_back": view.rolled_back,
        "since": plain(progress.since),
        "not_after": plain(old.not_after) if old else None,
        "old": _version(progress, old, progress.old),
        "new": _version(progress, progress.new_version, progress.new),
        "old_share": progress.old_share(progress.since) if old else None,
        "old_share_last_day": progress.old_share(progress.now - DAY) if old else None,
        "failures": {"count": progress.failed, "last_at": plain(progress.failed_at)},
        "callers": _callers(progress),
        "telemetry": {"complete_since": plain(progress.complete_since), "verifiers": progress.verifiers},
        "silence": _silence(progress),
        "forecast": _forecast(progress, old),
        "at_risk": progress.at_risk,
        "retire": {"proposed": view.proposes_retiring, "by_policy": view.policy.retire_early},
    }


def _version(progress: MigrationProgress, version: Version | None, use: VersionUse | None) -> Mapping[str, Any] | None:
    if version is None:
        return None
    return {
        "version_id": version.version_id,
        "uses": progress.uses(use, progress.since),
        "uses_last_day": progress.uses(use, progress.now - DAY),
        "first_at": plain(use.first_at if use else None),
        "last_at": plain(use.last_at if use else None),
    }


def _callers(progress: MigrationProgress) -> list[Mapping[str, Any]]:
    """Return the callers of either version, the lagging ones first. The caller without a tag stands for several."""
    old, new = (_by_tag(use) for use in (progress.old, progress.new))
    lagging = progress.lagging
    # Lagging callers first: they are the ones whose owners the operator has to call.
    tags = sorted({*old, *new}, key=lambda tag: (tag not in lagging, tag))
    return [
        {
            "caller": tag,
            "lags": tag in lagging,
            "old_uses": old[tag].count if tag in old else 0,
            "old_last_at": plain(old[tag].last_at) if tag in old else None,
            "new_uses": new[tag].count if tag in new else 0,
            "new_last_at": plain(new[tag].last_at) if tag in new else None,
        }
        for tag in tags
    ]


def _by_tag(use: VersionUse | None) -> Mapping[str, CallerUse]:
    return {item.caller: item for item in use.callers} if use else {}


def _silence(progress: MigrationProgress) -> Mapping[str, Any] | None:
    if progress.old_version is None:
        return None
    silence = progress.silence
    return {
        "because": silence.because.value,
        "silent_for_ms": milliseconds(silence.silent_for),
        "needed_ms": None if silence.needed is None else milliseconds(silence.needed),
    }


def _forecast(progress: MigrationProgress, old: Version | None) -> Mapping[str, Any] | None:
    if old is None or old.not_after is None:
        return None
    forecast = progress.forecast
    return {"known": forecast.known, "ends_at": plain(forecast.ends_at), "in_time": forecast.in_time(old.not_after)}
