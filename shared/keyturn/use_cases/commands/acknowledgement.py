"""Acknowledgement: from an intent to the lifecycle's command, with the receipt verified under the stored key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.commands import Acknowledge
from keyturn.domain.encodings import base64url_decode
from keyturn.domain.errors import InvalidRequest, NotFound
from keyturn.proofs import receipts
from keyturn.records import paths

if TYPE_CHECKING:
    from keyturn.domain.model import Person
    from keyturn.use_cases.client_repository import ClientReading
    from keyturn.use_cases.commands.parse import Intent


def acknowledgement(intent: Intent, actor: Person, reading: ClientReading) -> Acknowledge:
    """Return the command of an ack; `NotFound` for a rotation that this client never had."""
    asked_for = reading.snapshot[paths.rotation(intent.target)].data
    if asked_for is None or asked_for["client_id"] != intent.client_id:
        raise NotFound("unknown_rotation", "There is no such rotation of this client.")
    content = intent.params
    ack = receipts.AckStatement(
        rotation_id=intent.target,
        client_id=intent.client_id,
        version_id=content.text("version_id"),
        ack_by=content.text("ack_by"),
        ack_at=content.integer("ack_at"),
        secret_hash=content.text("secret_hash"),
        mac_key_ref=content.text("mac_key_ref"),
    )
    if ack.ack_by != actor.npub:
        raise InvalidRequest("tags_disagree", "The acknowledgement is not by the event's signer.")
    receipt = content.optional_text("receipt") or None
    return Acknowledge(
        actor=actor,
        member=reading.user(actor.npub) == actor.user,
        people=reading.people,
        rotation_id=ack.rotation_id,
        version_id=ack.version_id,
        secret_hash=ack.secret_hash,
        mac_key_ref=ack.mac_key_ref,
        ack_at=ack.ack_at,
        receipt=receipt,
        receipt_key=_verified_under(receipt, ack, reading),
    )


def _verified_under(receipt: str | None, ack: receipts.AckStatement, reading: ClientReading) -> str | None:
    pending = reading.state.pending
    if receipt is None or pending is None or pending.receipt_key is None:
        return None
    verified = receipts.verify_receipt(base64url_decode(pending.receipt_key), receipt, ack)
    return pending.receipt_key if verified else None
