"""Canaries: an integrator's instances prove that they have a pending secret. This is evidence, never an authorisation.

Rules (docs/protocol.md §5):

1. A challenge is stateless: time and randomness under a MAC with the deployment's salt. Any caller may request one, so
   nothing is stored for it, and no client is read.
2. A nonce may be used again. The same answer twice is the same instance twice, and counts once.
3. A wrong signature, an unknown client and a missing pending version get the same refusal, after a signature check in
   each case.
4. An answer is stored in the database `usage`, at most MAX_INSTANCES for a rotation. Each instance is stored as a keyed
   hash of its id. The function that accepts answers has only read access to `control`, so the sweeper transfers the
   count to the rotation.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from keyturn.domain import lifecycle
from keyturn.domain.commands import CountCanaries
from keyturn.domain.encodings import (
    base64url_decode,
    base64url_encode,
    identifier,
    length_prefixed,
    rotation_identifier,
    version_identifier,
)
from keyturn.domain.errors import InvalidRequest, Unauthenticated, Unavailable
from keyturn.ports.store import put, typed
from keyturn.proofs.canaries import Canary, verify_canary
from keyturn.proofs.stateless_challenge import dated_nonce, issue_challenge
from keyturn.records import paths
from keyturn.records.client_document import live_state
from keyturn.records.codec import from_data, to_data
from keyturn.records.usage import MAX_INSTANCES, Canaries, canaries_path
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.domain.model import ClientState, Rotation
    from keyturn.domain.policy import Policy
    from keyturn.domain.request_fields import Fields
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Snapshot, Store
    from keyturn.use_cases.client_repository import ClientReading, Clients

CANARY_RETENTION: Final = timedelta(days=7)
"""Canaries are deleted so long after their rotation's `not_before`."""
LONGEST_INSTANCE_ID: Final = 128
_TAG_BYTES = 16
_DUMMY_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
"""The public key of RFC 8032 §7.1, test 1, which belongs to no version. It is checked when there is no real key."""


@dataclass(frozen=True, slots=True)
class ProveCanary:
    """The use cases behind `client_token`'s canary routes."""

    control: Store
    usage: Store
    policy: Policy
    environment: Environment

    def challenge(self, client_id: str) -> Data:
        """Return a nonce for an instance of a client. Raise `Unavailable` if the deployment has no client yet."""
        identifier(client_id)
        snapshot = self.control.get([paths.SALT])
        tag = partial(_tag, _salt(snapshot), client_id)
        challenge = issue_challenge(snapshot.read_time, self.environment.random, tag)
        return {"nonce": challenge.text, "expires_at": challenge.expires_at}

    def prove(self, fields: Fields) -> Data:
        """Accept an instance's answer. Raise `Unauthenticated` if it proves nothing, without a reason."""
        canary = _canary(fields)
        path = paths.client(canary.client_id)
        snapshot = self.control.get([path, paths.SALT])
        salt = _salt(snapshot)
        _check_nonce(salt, canary, snapshot.read_time)
        rotation = self._proven_rotation(snapshot[path].data, fields.text("signature"), canary, snapshot.read_time)
        instance = _instance(salt, canary)
        count = until_won(lambda: self._store(rotation, instance), self.environment)
        return {
            "rotation_id": rotation.rotation_id,
            "version_id": rotation.new_version,
            "canaries": count,
            "canaries_required": rotation.canaries_required,
        }

    def _proven_rotation(self, data: Data | None, signature: str, canary: Canary, now: datetime) -> Rotation:
        state = self._settled_state(data, now)
        rotation = state.rotation if state else None
        pending = state.pending if state else None
        key = _DUMMY_KEY
        target = (rotation.rotation_id, pending.version_id) if rotation and pending else None
        if pending and pending.receipt_key and target == (canary.rotation_id, canary.version_id):
            key = base64url_decode(pending.receipt_key)
        # Always one verification, so that the time of a refusal does not tell whether a rotation is active.
        is_valid = verify_canary(key, signature, canary)
        if rotation is None or not is_valid or key is _DUMMY_KEY:
            raise Unauthenticated("canary_refused", "This proves possession of no pending secret.")
        return rotation

    def _settled_state(self, data: Data | None, now: datetime) -> ClientState | None:
        if data is None:
            return None
        state = live_state(data)
        return lifecycle.settle(state, self.policy.for_client(state.client.policy), now).state

    def _store(self, rotation: Rotation, instance: str) -> int:
        path = canaries_path(rotation.rotation_id)
        document = self.usage.get([path])[path]
        canaries = from_data(Canaries, document.data) if document.data else _no_canaries(rotation)
        if instance in canaries.instances or len(canaries.instances) >= MAX_INSTANCES:
            return len(canaries.instances)
        canaries = replace(canaries, instances=(*canaries.instances, instance))
        self.usage.commit([put(document, to_data(canaries))])
        return len(canaries.instances)


@dataclass(frozen=True, slots=True)
class CarryOverCanaries:
    """The sweeper's part: transfers the number of canaries to the rotation."""

    clients: Clients
    usage: Store

    def __call__(self, reading: ClientReading) -> bool:
        """Store the count in the active rotation. Return False if it has not risen. Raise `LostRace` as any commit."""
        rotation = reading.state.rotation
        if rotation is None or not rotation.awaits_canaries:
            return False
        path = canaries_path(rotation.rotation_id)
        data = self.usage.get([path])[path].data
        count = len(from_data(Canaries, data).instances) if data else 0
        if count <= rotation.canaries:
            return False
        command = CountCanaries(rotation_id=rotation.rotation_id, count=count)
        self.clients.commit(reading, reading.decide(command))
        return True


def _canary(fields: Fields) -> Canary:
    instance_id = fields.text("instance_id", limit=LONGEST_INSTANCE_ID)
    if not instance_id:
        raise InvalidRequest("bad_field", "The field instance_id is empty.")
    return Canary(
        rotation_id=rotation_identifier(fields.text("rotation_id")),
        client_id=identifier(fields.text("client_id")),
        version_id=version_identifier(fields.text("version_id")),
        instance_id=instance_id,
        nonce=fields.text("nonce"),
    )


def _salt(snapshot: Snapshot) -> bytes:
    document = snapshot[paths.SALT]
    if not document.exists:
        raise Unavailable("no_salt", "This deployment has no client yet. Try again later.")
    return typed(document.fields, "salt", bytes)


def _tag(salt: bytes, client_id: str, dated: str) -> bytes:
    data = length_prefixed("keyturn/canary-nonce/v1", client_id, dated)
    return hmac.digest(salt, data, "sha256")[:_TAG_BYTES]


def _check_nonce(salt: bytes, canary: Canary, now: datetime) -> None:
    def verify_tag(dated: str, tag: bytes) -> bool:
        return hmac.compare_digest(tag, _tag(salt, canary.client_id, dated))

    if dated_nonce(base64url_decode(canary.nonce), now, verify_tag) is None:
        raise Unauthenticated("challenge_refused", "The nonce is unknown or has expired. Request another one.")


def _instance(salt: bytes, canary: Canary) -> str:
    data = length_prefixed("keyturn/instance/v1", canary.rotation_id, canary.instance_id)
    return base64url_encode(hmac.digest(salt, data, "sha256")[:16])


def _no_canaries(rotation: Rotation) -> Canaries:
    expires_at = rotation.not_before + CANARY_RETENTION
    return Canaries(rotation.rotation_id, rotation.client_id, rotation.new_version, (), expires_at)
