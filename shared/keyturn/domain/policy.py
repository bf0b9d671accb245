"""Policy: the deployment's defaults, a client's own values, and the bounds of those (docs/protocol.md §6).

Each field carries its unit, bounds and meaning, so that docs/settings.md is generated from here. A deployment sets a
number by `KEYTURN_POLICY_<NAME>`. A client can set every field with bounds, and every switch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from keyturn.domain.errors import PolicyViolation

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR

WINDOW_TOLERANCE = timedelta(seconds=2)
"""How much a verifier's estimate of the store's time may be off at the edge of a window."""
MAX_LEAD = timedelta(days=90)
"""How far ahead a rotation can be scheduled."""


class Unit(StrEnum):
    """What a policy value counts."""

    SECONDS = "seconds"
    COUNT = "count"
    SWITCH = "on or off"


@dataclass(frozen=True, slots=True)
class PolicyField:
    """One field of `Policy`, for documentation and for checking a client's own value."""

    name: str
    default: int | bool
    unit: Unit
    bounds: tuple[int, int] | None
    """Lowest and highest value, inclusive. None for a switch."""
    meaning: str
    per_client: bool
    """Whether a client can have its own value. Every number can be set for a deployment."""


def _seconds(meaning: str, bounds: tuple[int, int], *, per_client: bool = True) -> Mapping[str, object]:
    return {"unit": Unit.SECONDS, "bounds": bounds, "meaning": meaning, "per_client": per_client}


def _count(meaning: str, bounds: tuple[int, int], *, per_client: bool = True) -> Mapping[str, object]:
    return {"unit": Unit.COUNT, "bounds": bounds, "meaning": meaning, "per_client": per_client}


def _switch(meaning: str) -> Mapping[str, object]:
    return {"unit": Unit.SWITCH, "bounds": None, "meaning": meaning, "per_client": True}


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules for one client's rotations. `policy_fields` describes each."""

    minimum_not_before_seconds: int = field(
        default=10 * MINUTE,
        metadata=_seconds(
            "The earliest that a new version can become current, measured from the request."
            " A first issue and an emergency need no lead.",
            bounds=(0, 30 * DAY),
        ),
    )
    grace_seconds: int = field(
        default=7 * DAY,
        metadata=_seconds(
            "How long the previous version keeps working after a promotion, unless the request says otherwise.",
            bounds=(0, 30 * DAY),
        ),
    )
    quorum: int = field(
        default=1,
        metadata=_count(
            "How many admins must acknowledge a new secret before it is promoted."
            " From 2 on, the requester's own acknowledgement does not count.",
            bounds=(1, 50),
        ),
    )
    emergency_quorum: int = field(
        default=0,
        metadata=_count(
            "The quorum of an emergency rotation."
            " 0 stands for two admins, or the quorum where that is higher, or all other admins if there are fewer.",
            bounds=(0, 50),
        ),
    )
    ack_deadline_seconds: int = field(
        default=30 * MINUTE,
        metadata=_seconds(
            "How long admins have to acknowledge, measured from the distribution of the secret. Then the rotation"
            " expires.",
            bounds=(MINUTE, 7 * DAY),
        ),
    )
    scheduled_ack_deadline_seconds: int = field(
        default=72 * HOUR,
        metadata=_seconds(
            "The same deadline for a rotation that is scheduled for later than `ack_deadline_seconds`.",
            bounds=(MINUTE, 30 * DAY),
        ),
    )
    minimum_interval_seconds: int = field(
        default=HOUR,
        metadata=_seconds(
            "How long after a promotion the next rotation can be requested. Emergencies are exempt.",
            bounds=(0, 30 * DAY),
        ),
    )
    distribute_deadline_seconds: int = field(
        default=30 * MINUTE,
        metadata=_seconds(
            "How long after its request a rotation expires if its secret was not distributed.",
            bounds=(MINUTE, 7 * DAY),
            per_client=False,
        ),
    )
    promote_deadline_seconds: int = field(
        default=DAY,
        metadata=_seconds(
            "How long an acknowledged rotation waits for its canaries, or for a suspended client to be resumed, before"
            " it expires.",
            bounds=(MINUTE, 30 * DAY),
            per_client=False,
        ),
    )
    republish_seconds: int = field(
        default=MINUTE,
        metadata=_seconds(
            "How long after its request a rotation is published again if it was not distributed.",
            bounds=(1, HOUR),
            per_client=False,
        ),
    )
    requests_per_hour_per_client: int = field(
        default=20,
        metadata=_count("How many rotations can be requested for one client in an hour.", bounds=(1, 1000)),
    )
    requests_per_hour_per_requester: int = field(
        default=60,
        metadata=_count("How many rotations one admin can request in an hour, over all clients.", bounds=(1, 1000)),
    )
    require_receipts: bool = field(
        default=True,
        metadata=_switch("Whether an acknowledgement needs a receipt: a signature that only the secret can make."),
    )
    require_ack_proofs: bool = field(
        default=False,
        metadata=_switch("Whether an acknowledgement also needs an attested admin's proof."),
    )
    scannable_secrets: bool = field(
        default=False,
        metadata=_switch("Whether new secrets have a prefix, a version hint and a checksum, for secret scanners."),
    )
    canaries: int = field(
        default=0,
        metadata=_count(
            "How many of the integrator's own instances must prove that they hold the new secret before it is"
            " promoted.",
            bounds=(0, 50),
        ),
    )
    retire_early: bool = field(
        default=False,
        metadata=_switch(
            "Whether a previous version that has been unused for long enough is retired before its grace ends."
            " If off, that is only proposed."
        ),
    )
    invite_quorum: int = field(
        default=1,
        metadata=_count(
            "How many other active admins must approve an invite, or all of them if there are fewer.",
            bounds=(1, 50),
            per_client=False,
        ),
    )
    access_token_seconds: int = field(
        default=10 * MINUTE,
        metadata=_seconds("How long an access token is valid.", bounds=(MINUTE, HOUR)),
    )
    max_stale_seconds: int = field(
        default=5,
        metadata=_seconds(
            "The staleness bound: how long after a change a verifier may still answer from its cache."
            " With 0 it reads the store for every check.",
            bounds=(0, MINUTE),
            per_client=False,
        ),
    )

    def overridden(self, overrides: Mapping[str, int | bool]) -> Policy:
        """Return this policy with a client's own values. Raises `PolicyViolation` for a wrong name or value."""
        for name, value in overrides.items():
            if refusal := _override_refusal(name, value):
                raise refusal
        return replace(self, **overrides)  # type: ignore[arg-type]  # names and types are checked above

    def for_client(self, overrides: Mapping[str, object]) -> Policy:
        """Return this policy with those of a client's stored values that this release accepts.

        It is for reading: a newer release may have stored further ones. What they govern is refused (`recognition`).
        """
        if not overrides:
            return self
        unrecognised = unrecognised_names(overrides)
        accepted = {name: value for name, value in overrides.items() if name not in unrecognised}
        return replace(self, **accepted)  # type: ignore[arg-type]  # names and types are checked above

    def rollback_margin(self, longest_commit: timedelta) -> timedelta:
        """Return how long before the end of grace a rollback may no longer reach every verifier in time.

        `longest_commit` is the longest time from read to commit of the store. It is no policy: nothing can override it.
        """
        return timedelta(seconds=self.max_stale_seconds) + 2 * WINDOW_TOLERANCE + longest_commit


def policy_fields() -> tuple[PolicyField, ...]:
    """Return the description of every field of `Policy`, in its order."""
    defaults = Policy()
    return tuple(
        PolicyField(name=item.name, default=getattr(defaults, item.name), **item.metadata) for item in fields(Policy)
    )


DEPLOYMENT_BOUNDS: Mapping[str, tuple[int, int]] = {
    item.name: item.bounds for item in policy_fields() if item.bounds is not None
}
"""The numbers that a deployment may set, which are all, with their inclusive bounds."""

BOUNDS: Mapping[str, tuple[int, int]] = {
    item.name: item.bounds for item in policy_fields() if item.bounds is not None and item.per_client
}
"""The numbers that a client may set, with their inclusive bounds."""

SWITCHES = frozenset(item.name for item in policy_fields() if item.unit is Unit.SWITCH)
"""What a client may switch on and off."""

MAX_GRACE = timedelta(seconds=BOUNDS["grace_seconds"][1])


def require_client_setting(name: str) -> None:
    """Refuse (`PolicyViolation`) a name that no client can have a value of."""
    if name not in BOUNDS and name not in SWITCHES:
        raise _unknown_policy()


def _unknown_policy() -> PolicyViolation:
    return PolicyViolation("unknown_policy", "A policy setting is unknown or only the deployment can set it.")


def unrecognised_names(overrides: Mapping[str, object]) -> frozenset[str]:
    """Return the names of a client's stored values that this release would not accept from a request."""
    return frozenset(name for name, value in overrides.items() if _override_refusal(name, value))


def _override_refusal(name: str, value: object) -> PolicyViolation | None:
    """Return the refusal of a client's own value, or None if it is accepted."""
    if name not in BOUNDS and name not in SWITCHES:
        return _unknown_policy()
    # bool is a subclass of int in Python, so isinstance alone would accept True as a number.
    if not isinstance(value, int) or type(value) is not (bool if name in SWITCHES else int):
        return PolicyViolation("policy_type", "A policy value has the wrong type.")
    low, high = BOUNDS.get(name, (0, 1))
    if not low <= value <= high:
        return PolicyViolation("policy_out_of_bounds", "A policy value is out of bounds.")
    return None
