"""Sending commands and acknowledgements inside MLS, so that only the group sees their senders (docs/protocol.md §8).

    sign ─▶ encrypt ─▶ SAVE group and command together ─▶ send ─▶ answer: SAVE its consequences, delete the command

1. The group without the used key is saved before the ciphertext leaves. So no generation is used twice, wherever the
   process dies (RFC 9420 §9.1).
2. A command is kept until it is answered, and is sent again with exactly the same bytes. The same command that is run
   again soon is that command.
3. If its epoch is over (`stale_epoch`), the device catches up and encrypts the same command again. So it does if the
   server has decrypted the message before and can't do it again. The event id stays, so the command counts once.
4. Without a usable membership, or if the current epoch can't be reached, the signed event is sent in clear: an
   emergency must not wait for the repair of a group. If the group's log was tampered with, nothing is sent at all.
5. The consequences of a good answer are saved in the same change that deletes the command. Wherever the process dies,
   either the command is there to be sent again, or the home knows its answer.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.api import response_fields
from keyturn.device.api.client import UNANSWERED
from keyturn.device.attestation.proof import NO_PROOF, ProofSubject, Prover
from keyturn.device.core.errors import OutOfSyncError, ServerRefusedError
from keyturn.device.core.format_keys import key
from keyturn.device.core.signed_events import ack_digest, ack_event, envelope_event, mls_payload
from keyturn.device.groups.catch_up import CatchUp
from keyturn.device.groups.inbox import Inbox
from keyturn.device.groups.membership import Memberships, changes_of
from keyturn.device.home.errors import DamagedError
from keyturn.domain.errors import Refusal
from keyturn.proofs.nostr import parse_event
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.device.context import DeviceContext
    from keyturn.device.core.signed_events import ServiceRequest
    from keyturn.device.groups.inbox import Notice
    from keyturn.device.home.sealed_files import RecordKey
    from keyturn.proofs.nostr import Event

OUTGOING = "outgoing"
ACTION = "action:"
"""The ids of commands that are neither rotations nor acknowledgements begin with it."""
RESUMED_WITHIN = timedelta(minutes=10)
"""A failed command is repeated soon, if at all. Later the same words may mean another command."""
KEPT_FOR = timedelta(hours=24)
"""The server keeps an answer as long (docs/http.md: the same event gets the same answer)."""
_ATTEMPTS = 4
_BLOCK = 256
"""Plaintexts are padded to a multiple of this (RFC 9420 §6.3.1): their lengths would reveal the kind of command."""
_AUTHENTICATION_BYTES = 68
"""The bytes behind the plaintext: an Ed25519 signature and its length (RFC 9420 §6.3.1)."""
_STALE_EPOCH = "stale_epoch"
_DECRYPTED_BEFORE = "bad_message"
_STALE_EVENT = "stale_event"
_MAY_HAVE_COUNTED = frozenset({"already_acknowledged", "rotation_not_open"})
"""An acknowledgement is refused with these also when the server had accepted it, and the answer was lost."""


@dataclass(frozen=True, slots=True)
class OutgoingCommand:
    """A command, and the envelope (JSON) that carries it from an epoch of a group."""

    group_id: str
    epoch: int
    command: Event
    envelope: str = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the record."""
        fields = {"group": self.group_id, "epoch": self.epoch, "command": self.command.to_dict()}
        return json.dumps({**fields, "envelope": self.envelope}).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> OutgoingCommand:
        """Return the command of a record; `DamagedError` for any other data."""
        try:
            record = load_object(data)
            command = parse_event(json.dumps(record["command"]))
            return cls(str(record["group"]), int(str(record["epoch"])), command, str(record["envelope"]))
        except (Refusal, KeyError, ValueError):
            raise DamagedError from None


def _no_changes() -> Mapping[RecordKey, bytes | None]:
    return {}


class CommandOutbox:
    """Sends commands to the service, and returns its answers."""

    def __init__(self, context: DeviceContext) -> None:
        self._context = context
        self._memberships = Memberships(context.home)
        self._catch_up = CatchUp(context)

    def send(
        self,
        command_id: str,
        group_id: str,
        sign: Callable[[], Event],
        consequences: Callable[[], Mapping[RecordKey, bytes | None]] = _no_changes,
    ) -> dict[str, object]:
        """Send the event of `sign` to a group. A command of that id that was not answered is sent again instead.

        `consequences` returns the changes of the home that follow from a good answer. The home is then locked.
        """
        answer = self._answer(command_id, group_id, sign)
        home = self._context.home
        with home.locked():
            changes = dict(consequences())
            if command_id in home.ids(OUTGOING):
                changes[OUTGOING, command_id] = None
            if changes:
                home.save_all(changes)
        return answer

    def resumed(self, request: ServiceRequest) -> ServiceRequest:
        """Return the request under the id of a recent one for the same that was not answered, else as it is."""
        oldest = self._context.signer.now() - RESUMED_WITHIN
        for command_id in self._context.home.ids(OUTGOING):
            stored = self._stored(command_id) if command_id.startswith(ACTION) else None
            if stored and stored.command.created_at >= oldest.timestamp() and _is_for_the_same(stored, request):
                return replace(request, action_id=command_id.removeprefix(ACTION))
        return request

    def delete_expired(self) -> None:
        """Delete commands that are so old that the server would not answer them any more."""
        home, oldest = self._context.home, self._context.signer.now() - KEPT_FOR
        with home.locked():
            commands = {command_id: self._stored(command_id) for command_id in home.ids(OUTGOING)}
            expired = [
                command_id
                for command_id, item in commands.items()
                if item and item.command.created_at < oldest.timestamp()
            ]
            if expired:
                home.save_all({(OUTGOING, command_id): None for command_id in expired})

    def _answer(self, command_id: str, group_id: str, sign: Callable[[], Event]) -> dict[str, object]:
        if not self._is_usable(group_id):
            return self._context.api.post_event(sign())
        stored = self._stored(command_id)
        try:
            return self._send(command_id, group_id, stored.command if stored else sign())
        except ServerRefusedError as error:
            if stored is None or error.reason != _STALE_EVENT:
                raise
        # `_send` has deleted it. The stored event never arrived in time, so it has not counted: a new one may.
        return self._send(command_id, group_id, sign())

    def _is_usable(self, group_id: str) -> bool:
        if not self._memberships.is_known(group_id):
            return False
        membership = self._memberships.load(group_id)
        if membership.needs_rejoin:
            with suppress(OutOfSyncError, ServerRefusedError):
                return self._catch_up.follow(group_id).is_usable
        return membership.is_usable

    def _send(self, command_id: str, group_id: str, command: Event) -> dict[str, object]:
        for attempts_left in reversed(range(_ATTEMPTS)):
            outgoing = self._encrypt(command_id, group_id, command)
            try:
                return self._context.api.post_envelope(outgoing.envelope)
            except ServerRefusedError as error:
                if error.status in UNANSWERED:
                    raise
                # A clear refusal: these bytes will never be accepted, so the same command needs a new message.
                self._context.home.delete(OUTGOING, command_id)
                if not attempts_left or error.reason not in {_STALE_EPOCH, _DECRYPTED_BEFORE}:
                    raise
                if error.reason == _STALE_EPOCH and not self._advance(outgoing):
                    return self._context.api.post_event(command)
        raise AssertionError("the last attempt returns or raises")

    def _encrypt(self, command_id: str, group_id: str, command: Event) -> OutgoingCommand:
        context = self._context
        with context.home.locked():
            stored = self._stored(command_id)
            # The same bytes again: a new ciphertext of the same command would use up another generation, and the server
            # could not know that it answered the first one.
            if stored is not None and stored.command == command:
                return stored
            membership = self._memberships.load(group_id)
            plaintext = mls_payload(command)
            padding = -(len(plaintext) + _AUTHENTICATION_BYTES) % _BLOCK
            group, message = membership.group.encrypt(plaintext, random=context.signer.random, padding=padding)
            envelope = envelope_event(context.signer, group_id, message).to_json()
            outgoing = OutgoingCommand(group_id, membership.group.epoch, command, envelope)
            changes = changes_of(replace(membership, group=group))
            context.home.save_all({**changes, (OUTGOING, command_id): outgoing.to_bytes()})
        return outgoing

    def _advance(self, outgoing: OutgoingCommand) -> bool:
        """Reach the current epoch; return whether the command can be encrypted again."""
        try:
            membership = self._catch_up.follow(outgoing.group_id)
            if membership.is_usable and membership.group.epoch == outgoing.epoch:
                # The service is in another epoch, and its log does not lead there: it was restored from a copy.
                membership = self._catch_up.rejoin(outgoing.group_id)
        except (OutOfSyncError, ServerRefusedError):
            return False
        return membership.is_usable

    def _stored(self, command_id: str) -> OutgoingCommand | None:
        record = self._context.home.load(OUTGOING, command_id)
        return None if record is None else OutgoingCommand.from_bytes(record)


def _is_for_the_same(stored: OutgoingCommand, request: ServiceRequest) -> bool:
    content = load_object(stored.command.content)
    fields = (content.get("action_type"), content.get("client_id"), content.get("params"), stored.group_id)
    return fields == (request.action_type, request.client_id, dict(request.params), request.group)


class AckSender:
    """Acknowledges notices of the inbox."""

    def __init__(self, context: DeviceContext, outbox: CommandOutbox, prover: Prover) -> None:
        self._context = context
        self._outbox = outbox
        self._prover = prover
        self._inbox = Inbox(context.home, context.signer.now)

    def acknowledge(self, rotation_id: str) -> dict[str, object]:
        """Acknowledge a rotation with a receipt, and return the server's answer.

        If the server already has an acknowledgement of this device, that one is returned. `NoticeError` if the inbox
        has no notice of the rotation, or its secret was deleted.
        """
        notice = self._inbox.notice(rotation_id)
        # The receipt can't be made again without the secret, and the server has it already.
        if notice.acked_at is not None and (earlier := self._earlier_ack(rotation_id)):
            return earlier
        try:
            return self._send(notice)
        except ServerRefusedError as error:
            earlier = self._earlier_ack(rotation_id) if error.reason in _MAY_HAVE_COUNTED else None
            if earlier is None:
                raise
        with self._context.home.locked():
            self._context.home.save_all(self._inbox.changes_of_ack(rotation_id))
        return earlier

    def _send(self, notice: Notice) -> dict[str, object]:
        signer = self._context.signer

        def sign() -> Event:
            secret, proof = notice.require_secret(), self._proof(notice)
            # The time is read behind the proof: its one-time code may take the user a while.
            return ack_event(signer, notice.acknowledgement(signer.public_key, signer.now()), secret, proof)

        return self._outbox.send(
            f"ack:{notice.rotation_id}", notice.group, sign, lambda: self._inbox.changes_of_ack(notice.rotation_id)
        )

    def _proof(self, notice: Notice) -> str:
        signer = self._context.signer
        try:
            policy = self._context.api.client(signer, notice.client_id).get("policy")
        except ServerRefusedError:  # a device that has left the group is refused here: the server decides on its ack
            return NO_PROOF
        if not isinstance(policy, dict) or policy.get("require_ack_proofs") is not True:
            return NO_PROOF
        ack = notice.acknowledgement(signer.public_key, signer.now())
        return self._prover.proof(ProofSubject(digest=ack_digest(ack), client_id=notice.client_id))

    def _earlier_ack(self, rotation_id: str) -> dict[str, object] | None:
        try:
            rotation = self._context.api.rotation(self._context.signer, rotation_id)
        except ServerRefusedError:  # a device that has left the group is refused here too
            return None
        return earlier_ack(rotation, self._context.home.npub)


def earlier_ack(rotation: Mapping[str, object], npub: str) -> dict[str, object] | None:
    """Return the answer that the acknowledgement of a key got, None if the rotation has none of it.

    `UnreachableError` for a rotation without the fields of docs/http.md.
    """
    acks = response_fields.mappings(rotation, "acks")
    if npub not in {key(ack.get("npub")) for ack in acks}:
        return None
    fields = {name: rotation.get(name) for name in ("rotation_id", "client_id", "phase", "outcome")}
    quorum = response_fields.integer(rotation, "quorum")
    return {**fields, "version_id": rotation.get("new_version"), "acks": len(acks), "quorum": quorum}
