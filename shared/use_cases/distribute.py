"""Distribute: the secret is born here, in memory, and leaves it only as MLS ciphertext (protocol.md §5).

    read ─▶ path update ─▶ secret ─▶ MAC ─▶ verify ─▶ encrypt ─▶ ONE commit ─▶ gone

Dies before the commit: nothing happened, redelivery makes a fresh secret. Dies after: the ciphertext is in the log. A
lost race throws everything away, the secret first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from shared.domain import lifecycle
from shared.domain.commands import Distribute as DistributeCommand
from shared.domain.encodings import SECRET_BYTES, base64url_encode, canonical_input, new_secret, to_milliseconds
from shared.domain.errors import Broken, Conflict
from shared.domain.model import Phase, Recipient
from shared.proofs.receipts import receipt_key
from shared.records import paths
from shared.use_cases.attempts import until_won
from shared.use_cases.group_log import GroupLog
from shared.verifier.matching import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from shared.domain.model import Rotation, Version
    from shared.ports.environment import Environment
    from shared.ports.groups import Groups
    from shared.ports.keys import MacKey
    from shared.ports.store import Data, Document
    from shared.use_cases.clients import Clients, Reading

TOPIC = "secret-distribution"


@dataclass(frozen=True, slots=True)
class Distribute:
    """The use case behind `distribute`."""

    clients: Clients
    groups: Groups
    mac_key: MacKey
    environment: Environment

    def __call__(self, client_id: str, rotation_id: str) -> bool:
        """Send a rotation's secret unless that was done or is not to be done any more; whether it was sent now."""
        try:
            until_won(lambda: self._attempt(client_id, rotation_id), self.environment)
        except Conflict:  # another delivery was faster, or the rotation has ended: nothing is left to do
            return False
        return True

    def _attempt(self, client_id: str, rotation_id: str) -> None:
        reading = self.clients.read(client_id, belonging=_groups_of)
        rotation, pending = _requested(reading, rotation_id)
        logs = [GroupLog.opened(self.groups, document, reading.now) for document in _documents(reading, rotation)]
        secret = new_secret(self.environment.random(SECRET_BYTES))
        version = self._installed(pending, secret)
        message_id = self._tell(reading.now, rotation, version, secret, logs)
        command = DistributeCommand(
            rotation_id=rotation_id,
            secret_hash=version.secret_hash or "",
            mac_key_ref=version.mac_key_ref or "",
            receipt_key=version.receipt_key or "",
            recipients=tuple(_recipients(reading, logs)),
            message_id=message_id,
        )
        decision = lifecycle.decide(reading.state, command, reading.policy, reading.now)
        self.clients.commit(reading, decision, also=[write for log in logs for write in log.writes()])

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

    def _tell(self, now: datetime, rotation: Rotation, version: Version, secret: str, logs: Sequence[GroupLog]) -> str:
        message_id = ""
        for log in logs:
            # The notice's epoch comes from a commit secret that exists in memory only (mls.md, "Stores remember").
            log.say("commit", log.session.update())
            message_id = log.next_id if log.group_id == rotation.mls_group else message_id
            notice = _notice(now, rotation, version, secret, log)
            log.say("notice", log.session.encrypt(json.dumps(notice).encode("utf-8")), rotation.rotation_id)
        return message_id


def _groups_of(client: Data) -> Iterator[str]:
    return (paths.group(name) for name in cast("Iterable[str]", client["admin_groups"]))


def _requested(reading: Reading, rotation_id: str) -> tuple[Rotation, Version]:
    rotation, pending = reading.state.rotation, reading.state.pending
    if rotation is None or pending is None or rotation.rotation_id != rotation_id:
        raise Conflict("rotation_not_open", "The rotation is not open any more.")
    if rotation.phase is not Phase.REQUESTED:
        raise Conflict("already_distributed", "The rotation's secret was sent already.")
    return rotation, pending


def _documents(reading: Reading, rotation: Rotation) -> list[Document]:
    documents = [reading.snapshot[paths.group(name)] for name in rotation.groups]
    if not all(document.exists for document in documents):
        raise Broken("a client names a group that is not there")
    return documents


def _recipients(reading: Reading, logs: Iterable[GroupLog]) -> Iterator[Recipient]:
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
