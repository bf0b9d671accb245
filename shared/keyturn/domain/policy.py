"""Policy: deployment defaults, per-client overrides, hard bounds (protocol.md §6)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.errors import PolicyViolation

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

WINDOW_TOLERANCE = timedelta(seconds=2)
"""How far a verifier's idea of store time may be off at a window's edge."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a client's rotations must keep to; durations in seconds."""

    minimum_not_before_seconds: int = 10 * MINUTE
    grace_seconds: int = 7 * DAY
    quorum: int = 1
    emergency_quorum: int = 0
    """0: min(max(2, quorum), people who may ack)."""
    ack_deadline_seconds: int = 30 * MINUTE
    scheduled_ack_deadline_seconds: int = 72 * HOUR
    minimum_interval_seconds: int = HOUR
    distribute_deadline_seconds: int = 30 * MINUTE
    promote_deadline_seconds: int = DAY
    republish_seconds: int = MINUTE
    requests_per_hour_per_client: int = 20
    requests_per_hour_per_requester: int = 60
    require_receipts: bool = True
    require_ack_proofs: bool = False
    """Whether an ack wants an attested admin's proof besides its signature and receipt."""
    scannable_secrets: bool = False
    """Whether new secrets carry a prefix, a version hint and a checksum, for secret scanners."""
    canaries: int = 0
    """How many of the integrator's own instances must have proved that they hold the new secret before promotion."""
    retire_early: bool = False
    """Whether an old version that has long been silent is retired before its grace ends, or that is only proposed."""
    invite_quorum: int = 1
    """How many active admins approve an invite, where there are so many."""
    access_token_seconds: int = 600
    max_stale_seconds: int = 5
    """The staleness bound: how long after a change a verifier may still answer as before; 0 reads every time."""

    def overridden(self, overrides: Mapping[str, int | bool]) -> Policy:
        """Return this policy with a client's overrides; `PolicyViolation` for unknown names or values out of bounds."""
        for name, value in overrides.items():
            _check_override(name, value)
        return replace(self, **overrides)  # type: ignore[arg-type]  # names and types are checked above

    def rollback_margin(self) -> timedelta:
        """Return how long before the end of grace a rollback is no longer sure to reach every verifier in time."""
        return timedelta(seconds=self.max_stale_seconds) + 2 * WINDOW_TOLERANCE


BOUNDS: Mapping[str, tuple[int, int]] = {
    "minimum_not_before_seconds": (0, 30 * DAY),
    "grace_seconds": (0, 30 * DAY),
    "quorum": (1, 50),
    "emergency_quorum": (0, 50),
    "ack_deadline_seconds": (MINUTE, 7 * DAY),
    "scheduled_ack_deadline_seconds": (MINUTE, 30 * DAY),
    "minimum_interval_seconds": (0, 30 * DAY),
    "requests_per_hour_per_client": (1, 1000),
    "requests_per_hour_per_requester": (1, 1000),
    "access_token_seconds": (60, HOUR),
    "canaries": (0, 50),
}
"""What a client may override, between which hard bounds; SWITCHES besides. The rest is the deployment's."""

SWITCHES = frozenset({"require_receipts", "require_ack_proofs", "scannable_secrets", "retire_early"})
"""What a client may switch on and off."""

MAX_GRACE = timedelta(seconds=BOUNDS["grace_seconds"][1])
MAX_LEAD = timedelta(days=90)
"""How far ahead a rotation may be scheduled."""

_KINDS = {field.name: bool if field.name in SWITCHES else int for field in fields(Policy)}


def _check_override(name: str, value: int | bool) -> None:  # noqa: FBT001 - a policy value is one or the other
    if name not in BOUNDS and name not in SWITCHES:
        raise PolicyViolation("unknown_policy", "A policy setting is unknown or not a client's to set.")
    if type(value) is not _KINDS[name]:
        raise PolicyViolation("policy_type", "A policy value is of the wrong type.")
    low, high = BOUNDS.get(name, (0, 1))
    if not low <= value <= high:
        raise PolicyViolation("policy_out_of_bounds", "A policy value is outside its hard bounds.")
