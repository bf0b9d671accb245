"""Actions: the lifecycle's command for each action of an admin, and the answer to it (docs/http.md).

    Intent ─▶ ActionRequest ─▶ ACTIONS ─▶ command     ─▶ decision ─▶ command_answer
    Intent ──────────────────▶ acknowledgement ─▶ command

The parameters of an action that count are listed in `keyturn.proofs.request_digest`, because devices need them, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from keyturn.domain import commands
from keyturn.domain.encodings import base64url_decode, rotation_identifier, to_milliseconds, version_identifier
from keyturn.domain.errors import InvalidRequest, NotFound
from keyturn.proofs import receipts
from keyturn.records import paths
from keyturn.use_cases.commands.intent import ACK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from keyturn.domain.lifecycle import Decision
    from keyturn.domain.model import Person, Rotation
    from keyturn.domain.policy import Policy
    from keyturn.domain.request_fields import Fields
    from keyturn.ports.store import Value
    from keyturn.use_cases.client_repository import ClientReading
    from keyturn.use_cases.commands.intent import Intent


# --- commands of admins ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ActionRequest:
    """An action with the evidence that its command needs; the names are those of `keyturn.domain.commands`."""

    actor: Person
    groups: frozenset[str]
    people: frozenset[str]
    reason: str
    digest: str
    group: str
    target: str
    params: Fields
    new_version: str
    measured_from: datetime
    recent: tuple[datetime, ...]

    @property
    def evidence(self) -> dict[str, Any]:
        """The fields that every admin's command has."""
        names = ("actor", "groups", "people", "reason", "digest")
        return {name: getattr(self, name) for name in names}


Builder: TypeAlias = "Callable[[ActionRequest], commands.Command]"


def _rotation(kind: type[commands.Request]) -> Builder:
    def build(request: ActionRequest) -> commands.Command:
        grace_ms = request.params.optional_integer("grace_duration_ms")
        return kind(
            **request.evidence,
            rotation_id=request.target,
            version_id=request.new_version,
            group=request.group,
            measured_from=request.measured_from,
            not_before=request.params.optional_time("not_before"),
            grace=None if grace_ms is None else timedelta(milliseconds=grace_ms),
            supersede=request.params.flag("supersede"),
            recent=request.recent,
        )

    return build


def _cancel(request: ActionRequest) -> commands.Command:
    return commands.Cancel(**request.evidence, rotation_id=rotation_identifier(request.params.text("rotation_id")))


def _rollback(request: ActionRequest) -> commands.Command:
    return commands.Rollback(**request.evidence, compromised=request.params.flag("compromised"))


def _retire(request: ActionRequest) -> commands.Command:
    return commands.Retire(**request.evidence, version_id=version_identifier(request.params.text("version_id")))


def _revoke(request: ActionRequest) -> commands.Command:
    version_id = request.params.text("version_id")
    # Never a version's id, because those are ULIDs.
    if version_id == "all":
        return commands.RevokeClient(**request.evidence)
    return commands.RevokeVersion(
        **request.evidence, version_id=version_identifier(version_id), force=request.params.flag("force")
    )


ACTIONS: Mapping[str, Builder] = {
    "rotation": _rotation(commands.Request),
    "emergency": _rotation(commands.Emergency),
    "cancel": _cancel,
    "rollback": _rollback,
    "restore": lambda request: commands.Restore(**request.evidence),
    "retire": _retire,
    "revoke": _revoke,
    "suspend": lambda request: commands.Suspend(**request.evidence),
    "resume": lambda request: commands.Resume(**request.evidence),
}


# --- acknowledgements ------------------------------------------------------------------------------------------------


def acknowledgement(intent: Intent, actor: Person, reading: ClientReading) -> commands.Acknowledge:
    """Return the command of an acknowledgement. Raises `NotFound` for a rotation that this client never had."""
    # Rotation ids are global: another client's rotation must look like one that does not exist.
    rotation = reading.snapshot[paths.rotation(intent.target)].data
    if rotation is None or rotation["client_id"] != intent.client_id:
        raise NotFound("unknown_rotation", "There is no such rotation of this client.")
    content = intent.params
    statement = receipts.AckStatement(
        rotation_id=intent.target,
        client_id=intent.client_id,
        version_id=content.text("version_id"),
        ack_by=content.text("ack_by"),
        ack_at=content.integer("ack_at"),
        secret_hash=content.text("secret_hash"),
        mac_key_ref=content.text("mac_key_ref"),
    )
    if statement.ack_by != actor.npub:
        raise InvalidRequest("tags_disagree", "The acknowledgement is not by the event's signer.")
    receipt = content.optional_text("receipt") or None
    return commands.Acknowledge(
        actor=actor,
        # False for a recipient that was removed since. The lifecycle refuses it with that reason.
        member=reading.user(actor.npub) == actor.user,
        people=reading.people,
        rotation_id=statement.rotation_id,
        version_id=statement.version_id,
        secret_hash=statement.secret_hash,
        mac_key_ref=statement.mac_key_ref,
        ack_at=statement.ack_at,
        receipt=receipt,
        receipt_key=_verified_key(receipt, statement, reading),
    )


def _verified_key(receipt: str | None, statement: receipts.AckStatement, reading: ClientReading) -> str | None:
    """Return the pending version's receipt key if the receipt verifies under it."""
    pending = reading.state.pending
    if receipt is None or pending is None or pending.receipt_key is None:
        return None
    verified = receipts.verify_receipt(base64url_decode(pending.receipt_key), receipt, statement)
    return pending.receipt_key if verified else None


# --- answers: they are stored, and repeated word for word ------------------------------------------------------------


def command_answer(intent: Intent, decision: Decision, policy: Policy) -> dict[str, Value]:
    """Return the answer to a command (docs/http.md)."""
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
    """Return the answer to the request of a rotation, which its document gives at any later time, too."""
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
