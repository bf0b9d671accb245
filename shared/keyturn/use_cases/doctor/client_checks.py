"""Examine a client: its documents, read while it stood still, against every rule that they can show."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from keyturn.domain import invariants, lifecycle
from keyturn.domain.bcrypt_import import is_bcrypt_hash, is_imported
from keyturn.domain.encodings import base64url_decode, due_shard, to_milliseconds
from keyturn.domain.errors import Broken, InvalidRequest, PolicyViolation
from keyturn.domain.model import Client, ClientState, Outcome, Rotation, Version
from keyturn.domain.secret_format import sighted_in
from keyturn.ports.keys import KeyRefused
from keyturn.proofs import receipts
from keyturn.records import paths
from keyturn.records.client_document import live_data
from keyturn.records.codec import from_data
from keyturn.records.retention import RETENTION, may_be_deleted
from keyturn.use_cases.doctor.audit_checks import chain_findings, replay_findings
from keyturn.use_cases.doctor.findings import Finding, last_segment, thawed
from keyturn.verifier.matching import match

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.model import Ack
    from keyturn.domain.policy import Policy
    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Data, Document

NOTICE_RETENTION = timedelta(days=7)
"""How long after its rotation's end a notice stays in the log (protocol.md §3)."""
_HASH_BYTES = 32
_NO_SECRETS = frozenset({"secret_hash", "receipt_key"})
"""Fields of a secret's length that are none."""


@dataclass(frozen=True, slots=True)
class ClientDocuments:
    """One client's documents as they stood together; `notices` are the places that its rotations say were sent to."""

    client: Document
    versions: Sequence[Document]
    rotations: Sequence[Document]
    entries: Sequence[Document]
    notices: Mapping[str, Document]
    now: datetime
    """The store's time of the reading."""
    refounded: Mapping[str, int] = field(default_factory=dict)
    """When (Unix milliseconds) a group's log began again after a restore, by its id."""

    @property
    def own(self) -> Sequence[Document]:
        """What belongs to this client and to nothing else."""
        return (self.client, *self.versions, *self.rotations, *self.entries)

    def state(self) -> ClientState:
        """Return all of the client's documents as one state; `Broken` if one is not what its place says."""
        versions = [from_data(Version, cast("Data", item.data)) for item in self.versions]
        rotations = [from_data(Rotation, cast("Data", item.data)) for item in self.rotations]
        return ClientState(
            from_data(Client, cast("Data", self.client.data)),
            {version.version_id: version for version in versions},
            {rotation.rotation_id: rotation for rotation in rotations},
        )


def client_findings(found: ClientDocuments, policy: Policy, mac_key: MacKey) -> Iterator[Finding]:
    """Yield what is wrong with one client; `policy` is the deployment's."""
    try:
        state = found.state()
    except Broken:
        yield Finding("a document is not the entity that its path says")
        return
    yield from _place_findings(found, state.client)
    broken_chain = list(chain_findings(state.client.client_id, found.entries, state.client.audit_head))
    yield from broken_chain
    yield from map(Finding, invariants.breaches(state, found.now - RETENTION))
    with suppress(Broken):  # a pointer to nothing: named just now, and no rule beyond it can be judged
        yield from _state_findings(found, state, policy, mac_key)
        if not broken_chain:
            yield from replay_findings(found.entries, state, found.now - RETENTION)
            yield from _moment_findings(found.entries, state.client)
    yield from _plaintext_findings(found, state)


def _place_findings(found: ClientDocuments, client: Client) -> Iterator[Finding]:
    names = {"client_id": (found.client,), "version_id": found.versions, "rotation_id": found.rotations}
    for name, documents in names.items():
        for document in documents:
            data = cast("Data", document.data)
            if (data[name], data["client_id"]) != (last_segment(document), client.client_id):
                yield Finding("a document's ids and its place disagree", document.path)


def _state_findings(found: ClientDocuments, state: ClientState, policy: Policy, mac_key: MacKey) -> Iterator[Finding]:
    yield from _derived_findings(cast("Data", found.client.data), state, policy)
    for version in state.live:
        yield from _live_findings(version, mac_key)
    for rotation in state.rotations.values():
        where = paths.rotation(rotation.rotation_id)
        yield from (Finding(sentence, where) for sentence in _rotation_sentences(found, state, rotation, policy))


def _derived_findings(data: Data, state: ClientState, policy: Policy) -> Iterator[Finding]:
    if not _tells(cast("Data", data["live"]), live_data(state)):
        yield Finding("what the verifier reads (live) is not what the versions say")
    if data["due_shard"] != due_shard(state.client.client_id):
        yield Finding("the client stands in another shard than its own")
    try:
        own = policy.overridden(state.client.policy)
    except PolicyViolation:
        yield Finding("the client's policy is outside its bounds")
        return
    if data["next_due_at"] != lifecycle.next_due_at(state, own):
        yield Finding("the sweeper is told another time (next_due_at) than the state asks for")


def _tells(told: Data, right: Data) -> bool:
    # A client that nobody touched since `last` came to be told does not tell it yet.
    return thawed(told) == thawed({name: value for name, value in right.items() if name != "last" or name in told})


def _live_findings(version: Version, mac_key: MacKey) -> Iterator[Finding]:
    where = paths.version(version.client_id, version.version_id)
    if is_imported(version) and not is_bcrypt_hash(version.secret_hash or ""):
        yield Finding("an imported version's hash is none", where)
    if version.secret_hash and version.mac_key_ref:
        try:
            if len(base64url_decode(version.secret_hash)) != _HASH_BYTES:
                yield Finding("a live version's hash is none", where)
            mac_key.verify(version.mac_key_ref, b"", bytes(_HASH_BYTES))
        except InvalidRequest:
            yield Finding("a live version's hash is none", where)
        except KeyRefused:
            yield Finding("a live version's MAC key is unknown or disabled", where)


def _rotation_sentences(
    found: ClientDocuments, state: ClientState, rotation: Rotation, policy: Policy
) -> Iterator[str]:
    if rotation.new_version not in state.versions:  # forgotten by now, else it was named as missing
        return
    version = state.versions[rotation.new_version]
    if version.rotation_id != rotation.rotation_id:
        yield "a rotation and the version that it made name each other differently"
    old = rotation.old_version
    if old is not None and old not in state.versions and not may_be_deleted(rotation.created_at, found.now):
        yield "the version that a rotation was to replace is missing"
    if rotation.outcome in {Outcome.PROMOTED, Outcome.ROLLED_BACK} and not _promoted_in_time(rotation):
        yield "a rotation was promoted before its time or its quorum"
    if rotation.distributed_at is not None and not _was_sent(found, rotation):
        yield "the notice of a distributed rotation is not in its group's log"
    receipts_wanted = policy.overridden(state.client.policy).require_receipts
    if not all(_receipt_holds(ack, rotation, version, wanted=receipts_wanted) for ack in rotation.acks):
        yield "an acknowledgement's receipt does not verify under the version's receipt key"


def _promoted_in_time(rotation: Rotation) -> bool:
    at, since = rotation.completed_at, rotation.acknowledged_at
    return at is not None and since is not None and at >= max(since, rotation.not_before)


def _was_sent(found: ClientDocuments, rotation: Rotation) -> bool:
    notice, ended = found.notices[rotation.rotation_id].data, rotation.completed_at
    may_be_gone = ended is not None and ended + NOTICE_RETENTION <= found.now
    sent_at = to_milliseconds(cast("datetime", rotation.distributed_at))
    if sent_at <= found.refounded.get(rotation.mls_group, -1):  # it went with the log that was before
        return True
    if notice is None or (notice["kind"] != "notice" and may_be_gone):
        return may_be_gone
    return (notice["kind"], notice["rotation_id"]) == ("notice", rotation.rotation_id)


def _receipt_holds(ack: Ack, rotation: Rotation, version: Version, *, wanted: bool) -> bool:
    if ack.receipt is None:
        return not wanted
    signed = receipts.AckStatement(
        rotation_id=rotation.rotation_id,
        client_id=rotation.client_id,
        version_id=version.version_id,
        ack_by=ack.npub,
        ack_at=ack.ack_at,
        secret_hash=version.secret_hash or "",
        mac_key_ref=version.mac_key_ref or "",
    )
    try:
        return receipts.verify_receipt(base64url_decode(version.receipt_key or ""), ack.receipt, signed)
    except (InvalidRequest, ValueError):  # the stored key is none
        return False


def _moment_findings(entries: Sequence[Document], client: Client) -> Iterator[Finding]:
    if entries and cast("Data", entries[-1].data)["at"] != to_milliseconds(client.updated_at):
        yield Finding("the client was changed without an audit entry (updated_at)")


def _plaintext_findings(found: ClientDocuments, state: ClientState) -> Iterator[Finding]:
    keyed = [version for version in state.versions.values() if version.receipt_key]
    for document in found.own:
        tokens = {token for text in _texts(thawed(document.data)) for token in sighted_in(text)}
        if any(match(token, version.client_id, [version]) for token in tokens for version in keyed):
            yield Finding("a document holds a version's secret in clear", document.path)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item) if name not in _NO_SECRETS else ()
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
