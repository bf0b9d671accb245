"""The data of the lifecycle: client, version, rotation, and the state of one client (docs/protocol.md §3).

Field names are the names in the stored documents.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the document codec reads these annotations
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from keyturn.domain.audit_chain import Head
from keyturn.domain.errors import Broken
from keyturn.domain.record import OPTIONAL, Record
from keyturn.domain.token_terms import DEFAULT_TERMS, TokenTerms


class ClientKind(StrEnum):
    """How an integrator presents its credential."""

    OAUTH2_CLIENT_SECRET = "oauth2_client_secret"  # noqa: S105 - the name of a kind
    X_API_KEY = "x_api_key"


class ClientStatus(StrEnum):
    """Whether a client's live versions verify: only while it is active. `revoked` is final."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class VersionState(StrEnum):
    """The state of a version. `current` and `grace` are live: they verify."""

    PENDING = "pending"
    CURRENT = "current"
    GRACE = "grace"
    RETIRED = "retired"


class RetiredBecause(StrEnum):
    """Why a version was retired."""

    GRACE_ELAPSED = "grace_elapsed"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"
    COMPROMISED = "compromised"
    CANCELED = "canceled"
    EXPIRED = "expired"


class Phase(StrEnum):
    """How far a rotation has come."""

    REQUESTED = "requested"
    DISTRIBUTED = "distributed"
    ACKNOWLEDGED = "acknowledged"
    COMPLETED = "completed"


class Outcome(StrEnum):
    """How a rotation ended."""

    PROMOTED = "promoted"
    CANCELED = "canceled"
    EXPIRED = "expired"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Person(Record):
    """An acting admin, with the Nostr key that was used (`npub`: 64 lower-case hex characters)."""

    user: str
    npub: str


@dataclass(frozen=True, slots=True)
class Recipient(Record):
    """A device that could open a notice: a leaf of a group at the notice's epoch."""

    user: str
    npub: str
    group: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Ack(Record):
    """One person's proof of possessing the secret. `receipt` is a signature (Ed25519), or None where policy allows."""

    user: str
    npub: str
    ack_at: int
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Version(Record):
    """One secret of a client, by its hash. The secret itself is stored nowhere."""

    client_id: str
    version_id: str
    created_at: datetime
    not_before: datetime
    rotation_id: str
    rotated_by: str
    rotation_reason: str
    state: VersionState = VersionState.PENDING
    algo: str = "HMAC-SHA-256"
    secret_hash: str | None = None
    mac_key_ref: str | None = None
    receipt_key: str | None = None
    not_after: datetime | None = None
    retired_because: RetiredBecause | None = None

    def retire(self, because: RetiredBecause) -> Version:
        """Return this version as retired, which is final."""
        return replace(self, state=VersionState.RETIRED, retired_because=because)

    def make_current(self) -> Version:
        """Return this version as the current one, which has no end."""
        return replace(self, state=VersionState.CURRENT, not_after=None)

    def put_in_grace(self, not_after: datetime) -> Version:
        """Return this version as the previous one, which verifies until `not_after`."""
        return replace(self, state=VersionState.GRACE, not_after=not_after)


@dataclass(frozen=True, slots=True)
class Rotation(Record):
    """One run of the lifecycle, from its request to its outcome."""

    rotation_id: str
    client_id: str
    requested_by: Person
    reason: str
    mls_group: str
    groups: tuple[str, ...]
    new_version: str
    old_version: str | None
    not_before: datetime
    grace_duration_ms: int
    grace_until: datetime
    quorum: int
    request_digest: str
    created_at: datetime
    emergency: bool = False
    phase: Phase = Phase.REQUESTED
    outcome: Outcome | None = None
    distributed_at: datetime | None = None
    ack_deadline: datetime | None = None
    acknowledged_at: datetime | None = None
    completed_at: datetime | None = None
    distribution_message_id: str | None = None
    recipients: tuple[Recipient, ...] = ()
    acks: tuple[Ack, ...] = ()
    canaries_required: int = 0
    canaries: int = 0
    """How many of the integrator's own instances have proved that they hold the secret."""
    canaried_at: datetime | None = None
    """When the required number was reached."""

    @property
    def awaits_canaries(self) -> bool:
        """Whether the promotion still needs canaries, and the secret is distributed, so that they can come."""
        return self.canaries < self.canaries_required and self.phase in {Phase.DISTRIBUTED, Phase.ACKNOWLEDGED}

    @property
    def grace(self) -> timedelta:
        """How long the old version keeps verifying after the promotion."""
        return timedelta(milliseconds=self.grace_duration_ms)

    def ack_counts(self, user: str) -> bool:
        """Return whether that person's ack counts: from a quorum of 2 on, the requester's own does not (§6)."""
        # The requester has decided for the rotation already: a quorum of several people consists of others.
        return self.quorum == 1 or user != self.requested_by.user

    def count_acks(self, people: frozenset[str] | None = None) -> int:
        """Return how many people's acks count towards the quorum. With `people`, only theirs count."""
        users = {ack.user for ack in self.acks if self.ack_counts(ack.user)}
        return len(users if people is None else users & people)

    def end(self, outcome: Outcome, at: datetime) -> Rotation:
        """Return this rotation as completed."""
        return replace(self, phase=Phase.COMPLETED, outcome=outcome, completed_at=at)


@dataclass(frozen=True, slots=True)
class CommandApproval(Record):
    """One person's approval of a command that two people must want. `act` identifies the command exactly."""

    act: str
    user: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Client(Record):
    """An external integrator.

    Every command on a client writes its document, so of two commands at once only one commits. The other reads again.
    """

    client_id: str
    kind: ClientKind
    admin_groups: tuple[str, ...]
    updated_at: datetime
    status: ClientStatus = ClientStatus.ACTIVE
    current_version: str | None = None
    previous_version: str | None = None
    active_rotation: str | None = None
    last_rotation: str | None = None
    """The rotation that made one live version succeed the other: the one that rollback and restore act on."""
    last_promoted_at: datetime | None = None
    policy: Mapping[str, int | bool] = field(default_factory=dict)
    tokens: TokenTerms = DEFAULT_TERMS
    recent_requests: tuple[datetime, ...] = ()
    approvals: tuple[CommandApproval, ...] = ()
    recently_retired: tuple[str, ...] = ()
    """The last versions that were retired, oldest first. Use of such a secret is a sign of an old copy or of a leak."""
    audit_head: Head = field(default_factory=Head)
    revision: int = 0
    valid_until: datetime | None = field(default=None, metadata=OPTIONAL)
    """When all of its credentials end, whatever their versions. None for a client without an end."""
    sources: tuple[str, ...] = field(default=(), metadata=OPTIONAL)
    """The address ranges that its credentials are accepted from (`domain.client_access`). Empty for all."""


@dataclass(frozen=True, slots=True)
class ClientState:
    """Everything that a decision about one client rests on, read at one instant.

    `versions` has at least the current, previous and pending one by id, `rotations` the active and the last one.
    """

    client: Client
    versions: Mapping[str, Version] = field(default_factory=dict)
    rotations: Mapping[str, Rotation] = field(default_factory=dict)

    @property
    def current(self) -> Version | None:
        """The version that verifies until it is replaced."""
        return _look_up(self.versions, self.client.current_version)

    @property
    def previous(self) -> Version | None:
        """The version in grace."""
        return _look_up(self.versions, self.client.previous_version)

    @property
    def pending(self) -> Version | None:
        """The version that the active rotation created."""
        return _look_up(self.versions, self.rotation.new_version) if self.rotation else None

    @property
    def live(self) -> tuple[Version, ...]:
        """The versions that verify: current, then the one in grace."""
        return tuple(version for version in (self.current, self.previous) if version)

    @property
    def rotation(self) -> Rotation | None:
        """The rotation that holds the client's lock."""
        return _look_up(self.rotations, self.client.active_rotation)

    @property
    def last(self) -> Rotation | None:
        """The rotation that rollback and restore act on."""
        return _look_up(self.rotations, self.client.last_rotation)

    def with_client(self, **changes: object) -> ClientState:
        """Return this state with changed fields of its client."""
        return replace(self, client=replace(self.client, **changes))  # type: ignore[arg-type]  # named fields of Client

    def with_versions(self, *versions: Version) -> ClientState:
        """Return this state with these versions in place of those of the same id."""
        return replace(self, versions={**self.versions, **{version.version_id: version for version in versions}})

    def with_rotation(self, rotation: Rotation) -> ClientState:
        """Return this state with this rotation in place of the one of the same id."""
        return replace(self, rotations={**self.rotations, rotation.rotation_id: rotation})


_T = TypeVar("_T")


def _look_up(documents: Mapping[str, _T], name: str | None) -> _T | None:
    if name is not None and name not in documents:
        raise Broken("a client refers to a document that does not exist")
    return None if name is None else documents[name]
