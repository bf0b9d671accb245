"""Canaries: instances of an integrator's prove that they hold a pending secret; evidence, never an authorisation.

Rules:

1. A challenge is stateless: time and randomness under a MAC whose key is the deployment's salt. Nothing is stored for a
   question that anybody may ask, and nothing of a client is read for it.
2. A nonce need not be used up: an answer given twice is the same instance twice, which counts once.
3. Wrong signature, unknown client, no pending version: one refusal, one path, a signature checked each time.
4. An answer is stored in usage, at most MOST_INSTANCES a rotation, each instance as a keyed hash of what it calls
   itself. The door that takes it may only read control: the sweeper carries the count over, in a commit of its own.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, cast

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
from keyturn.ports.store import put
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
"""How long what instances proved is kept after its rotation is to begin."""
LONGEST_INSTANCE_ID: Final = 128
_TAG_BYTES = 16
_DUMMY_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
"""The public key of RFC 8032 §7.1, test 1: somebody's, and no version's."""


@dataclass(frozen=True, slots=True)
class ProveCanary:
    """The use cases behind `client_token`'s canary routes."""

    control: Store
    usage: Store
    policy: Policy
    environment: Environment

    def challenge(self, client_id: str) -> Data:
        """Return a nonce for an instance of a client; `Unavailable` in a deployment that has no client yet."""
        identifier(client_id)
        snapshot = self.control.get([paths.SALT])
        tag = partial(_tag, _salt(snapshot), client_id)
        challenge = issue_challenge(snapshot.read_time, self.environment.random, tag)
        return {"nonce": challenge.text, "expires_at": challenge.expires_at}

    def prove(self, presented: Fields) -> Data:
        """Take an instance's answer; `Unauthenticated` if it proves nothing, whatever the reason."""
        canary = _canary(presented)
        path = paths.client(canary.client_id)
        snapshot = self.control.get([path, paths.SALT])
        salt = _salt(snapshot)
        _check_nonce(salt, canary, snapshot.read_time)
        rotation = self._proven(snapshot[path].data, presented.text("signature"), canary, snapshot.read_time)
        instance = _instance(salt, canary)
        count = until_won(lambda: self._keep(rotation, instance), self.environment)
        return {
            "rotation_id": rotation.rotation_id,
            "version_id": rotation.new_version,
            "canaries": count,
            "canaries_required": rotation.canaries_required,
        }

    def _proven(self, data: Data | None, signature: str, canary: Canary, now: datetime) -> Rotation:
        state = self._settled(data, now)
        rotation = state.rotation if state else None
        pending = state.pending if state else None
        asked = (canary.rotation_id, canary.version_id)
        key = _DUMMY_KEY
        if rotation and pending and pending.receipt_key and asked == (rotation.rotation_id, pending.version_id):
            key = base64url_decode(pending.receipt_key)
        proven = verify_canary(key, signature, canary)
        if rotation is None or not proven or key is _DUMMY_KEY:
            raise Unauthenticated("canary_refused", "This proves possession of no pending secret.")
        return rotation

    def _settled(self, data: Data | None, now: datetime) -> ClientState | None:
        if data is None:
            return None
        state = live_state(data)
        return lifecycle.settle(state, self.policy.overridden(state.client.policy), now).state

    def _keep(self, rotation: Rotation, instance: str) -> int:
        path = canaries_path(rotation.rotation_id)
        document = self.usage.get([path])[path]
        known = from_data(Canaries, document.data) if document.data else _none_yet(rotation)
        if instance in known.instances or len(known.instances) >= MAX_INSTANCES:
            return len(known.instances)
        more = replace(known, instances=(*known.instances, instance))
        self.usage.commit([put(document, to_data(more))])
        return len(more.instances)


@dataclass(frozen=True, slots=True)
class CarryOverCanaries:
    """The sweeper's part: what instances have proved becomes part of their rotation."""

    clients: Clients
    usage: Store

    def __call__(self, reading: ClientReading) -> bool:
        """Write down how many there are for the rotation that is open; False if that is known. `LostRace` as ever."""
        rotation = reading.state.rotation
        if rotation is None or not rotation.awaits_canaries:
            return False
        path = canaries_path(rotation.rotation_id)
        data = self.usage.get([path])[path].data
        count = len(from_data(Canaries, data).instances) if data else 0
        if count <= rotation.canaries:
            return False
        command = CountCanaries(rotation_id=rotation.rotation_id, count=count)
        self.clients.commit(reading, lifecycle.decide(reading.state, command, reading.policy, reading.now))
        return True


def _canary(presented: Fields) -> Canary:
    instance_id = presented.text("instance_id", limit=LONGEST_INSTANCE_ID)
    if not instance_id:
        raise InvalidRequest("bad_field", "An instance needs a name of its own.")
    return Canary(
        rotation_id=rotation_identifier(presented.text("rotation_id")),
        client_id=identifier(presented.text("client_id")),
        version_id=version_identifier(presented.text("version_id")),
        instance_id=instance_id,
        nonce=presented.text("nonce"),
    )


def _salt(snapshot: Snapshot) -> bytes:
    data = snapshot[paths.SALT].data
    if data is None:
        raise Unavailable("no_salt", "This deployment has nothing to prove yet; try again later.")
    return cast("bytes", data["salt"])


def _tag(salt: bytes, client_id: str, dated: str) -> bytes:
    data = length_prefixed("keyturn/canary-nonce/v1", client_id, dated)
    return hmac.digest(salt, data, "sha256")[:_TAG_BYTES]


def _check_nonce(salt: bytes, canary: Canary, now: datetime) -> None:
    def verify_tag(dated: str, tag: bytes) -> bool:
        return hmac.compare_digest(tag, _tag(salt, canary.client_id, dated))

    if dated_nonce(base64url_decode(canary.nonce), now, verify_tag) is None:
        raise Unauthenticated("challenge_refused", "The nonce is not one of ours, or has ended: ask for another.")


def _instance(salt: bytes, canary: Canary) -> str:
    data = length_prefixed("keyturn/instance/v1", canary.rotation_id, canary.instance_id)
    return base64url_encode(hmac.digest(salt, data, "sha256")[:16])


def _none_yet(rotation: Rotation) -> Canaries:
    expires_at = rotation.not_before + CANARY_RETENTION
    return Canaries(rotation.rotation_id, rotation.client_id, rotation.new_version, (), expires_at)
