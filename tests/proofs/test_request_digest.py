from __future__ import annotations

from typing import Any

import pytest
from keyturn.proofs.request_digest import PARAMS, request_digest
from keyturn.use_cases.commands.actions import ACTIONS

ABOUT: dict[str, Any] = {
    "client_id": "acme",
    "group": "ops",
    "target": "01JNM0000000000000000000A1",
    "reason": "quarterly",
    "params": {"grace_duration_ms": 1000},
}


def test_it_is_43_characters_of_what_is_asked() -> None:
    assert len(request_digest("rotation", **ABOUT)) == 43
    assert request_digest("rotation", **ABOUT) == request_digest("rotation", **ABOUT)


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "globex"},
        {"group": "others"},
        {"target": "01JNM0000000000000000000A2"},
        {"reason": "another"},
        {"params": {"grace_duration_ms": 1001}},
        {"params": {"grace_duration_ms": 1000, "supersede": True}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_counts_changes_it(change: dict[str, Any]) -> None:
    assert request_digest("rotation", **{**ABOUT, **change}) != request_digest("rotation", **ABOUT)


def test_another_action_changes_it() -> None:
    assert request_digest("emergency", **ABOUT) != request_digest("rotation", **ABOUT)


def test_what_is_null_absent_or_another_actions_is_not_in_it() -> None:
    more = {**ABOUT["params"], "not_before": None, "force": True, "rotation_reason": "said elsewhere"}
    assert request_digest("rotation", **{**ABOUT, "params": more}) == request_digest("rotation", **ABOUT)


def test_every_action_on_a_client_has_its_row() -> None:
    assert set(ACTIONS) <= set(PARAMS)
