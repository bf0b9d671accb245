"""Distribute secrets: a secret is generated here in memory, and leaves only as MLS ciphertext (docs/protocol.md §5).

    read ─▶ path update ─▶ for each rotation: secret ─▶ MAC ─▶ verify ─▶ encrypt ─▶ ONE commit

All rotations that wait for the same groups are sent together (batch_leader.py), so that they do not compete for the
group's document. If this process dies before the commit, nothing has happened, and redelivery generates a new secret.
If it dies after the commit, the ciphertext is in the log. After a lost race the MLS messages are thrown away, and the
next attempt of the same call encrypts the same secrets again: their MACs are the slow part of a batch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from keyturn.domain import lifecycle
from keyturn.domain.commands import Distribute as DistributeCommand
from keyturn.domain.encodings import SECRET_BYTES, base64url_encode, canonical_input, new_secret, to_milliseconds
from keyturn.domain.errors import Broken
from keyturn.domain.model import Phase, Recipient
from keyturn.domain.recognition import may_grant, require_known
from keyturn.domain.secret_format import scannable_secret
from keyturn.ports.store import MAX_WRITES, CommitTooLarge, typed_list
from keyturn.proofs.receipts import receipt_key
from keyturn.records import paths, rotation_size
from keyturn.records.client_document import group_key
from keyturn.records.denylist import require_running
from keyturn.use_cases.client_repository import ReadPlan
from keyturn.use_cases.distribution.batch_leader import BatchLeader, WaitingRotation
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
    from keyturn.use_cases.groups.relay_outbox import PublishOutbox


@dataclass(frozen=True, slots=True)
class SecretDelivery:
    """A rotation to distribute now, with the reading that the decision rests on."""

    reading: ClientReading
    rotation: Rotation
    pending: Version
    writes: int
    """How many writes its commit needs, apart from those for the groups: checked documents count as well."""


@dataclass(frozen=True, slots=True)
class PreparedSecret:
    """A new secret, and the pending version with its hash, key reference and receipt key."""

    secret: str = field(repr=False)
    version: Version


PreparedSecrets: TypeAlias = "dict[str, PreparedSecret]"
"""The secrets that one call has generated, by version id. They live as long as the call."""


@dataclass(frozen=True, slots=True)
class DistributeSecrets:
    """The use case behind `distribute`."""

    clients: Clients
    groups: Groups
    mac_key: MacKey
    environment: Environment
    publish_log: PublishOutbox | None = None
    """Publishes the messages to relays after the commit, or None if the settings name no relays."""

    def __call__(self, client_id: str, rotation_id: str) -> bool:
        """Distribute a rotation's secret, and those of the rotations that wait with it.

        Returns whether this call has distributed it: false if that was done before, or the rotation has ended.
        """
        prepared: PreparedSecrets = {}
        is_sent = until_won(lambda: self._attempt(client_id, rotation_id, prepared), self.environment)
        if is_sent and self.publish_log is not None:
            self.publish_log()
        return is_sent

    def _attempt(self, client_id: str, rotation_id: str, prepared: PreparedSecrets) -> bool:
        """Distribute once. `prepared` are the secrets of earlier attempts, and gets those of this one."""
        reading = self.clients.read(client_id, _PLAN)
        require_known(reading.state)
        own = _undistributed(reading)
        if own is None or own.rotation.rotation_id != rotation_id:
            # After a lost race: a commit with an unknown outcome was applied if one of this call's secrets is stored.
            hashes = {item.version.secret_hash for item in prepared.values()}
            return any(version.secret_hash in hashes for version in reading.state.versions.values())
        batch = BatchLeader(self.clients.store, self.environment, self._can_lead).lead(own.rotation)
        # A batch of one has been read already.
        deliveries = [own] if len(batch) == 1 else self._together(own, batch)
        if deliveries:
            deliveries = list(self._send_what_fits(own, deliveries, prepared))
        return rotation_id in {item.rotation.rotation_id for item in deliveries}

    def _send_what_fits(
        self, own: SecretDelivery, deliveries: Sequence[SecretDelivery], prepared: PreparedSecrets
    ) -> Sequence[SecretDelivery]:
        """Send a batch, or as much of it as fits into one commit, this message's own rotation included.

        The rest waits for its own messages, which lead in turn. The number of writes is known before a secret is
        generated, so no key call is wasted on a batch with too many. Its bytes are known only afterwards: then it is
        halved.
        """
        size = _fitting(own, deliveries, self.groups.relayed)
        while deliveries:
            if size < len(deliveries):
                others = [item for item in deliveries if item.rotation.rotation_id != own.rotation.rotation_id]
                deliveries = self._together(own, [_waiting(item) for item in (own, *others)][:size])
            try:
                self._send(deliveries, prepared)
            except CommitTooLarge:
                if len(deliveries) <= 1:
                    raise Broken("one delivery is larger than a commit may be") from None
                size = len(deliveries) // 2
            else:
                break
        return deliveries

    def _together(self, own: SecretDelivery, batch: Sequence[WaitingRotation]) -> list[SecretDelivery]:
        """Return the deliveries of a batch that are still due, read at one instant."""
        readings = self.clients.read_together([item.client_id for item in batch], _PLAN)
        deliveries = [item for reading in readings if (item := _undistributed(reading))]
        return [item for item in deliveries if group_key(item.rotation.groups) == group_key(own.rotation.groups)]

    def _can_lead(self, client_id: str) -> bool:
        readings = self.clients.read_together([client_id], _PLAN)
        return any(map(_undistributed, readings))

    def _send(self, deliveries: Sequence[SecretDelivery], prepared: PreparedSecrets) -> None:
        snapshot = deliveries[0].reading.snapshot
        require_not_frozen(snapshot)
        require_running(snapshot)
        documents = _group_documents(snapshot, deliveries[0].rotation)
        logs = [GroupLog.open(self.groups, document, snapshot.read_time) for document in documents]
        for log in logs:
            # The commit secret of the notices' epoch has existed in this process's memory only. So no copy of the
            # store, from before or after, opens them (docs/protocol.md §12).
            log.append("commit", log.session.update())
        decisions = [(item.reading, self._decide(item, logs, prepared)) for item in deliveries]
        self.clients.commit_together(decisions, also=[write for log in logs for write in log.writes()])

    def _decide(self, item: SecretDelivery, logs: Sequence[GroupLog], prepared: PreparedSecrets) -> Decision:
        own = prepared.get(item.pending.version_id)
        # After a change of the current key the earlier one can be disabled at any time, so the secret gets a new MAC.
        if own is None or own.version.mac_key_ref != self.mac_key.current():
            own = prepared[item.pending.version_id] = self._prepare(item)
        version = own.version
        message_id = _append_notices(item, own, logs)
        command = DistributeCommand(
            rotation_id=item.rotation.rotation_id,
            secret_hash=version.secret_hash or "",
            mac_key_ref=version.mac_key_ref or "",
            receipt_key=version.receipt_key or "",
            recipients=tuple(_recipients(item.reading, logs)),
            message_id=message_id,
        )
        decision = item.reading.decide(command)
        if not rotation_size.fits(decision.state, item.rotation.rotation_id):
            raise CommitTooLarge("the rotation has too many recipients")
        return decision

    def _prepare(self, item: SecretDelivery) -> PreparedSecret:
        secret = self._generate(item)
        return PreparedSecret(secret, self._with_hash(item.pending, secret))

    def _generate(self, item: SecretDelivery) -> str:
        if item.reading.policy.scannable_secrets:
            return scannable_secret(self.environment.random(SECRET_BYTES), item.pending.version_id)
        while True:
            secret = new_secret(self.environment.random(SECRET_BYTES))
            # A command line takes a word with a leading dash for an option. One secret in 64 has one.
            if not secret.startswith("-"):
                return secret

    def _with_hash(self, pending: Version, secret: str) -> Version:
        """Return the pending version with the hash and the receipt key of its secret."""
        mac_key_ref, client_id, version_id = self.mac_key.current(), pending.client_id, pending.version_id
        tag = self.mac_key.sign(mac_key_ref, canonical_input(client_id, version_id, secret))
        public = receipt_key(secret, client_id=client_id, version_id=version_id, rotation_id=pending.rotation_id)
        version = replace(
            pending,
            secret_hash=base64url_encode(tag),
            mac_key_ref=mac_key_ref,
            receipt_key=base64url_encode(public),
        )
        # With the verifier's own code: a hash that does not verify would lock the integrator out after the promotion.
        if not matches(secret, version, self.mac_key):
            raise Broken("the verifier would refuse the secret that is about to be sent")
        return version


def _append_notices(item: SecretDelivery, own: PreparedSecret, logs: Sequence[GroupLog]) -> str:
    """Append the encrypted notice to each group's log; return its message id in the requester's group."""
    message_id = ""
    for log in logs:
        message_id = log.next_id if log.group_id == item.rotation.mls_group else message_id
        notice = _notice(item.reading.now, item.rotation, own, log)
        log.append("notice", log.session.encrypt(json.dumps(notice).encode("utf-8")), item.rotation.rotation_id)
    return message_id


def _group_paths(client: Data) -> Iterator[str]:
    yield paths.FROZEN
    # The only commit that rests on the operator's stop: no secret is sent once the stop is in force.
    yield paths.STOPPED
    yield from (paths.group(name) for name in typed_list(client, "admin_groups", str))


_PLAN = ReadPlan(derived=_group_paths)


def _undistributed(reading: ClientReading) -> SecretDelivery | None:
    """Return the delivery that a client waits for, as of now, or None if there is none."""
    settled = lifecycle.settle(reading.state, reading.policy, reading.now)
    rotation, pending = settled.state.rotation, settled.state.pending
    if rotation is None or pending is None or rotation.phase is not Phase.REQUESTED or not may_grant(settled.state):
        return None
    documents = 1 + len(reading.state.versions) + len(reading.state.rotations)
    entries = len(settled.transitions) + 1
    return SecretDelivery(reading, rotation, pending, documents + entries)


def _waiting(item: SecretDelivery) -> WaitingRotation:
    return WaitingRotation(item.rotation.rotation_id, item.rotation.client_id)


def _fitting(own: SecretDelivery, deliveries: Sequence[SecretDelivery], relayed: bool) -> int:  # noqa: FBT001 - a setting
    """Return how many deliveries fit into one commit by their number of writes, `own` first; at least 1."""
    groups, copies = len(own.rotation.groups), 2 if relayed else 1
    # For each group: its state, its roster and a path update. For the deployment: the marks of a copy and of a stop.
    fixed = groups * (2 + copies) + 2
    others = (item.writes for item in deliveries if item.rotation.rotation_id != own.rotation.rotation_id)
    totals = accumulate(writes + groups * copies for writes in (own.writes, *others))
    return max(1, sum(fixed + total <= MAX_WRITES for total in totals))


def _group_documents(snapshot: Snapshot, rotation: Rotation) -> list[Document]:
    documents = [snapshot[paths.group(name)] for name in rotation.groups]
    if not all(document.exists for document in documents):
        raise Broken("a client refers to a group that does not exist")
    return documents


def _recipients(reading: ClientReading, logs: Iterable[GroupLog]) -> Iterator[Recipient]:
    """Yield the devices that can open the notice: in the roster, and with a leaf in the group's tree."""
    for log in logs:
        leaves = {leaf.npub for leaf in log.session.members}
        for member in reading.rosters[log.group_id].members:
            if member.npub in leaves:
                yield Recipient(member.user, member.npub, log.group_id, log.session.epoch)


def _notice(now: datetime, rotation: Rotation, own: PreparedSecret, log: GroupLog) -> Mapping[str, object]:
    version = own.version
    return {
        "type": "rotate-notify",
        "client_id": rotation.client_id,
        "version_id": version.version_id,
        "secret": own.secret,
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
