"""Checks of one client: its documents, read while they did not change, against every rule that they can show.

The rules are those of docs/protocol.md §3 (data), §4 (lifecycle) and §9 (audit).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain import invariants, lifecycle
from keyturn.domain.encodings import base64url_decode, due_shard, to_milliseconds
from keyturn.domain.errors import Broken, InvalidRequest
from keyturn.domain.imported_hash import is_stored_hash
from keyturn.domain.imported_secret import is_imported
from keyturn.domain.model import Client, ClientState, Outcome, Rotation, Version
from keyturn.domain.policy import unrecognised_names
from keyturn.domain.secret_format import secrets_in
from keyturn.ports.keys import KeyRefused
from keyturn.ports.store import mapping
from keyturn.proofs import receipts
from keyturn.records import paths
from keyturn.records.client_document import live_data
from keyturn.records.codec import from_data
from keyturn.records.retention import RETENTION, may_be_deleted
from keyturn.use_cases.doctor.audit_checks import chain_findings, replay_findings
from keyturn.use_cases.doctor.findings import CheckFinding, plain_value
from keyturn.use_cases.groups.maintenance import NOTICE_RETENTION
from keyturn.verifier.matching import match

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.model import Ack
    from keyturn.domain.policy import Policy
    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Data, Document

_HASH_BYTES = 32
_NO_SECRETS = frozenset({"secret_hash", "receipt_key"})
"""Fields with values of a secret's length that are no secrets."""


@dataclass(frozen=True, slots=True)
class ClientDocuments:
    """One client's documents, as they were together.

    `notices` are the log entries at which the rotations say that their notices were sent, by rotation id.
    """

    client: Document
    versions: Sequence[Document]
    rotations: Sequence[Document]
    entries: Sequence[Document]
    notices: Mapping[str, Document]
    now: datetime
    """The store's time when they were read."""
    recreated_at: Mapping[str, int] = field(default_factory=dict)
    """When (Unix milliseconds) each group was last re-created after a restore. Its log started again then."""

    @property
    def own(self) -> Sequence[Document]:
        """The documents that belong to this client only."""
        return (self.client, *self.versions, *self.rotations, *self.entries)

    def state(self) -> ClientState:
        """Return the client's documents as one state. Raise `Broken` if one of them is malformed."""
        versions = [from_data(Version, document.fields) for document in self.versions]
        rotations = [from_data(Rotation, document.fields) for document in self.rotations]
        return ClientState(
            from_data(Client, self.client.fields),
            {version.version_id: version for version in versions},
            {rotation.rotation_id: rotation for rotation in rotations},
        )


def client_findings(documents: ClientDocuments, policy: Policy, mac_key: MacKey) -> Iterator[CheckFinding]:
    """Yield the broken rules of one client. `policy` is the deployment's."""
    try:
        state = documents.state()
    except Broken:
        yield CheckFinding("a document does not hold the entity that its path names")
        return
    yield from _path_findings(documents, state.client)
    chain_problems = list(chain_findings(state.client.client_id, documents.entries, state.client.audit_head))
    yield from chain_problems
    yield from map(CheckFinding, invariants.breaches(state, documents.now - RETENTION))
    # A pointer to a missing document has been reported by now, and no further rule can be checked without it.
    with suppress(Broken):
        yield from _state_findings(documents, state, policy, mac_key)
        if not chain_problems:  # otherwise the replay would report the same damage again and again
            yield from replay_findings(documents.entries, state, documents.now - RETENTION)
            yield from _time_findings(documents.entries, state.client)
    yield from _plaintext_findings(documents, state)


def _path_findings(documents: ClientDocuments, client: Client) -> Iterator[CheckFinding]:
    by_id = {"client_id": (documents.client,), "version_id": documents.versions, "rotation_id": documents.rotations}
    for id_name, items in by_id.items():
        for document in items:
            if (document.fields[id_name], document.fields["client_id"]) != (document.id, client.client_id):
                yield CheckFinding("a document's ids differ from its path", document.path)


def _state_findings(
    documents: ClientDocuments, state: ClientState, policy: Policy, mac_key: MacKey
) -> Iterator[CheckFinding]:
    yield from _derived_findings(documents.client.fields, state, policy)
    for version in state.live:
        yield from _live_findings(version, mac_key)
    for rotation in state.rotations.values():
        where = paths.rotation(rotation.rotation_id)
        yield from (
            CheckFinding(sentence, where) for sentence in _rotation_sentences(documents, state, rotation, policy)
        )


def _derived_findings(data: Data, state: ClientState, policy: Policy) -> Iterator[CheckFinding]:
    """Check the fields that follow from the state: they are written with every change, and only there."""
    if not _same_live(mapping(data, "live"), live_data(state)):
        yield CheckFinding("the verifier's copy (live) differs from the versions")
    if data["due_shard"] != due_shard(state.client.client_id):
        yield CheckFinding("the client is in the wrong shard (due_shard)")
    if unrecognised_names(state.client.policy):
        yield CheckFinding("the client's policy is outside its bounds, or of a newer release")
        return
    if data["next_due_at"] != lifecycle.next_due_at(state, policy.for_client(state.client.policy)):
        yield CheckFinding("the sweeper's time (next_due_at) differs from the state's")


def _same_live(stored: Data, expected: Data) -> bool:
    # A client's document from before `live` had the field `last` does not have it until the client's next change.
    comparable = {name: value for name, value in expected.items() if name != "last" or name in stored}
    return plain_value(stored) == plain_value(comparable)


def _live_findings(version: Version, mac_key: MacKey) -> Iterator[CheckFinding]:
    where = paths.version(version.client_id, version.version_id)
    if is_imported(version) and not is_stored_hash(version.algo, version.secret_hash or ""):
        yield CheckFinding("an imported version's hash is malformed", where)
    if version.secret_hash and version.mac_key_ref:
        try:
            if len(base64url_decode(version.secret_hash)) != _HASH_BYTES:
                yield CheckFinding("a live version's hash is malformed", where)
            # Only to learn whether the key exists and is enabled. The result is false, since no secret is at hand.
            mac_key.verify(version.mac_key_ref, b"", bytes(_HASH_BYTES))
        except InvalidRequest:
            yield CheckFinding("a live version's hash is malformed", where)
        except KeyRefused:
            yield CheckFinding("a live version's MAC key is unknown or disabled", where)


def _rotation_sentences(
    documents: ClientDocuments, state: ClientState, rotation: Rotation, policy: Policy
) -> Iterator[str]:
    # A missing version was deleted at the end of its retention. Otherwise it has been reported as missing.
    if rotation.new_version not in state.versions:
        return
    version = state.versions[rotation.new_version]
    if version.rotation_id != rotation.rotation_id:
        yield "a rotation and its version do not refer to each other"
    old = rotation.old_version
    if old is not None and old not in state.versions and not may_be_deleted(rotation.created_at, documents.now):
        yield "the version that a rotation replaces is missing"
    if rotation.outcome in {Outcome.PROMOTED, Outcome.ROLLED_BACK} and not _was_promoted_in_time(rotation):
        yield "a rotation was promoted before its time or its quorum"
    if rotation.distributed_at is not None and not _has_notice(documents, rotation, rotation.distributed_at):
        yield "the notice of a distributed rotation is not in its group's log"
    needs_receipt = policy.for_client(state.client.policy).require_receipts
    if not all(_is_receipt_valid(ack, rotation, version, needed=needs_receipt) for ack in rotation.acks):
        yield "an acknowledgement's receipt does not verify under the version's receipt key"


def _was_promoted_in_time(rotation: Rotation) -> bool:
    at, since = rotation.completed_at, rotation.acknowledged_at
    return at is not None and since is not None and at >= max(since, rotation.not_before)


def _has_notice(documents: ClientDocuments, rotation: Rotation, distributed_at: datetime) -> bool:
    """Return whether the log has the rotation's notice, or may have lost it by now."""
    notice = documents.notices[rotation.rotation_id].data
    completed_at = rotation.completed_at
    may_have_expired = completed_at is not None and completed_at + NOTICE_RETENTION <= documents.now
    if to_milliseconds(distributed_at) <= documents.recreated_at.get(rotation.mls_group, -1):
        return True  # the log from before the group was re-created is deleted
    if notice is None or (notice["kind"] != "notice" and may_have_expired):
        return may_have_expired
    return (notice["kind"], notice["rotation_id"]) == ("notice", rotation.rotation_id)


def _is_receipt_valid(ack: Ack, rotation: Rotation, version: Version, *, needed: bool) -> bool:
    if ack.receipt is None:
        return not needed
    statement = receipts.AckStatement(
        rotation_id=rotation.rotation_id,
        client_id=rotation.client_id,
        version_id=version.version_id,
        ack_by=ack.npub,
        ack_at=ack.ack_at,
        secret_hash=version.secret_hash or "",
        mac_key_ref=version.mac_key_ref or "",
    )
    try:
        return receipts.verify_receipt(base64url_decode(version.receipt_key or ""), ack.receipt, statement)
    except (InvalidRequest, ValueError):  # the stored key is malformed
        return False


def _time_findings(entries: Sequence[Document], client: Client) -> Iterator[CheckFinding]:
    if entries and entries[-1].fields["at"] != to_milliseconds(client.updated_at):
        yield CheckFinding("the client was changed without an audit entry (updated_at)")


def _plaintext_findings(documents: ClientDocuments, state: ClientState) -> Iterator[CheckFinding]:
    """Check that no document contains a secret: each text with the form of one is tried against every version."""
    versions = [version for version in state.versions.values() if version.receipt_key]
    for document in documents.own:
        tokens = {token for text in _texts(plain_value(document.data)) for token in secrets_in(text)}
        if any(match(token, version.client_id, [version]) for token in tokens for version in versions):
            yield CheckFinding("a document contains a version's secret in plaintext", document.path)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item) if name not in _NO_SECRETS else ()
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
