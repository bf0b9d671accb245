"""The values that a lifecycle decision rests on: client, version, rotation, and the state that holds them together."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the document codec reads these annotations
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from keyturn.domain.audit_chain import Head
from keyturn.domain.errors import Broken
from keyturn.domain.token_terms import DEFAULT_TERMS, TokenTerms


class ClientKind(StrEnum):
    """How an integrator presents its credential."""

    OAUTH2_CLIENT_SECRET = "oauth2_client_secret"  # noqa: S105 - the name of a kind
    X_API_KEY = "x_api_key"


class ClientStatus(StrEnum):
    """Whether a client's live versions verify."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


class VersionState(StrEnum):
    """Where a version is in its life; `current` and `grace` are live."""

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
    """How far a rotation is."""

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
class Person:
    """An admin who acts, through one Nostr key (`npub`: 64 lower-case hex characters)."""

    user: str
    npub: str


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who could open a notice: a leaf of a group at the notice's epoch."""

    user: str
    npub: str
    group: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Ack:
    """One person's proof to hold the secret; `receipt` is public (an Ed25519 signature), None where policy allows."""

    user: str
    npub: str
    ack_at: int
    receipt: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """One secret of a client; the secret itself is nowhere in it."""

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

    def retired(self, because: RetiredBecause) -> Version:
        """Return this version dead."""
        return replace(self, state=VersionState.RETIRED, retired_because=because)

    def current(self) -> Version:
        """Return this version as the one that has no end."""
        return replace(self, state=VersionState.CURRENT, not_after=None)

    def in_grace(self, not_after: datetime) -> Version:
        """Return this version as the one that still verifies until `not_after`."""
        return replace(self, state=VersionState.GRACE, not_after=not_after)


@dataclass(frozen=True, slots=True)
class Rotation:
    """One run of the lifecycle."""

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
    """How many of the integrator's own instances are known to have proved that they hold the secret."""
    canaried_at: datetime | None = None
    """When they were as many as required."""

    @property
    def awaits_canaries(self) -> bool:
        """Whether more of them have to come before the promotion, and may: the secret is out."""
        return self.canaries < self.canaries_required and self.phase in {Phase.DISTRIBUTED, Phase.ACKNOWLEDGED}

    @property
    def grace(self) -> timedelta:
        """How long the old version goes on verifying after promotion."""
        return timedelta(milliseconds=self.grace_duration_ms)

    def counts(self, user: str) -> bool:
        """Return whether that person's ack counts: with quorum ≥ 2 the requester's own does not."""
        return self.quorum == 1 or user != self.requested_by.user

    def counted_acks(self, people: frozenset[str] | None = None) -> int:
        """Return how many people's acks count towards the quorum; of `people` only, if they are given."""
        users = {ack.user for ack in self.acks if self.counts(ack.user)}
        return len(users if people is None else users & people)

    def ended(self, outcome: Outcome, at: datetime) -> Rotation:
        """Return this rotation completed."""
        return replace(self, phase=Phase.COMPLETED, outcome=outcome, completed_at=at)


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's consent to an act that needs a second one; `act` says exactly which."""

    act: str
    user: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Client:
    """An external integrator. Every command on a client writes this document: it is where races are decided."""

    client_id: str
    kind: ClientKind
    admin_groups: tuple[str, ...]
    updated_at: datetime
    status: ClientStatus = ClientStatus.ACTIVE
    current_version: str | None = None
    previous_version: str | None = None
    active_rotation: str | None = None
    last_rotation: str | None = None
    """The rotation that brought the current version and its predecessor together: what rollback and restore undo."""
    last_promoted_at: datetime | None = None
    policy: Mapping[str, int | bool] = field(default_factory=dict)
    tokens: TokenTerms = DEFAULT_TERMS
    recent_requests: tuple[datetime, ...] = ()
    approvals: tuple[Approval, ...] = ()
    recently_retired: tuple[str, ...] = ()
    """The last versions that were retired, oldest first: whoever presents one of theirs has an old copy or a leak."""
    audit_head: Head = field(default_factory=Head)
    revision: int = 0


@dataclass(frozen=True, slots=True)
class ClientState:
    """Everything that a decision about one client rests on, read at one instant.

    `versions` holds at least current, previous and pending, `rotations` the active and the last one, each by its id.
    """

    client: Client
    versions: Mapping[str, Version] = field(default_factory=dict)
    rotations: Mapping[str, Rotation] = field(default_factory=dict)

    @property
    def current(self) -> Version | None:
        """The version that verifies without an end."""
        return _named(self.versions, self.client.current_version)

    @property
    def previous(self) -> Version | None:
        """The version in grace."""
        return _named(self.versions, self.client.previous_version)

    @property
    def pending(self) -> Version | None:
        """The version that the active rotation brings."""
        return _named(self.versions, self.rotation.new_version) if self.rotation else None

    @property
    def live(self) -> tuple[Version, ...]:
        """The versions that verify: current, then the one in grace."""
        return tuple(version for version in (self.current, self.previous) if version)

    @property
    def rotation(self) -> Rotation | None:
        """The rotation that holds the client's lock."""
        return _named(self.rotations, self.client.active_rotation)

    @property
    def last(self) -> Rotation | None:
        """The rotation that rollback and restore undo and redo."""
        return _named(self.rotations, self.client.last_rotation)

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


def _named(loaded: Mapping[str, _T], name: str | None) -> _T | None:
    if name is not None and name not in loaded:
        raise Broken("a client names a document that is not there")
    return None if name is None else loaded[name]
