"""Distribute: the secret is born here, in memory, and leaves it only as MLS ciphertext (protocol.md §5).

    read ─▶ path update ─▶ per rotation: secret ─▶ MAC ─▶ verify ─▶ encrypt ─▶ ONE commit ─▶ gone

All rotations that wait for the same groups go out together (waiting.py), so that they don't fight over one document.
Dies before the commit: nothing happened, redelivery makes a fresh secret. Dies after: the ciphertext is in the log. A
lost race throws everything away, the secrets first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from keyturn.domain import lifecycle
from keyturn.domain.commands import Distribute as DistributeCommand
from keyturn.domain.encodings import SECRET_BYTES, base64url_encode, canonical_input, new_secret, to_milliseconds
from keyturn.domain.errors import Broken
from keyturn.domain.model import Phase, Recipient
from keyturn.domain.secret_format import scannable_secret
from keyturn.proofs.receipts import receipt_key
from keyturn.records import paths
from keyturn.records.client_document import group_key
from keyturn.records.denylist import require_running
from keyturn.use_cases.distribution.batch_leader import WaitingRoom
from keyturn.use_cases.groups.membership import require_not_frozen
from keyturn.use_cases.groups.message_log import GroupLog
from keyturn.use_cases.optimistic import until_won
from keyturn.verifier.matching import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.lifecycle import Decision
    from keyturn.domain.model import Rotation, Version
    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups
    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Data, Document, Snapshot
    from keyturn.use_cases.client_repository import ClientReading, Clients
    from keyturn.use_cases.distribution.batch_leader import Waiting
    from keyturn.use_cases.groups.relay_outbox import PublishOutbox


@dataclass(frozen=True, slots=True)
class Sending:
    """A rotation whose notice goes out now, with the reading that this rests on."""

    reading: ClientReading
    rotation: Rotation
    pending: Version


@dataclass(frozen=True, slots=True)
class DistributeSecrets:
    """The use case behind `distribute`."""

    clients: Clients
    groups: Groups
    mac_key: MacKey
    environment: Environment
    publish_log: PublishOutbox | None = None
    """What is sent goes to relays, too, once its commit is won; None where settings name none."""

    def __call__(self, client_id: str, rotation_id: str) -> bool:
        """Send a rotation's secret, and those that wait with it, unless it was sent or is not to be sent any more.

        Whether it was sent now, by this call.
        """
        return until_won(lambda: self._attempt(client_id, rotation_id), self.environment)

    def _attempt(self, client_id: str, rotation_id: str) -> bool:
        asked = _requested(self.clients.read(client_id, belonging=_groups_of))
        if asked is None or asked.rotation.rotation_id != rotation_id:
            return False
        waiting = WaitingRoom(self.clients.store, self.environment).led(asked.rotation)
        sending = [asked] if len(waiting) == 1 else self._together(asked, waiting)
        if sending:
            self._send(sending)
        return rotation_id in {item.rotation.rotation_id for item in sending}

    def _together(self, asked: Sending, waiting: Sequence[Waiting]) -> list[Sending]:
        try:
            readings = self.clients.read_together([item.client_id for item in waiting], belonging=_groups_of)
        except Broken:  # a damaged client holds up no other: this one goes alone
            return [asked]
        found = [item for reading in readings if (item := _requested(reading))]
        return [item for item in found if group_key(item.rotation.groups) == group_key(asked.rotation.groups)]

    def _send(self, sending: Sequence[Sending]) -> None:
        snapshot = sending[0].reading.snapshot
        require_not_frozen(snapshot)
        require_running(snapshot)
        documents = _documents(snapshot, sending[0].rotation)
        logs = [GroupLog.open(self.groups, document, snapshot.read_time) for document in documents]
        for log in logs:
            # The notices' epoch comes from a commit secret that exists in memory only (mls.md, "Stores remember").
            log.append("commit", log.session.update())
        decided = [(item.reading, self._decided(item, logs)) for item in sending]
        self.clients.commit_together(decided, also=[write for log in logs for write in log.writes()])
        if self.publish_log is not None:
            self.publish_log()

    def _decided(self, item: Sending, logs: Sequence[GroupLog]) -> Decision:
        secret = self._born(item)
        version = self._installed(item.pending, secret)
        message_id = _tell(item, version, secret, logs)
        command = DistributeCommand(
            rotation_id=item.rotation.rotation_id,
            secret_hash=version.secret_hash or "",
            mac_key_ref=version.mac_key_ref or "",
            receipt_key=version.receipt_key or "",
            recipients=tuple(_recipients(item.reading, logs)),
            message_id=message_id,
        )
        return lifecycle.decide(item.reading.state, command, item.reading.policy, item.reading.now)

    def _born(self, item: Sending) -> str:
        randomness = self.environment.random(SECRET_BYTES)
        scannable = item.reading.policy.scannable_secrets
        return scannable_secret(randomness, item.pending.version_id) if scannable else new_secret(randomness)

    def _installed(self, pending: Version, secret: str) -> Version:
        mac_key_ref, client_id, version_id = self.mac_key.current(), pending.client_id, pending.version_id
        tag = self.mac_key.sign(mac_key_ref, canonical_input(client_id, version_id, secret))
        public = receipt_key(secret, client_id=client_id, version_id=version_id, rotation_id=pending.rotation_id)
        version = replace(
            pending,
            secret_hash=base64url_encode(tag),
            mac_key_ref=mac_key_ref,
            receipt_key=base64url_encode(public),
        )
        if not matches(secret, version, self.mac_key):
            raise Broken("the verifier would refuse the secret that is about to be sent")
        return version


def _tell(item: Sending, version: Version, secret: str, logs: Sequence[GroupLog]) -> str:
    message_id = ""
    for log in logs:
        message_id = log.next_id if log.group_id == item.rotation.mls_group else message_id
        notice = _notice(item.reading.now, item.rotation, version, secret, log)
        log.append("notice", log.session.encrypt(json.dumps(notice).encode("utf-8")), item.rotation.rotation_id)
    return message_id


def _groups_of(client: Data) -> Iterator[str]:
    yield paths.FROZEN
    yield paths.STOPPED  # the one thing that a commit rests on the stop for: no secret goes out once it stands
    yield from (paths.group(name) for name in cast("Iterable[str]", client["admin_groups"]))


def _requested(reading: ClientReading) -> Sending | None:
    state = lifecycle.settle(reading.state, reading.policy, reading.now).state
    rotation, pending = state.rotation, state.pending
    if rotation is None or pending is None or rotation.phase is not Phase.REQUESTED:
        return None
    return Sending(reading, rotation, pending)


def _documents(snapshot: Snapshot, rotation: Rotation) -> list[Document]:
    documents = [snapshot[paths.group(name)] for name in rotation.groups]
    if not all(document.exists for document in documents):
        raise Broken("a client names a group that is not there")
    return documents


def _recipients(reading: ClientReading, logs: Iterable[GroupLog]) -> Iterator[Recipient]:
    for log in logs:
        leaves = {leaf.npub for leaf in log.session.members}
        for member in reading.rosters[log.group_id].members:
            if member.npub in leaves:
                yield Recipient(member.user, member.npub, log.group_id, log.session.epoch)


def _notice(now: datetime, rotation: Rotation, version: Version, secret: str, log: GroupLog) -> Mapping[str, object]:
    return {
        "type": "rotate-notify",
        "client_id": rotation.client_id,
        "version_id": version.version_id,
        "secret": secret,
        "secret_hash": version.secret_hash,
        "mac_key_ref": version.mac_key_ref,
        "not_before": to_milliseconds(rotation.not_before),
        "grace_until": to_milliseconds(rotation.grace_until),
        "rotation_id": rotation.rotation_id,
        "issued_at": to_milliseconds(now),
        "relay_msg_id": log.next_id,
        "group": log.group_id,
        "epoch": log.session.epoch,
    }
