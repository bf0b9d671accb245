"""Answers of commands, as documents: they are stored, and repeated word for word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.encodings import to_milliseconds
from keyturn.use_cases.commands.parse import ACK

if TYPE_CHECKING:
    from keyturn.domain.lifecycle import Decision
    from keyturn.domain.model import Rotation
    from keyturn.domain.policy import Policy
    from keyturn.ports.store import Value
    from keyturn.use_cases.commands.parse import Intent


def command_answer(intent: Intent, decision: Decision, policy: Policy) -> dict[str, Value]:
    """Return what a command came to (docs/http.md)."""
    state = decision.state
    if intent.rotation_id:
        rotation = state.rotations[intent.rotation_id]
        return _ack_answer(rotation) if intent.action == ACK else rotation_answer(rotation)
    return {
        "client_id": state.client.client_id,
        "action": intent.action,
        "status": state.client.status.value,
        "current_version": state.client.current_version,
        "previous_version": state.client.previous_version,
        "awaits_second_person": decision.awaits_second_person,
        "effective_within_seconds": policy.max_stale_seconds,
    }


def rotation_answer(rotation: Rotation) -> dict[str, Value]:
    """Return what a request came to: it can be told from the rotation at any time after."""
    return {
        "rotation_id": rotation.rotation_id,
        "client_id": rotation.client_id,
        "version_id": rotation.new_version,
        "not_before": to_milliseconds(rotation.not_before),
        "grace_until": to_milliseconds(rotation.grace_until),
        "quorum": rotation.quorum,
    }


def _ack_answer(rotation: Rotation) -> dict[str, Value]:
    return {
        "rotation_id": rotation.rotation_id,
        "client_id": rotation.client_id,
        "version_id": rotation.new_version,
        "acks": rotation.count_acks(),
        "quorum": rotation.quorum,
        "phase": rotation.phase.value,
        "outcome": rotation.outcome.value if rotation.outcome else None,
    }
