"""What waits to be written is bounded, and documents out a commit's worth at a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.records.usage import USE_RETENTION, ClientFailures, VersionUse, failures_path, version_path
from keyturn.verifier import usage_buffer as module
from keyturn.verifier.usage_buffer import UsageBuffer
from keyturn.verifier.verdict import Verdict

if TYPE_CHECKING:
    import pytest

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
USED = Verdict(accepted=True, now=NOW, client_id="acme", version_id="V1")


def test_versions_and_clients_beyond_the_bound_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_WAITING", 2)
    usage = UsageBuffer()
    assert [usage.count_uses(replace(USED, version_id=f"V{number}"), "", 1) for number in (1, 2, 3, 1)] == [
        True,
        True,
        False,
        True,
    ]
    for client_id in ("a", "b", "c", "a"):
        usage.count_failure(client_id, NOW)
    documents = usage.take(10, 0, USE_RETENTION)
    assert set(documents) == {
        version_path("V1", 0),
        version_path("V2", 0),
        failures_path("a", 0),
        failures_path("b", 0),
    }
    assert documents[version_path("V1", 0)].count == documents[failures_path("a", 0)].count == 2


def test_callers_beyond_the_bound_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CALLERS", 2)
    usage = UsageBuffer()
    for tag in ("a", "b", "c", "d", "a"):
        usage.count_uses(USED, tag, 1)
    (use,) = usage.take(10, 0, USE_RETENTION).values()
    assert isinstance(use, VersionUse)
    assert {item.caller: item.count for item in use.callers} == {"a": 2, "b": 1, "": 2}


def test_what_does_not_fit_waits_for_the_next_commit() -> None:
    usage = UsageBuffer()
    for number in range(3):
        usage.count_uses(replace(USED, version_id=f"V{number}"), "", 2)
        usage.count_failure(f"client-{number}", NOW)
    assert usage.events == 6
    sizes = []
    while usage:
        sizes.append(len(usage.take(2, 1, USE_RETENTION)))
    assert sizes == [2, 2, 2]
    assert usage.events == 0


def test_first_and_last_and_end() -> None:
    usage = UsageBuffer()
    for hours in (1, 0, 2):
        usage.count_uses(replace(USED, now=NOW + timedelta(hours=hours)), "web", 1)
        usage.count_failure("acme", NOW + timedelta(hours=hours))
    use, failures = usage.take(2, 0, USE_RETENTION).values()
    last_at = NOW + timedelta(hours=2)
    assert isinstance(use, VersionUse)
    assert isinstance(failures, ClientFailures)
    assert (use.first_at, use.last_at, use.expires_at) == (NOW, last_at, last_at + USE_RETENTION)
    assert (use.callers[0].first_at, use.callers[0].last_at) == (NOW, last_at)
    assert (failures.count, failures.last_at, failures.expires_at) == (3, last_at, last_at + USE_RETENTION)
