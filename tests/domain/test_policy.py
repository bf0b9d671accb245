from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

import pytest
from keyturn.domain.errors import PolicyViolation
from keyturn.domain.policy import BOUNDS, MAX_GRACE, SWITCHES, Policy, PolicyField, Unit, policy_fields

# docs/protocol.md §6, in seconds.
DEFAULTS = {
    "minimum_not_before_seconds": 600,
    "grace_seconds": 604_800,
    "quorum": 1,
    "emergency_quorum": 0,
    "ack_deadline_seconds": 1800,
    "scheduled_ack_deadline_seconds": 259_200,
    "minimum_interval_seconds": 3600,
    "distribute_deadline_seconds": 1800,
    "promote_deadline_seconds": 86_400,
    "require_receipts": True,
    "access_token_seconds": 600,
    "max_stale_seconds": 5,
    "require_ack_proofs": False,
    "scannable_secrets": False,
    "canaries": 0,
    "retire_early": False,
    "invite_quorum": 1,
}


@pytest.mark.parametrize(("name", "value"), DEFAULTS.items(), ids=DEFAULTS)
def test_defaults(name: str, value: int) -> None:
    assert getattr(Policy(), name) == value


@pytest.mark.parametrize("described", policy_fields(), ids=lambda described: described.name)
def test_every_field_is_described(described: PolicyField) -> None:
    assert described.default == getattr(Policy(), described.name)
    assert isinstance(described.default, bool) == (described.unit is Unit.SWITCH)
    assert described.name.endswith("_seconds") == (described.unit is Unit.SECONDS)
    assert described.meaning.endswith(".")
    assert described.per_client == (described.name in {*BOUNDS, *SWITCHES})


def test_the_description_is_complete() -> None:
    assert [described.name for described in policy_fields()] == [field.name for field in fields(Policy)]


def test_grace_is_at_most_30_days() -> None:
    assert timedelta(days=30) == MAX_GRACE


def test_overrides_change_only_what_they_name() -> None:
    changed = Policy().overridden({"quorum": 3, "require_receipts": False})
    assert changed.quorum == 3
    assert changed.require_receipts is False
    assert changed.overridden({"quorum": 1, "require_receipts": True}) == Policy()
    assert Policy().overridden({}) == Policy()


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_inclusive_and_hard(name: str) -> None:
    low, high = BOUNDS[name]
    assert getattr(Policy().overridden({name: low}), name) == low
    assert getattr(Policy().overridden({name: high}), name) == high
    for outside in (low - 1, high + 1):
        with pytest.raises(PolicyViolation) as caught:
            Policy().overridden({name: outside})
        assert caught.value.reason == "policy_out_of_bounds"


@pytest.mark.parametrize("name", BOUNDS)
def test_every_default_is_inside_its_bounds(name: str) -> None:
    assert Policy().overridden({name: getattr(Policy(), name)}) == Policy()


NOT_A_CLIENTS = [field.name for field in fields(Policy) if field.name not in {*BOUNDS, *SWITCHES}]


@pytest.mark.parametrize("name", [*NOT_A_CLIENTS, "", "overridden", "quorum "])
def test_unknown_or_the_deployments(name: str) -> None:
    with pytest.raises(PolicyViolation) as caught:
        Policy().overridden({name: 1})
    assert caught.value.reason == "unknown_policy"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quorum", True),
        ("require_receipts", 1),
        ("require_receipts", 0),
        ("quorum", 1.0),
        ("quorum", "1"),
        ("quorum", None),
    ],
)
def test_wrong_type(name: str, value: object) -> None:
    with pytest.raises(PolicyViolation) as caught:
        Policy().overridden({name: value})  # type: ignore[dict-item]  # what a document may hold
    assert caught.value.reason == "policy_type"


def test_rollback_margin_is_staleness_and_four_seconds_and_the_longest_commit() -> None:
    assert Policy().rollback_margin(timedelta(0)) == timedelta(seconds=9)
    assert Policy().rollback_margin(timedelta(seconds=40)) == timedelta(seconds=49)
    assert Policy(max_stale_seconds=20).rollback_margin(timedelta(seconds=2)) == timedelta(seconds=26)
