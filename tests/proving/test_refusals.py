"""The log of refusals: no decision depends on it, and requests of unknown callers are not stored."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from keyturn.domain.proofs_policy import Missing
from keyturn.ports.store import StoreUnavailable
from keyturn.use_cases.refusal_log import KEPT, Refusals, refusals_path

if TYPE_CHECKING:
    import pytest

    from tests.proving.stage import Stage

LACKS = (Missing.DEVICE, Missing.IDENTITY)


def test_a_known_callers_missing_factors_are_recorded_with_the_act(stage: Stage) -> None:
    act = stage.act()
    Refusals(stage.databases.usage, "a function").keep(act, "alice", LACKS, stage.now)
    path = refusals_path(act.npub, stage.now)
    data = dict(stage.databases.usage.get([path])[path].data or {})
    assert data["expires_at"] == stage.now + KEPT
    assert [dict(entry) for entry in stage.evidence()] == [
        {
            "at": stage.now,
            "door": "a function",
            "user": "alice",
            "npub": act.npub,
            "client_id": "acme",
            "group": "ops",
            "missing": ("device", "identity"),
        }
    ]


def test_a_stranger_is_counted_in_the_log_and_nothing_of_theirs_is_in_it(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    act = stage.act(npub="ab" * 32)
    with caplog.at_level(logging.INFO, "keyturn"):
        Refusals(stage.databases.usage, "a function").keep(act, None, LACKS, stage.now)
    assert stage.evidence() == []
    (record,) = caplog.records
    assert record.getMessage() == "a function refused an unknown caller: device identity"


def test_a_store_that_is_down_changes_no_refusal(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    class Down:
        def get(self, _paths: object) -> object:
            raise StoreUnavailable

    Refusals(Down(), "a function").keep(stage.act(), "alice", LACKS, stage.now)  # type: ignore[arg-type]  # a store that only fails
    assert [record.getMessage() for record in caplog.records] == ["a function could not record a refusal"]


def test_the_evidence_of_a_day_is_spread_over_sixteen_documents(stage: Stage) -> None:
    paths = {refusals_path(f"{number:064x}", stage.now) for number in range(400)}
    assert len(paths) == 16
    assert all(path.startswith("refusals/20260301-") for path in paths)
