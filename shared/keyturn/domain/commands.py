"""Commands: what can be done to a client, each with the evidence that its guards judge (docs/protocol.md §4).

Evidence is gathered outside of the domain (is the admin a member, which key verifies a receipt) and judged inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from keyturn.domain.model import Person, Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminCommand:
    """The evidence that every admin's command carries.

    `groups` are those authorised for the client in which the actor has a leaf now. `people` are the users of all groups
    that are authorised for the client. `digest` is the request's.
    """

    actor: Person
    groups: frozenset[str]
    people: frozenset[str]
    reason: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(AdminCommand):
    """Request a new version. `measured_from` is the event's created_at, `recent` are the requester's last ones."""

    rotation_id: str
    version_id: str
    group: str
    measured_from: datetime
    not_before: datetime | None = None
    grace: timedelta | None = None
    supersede: bool = False
    recent: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency(Request):
    """Request a new version now, and cancel a rotation that is in progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribute:
    """Store the hash and the receipt key of a secret, and the devices that can open its notice."""

    rotation_id: str
    secret_hash: str
    mac_key_ref: str
    receipt_key: str
    recipients: tuple[Recipient, ...]
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """Prove possession of the secret. `receipt_key` is the key that the receipt verified under, None if under none.

    `member`: the actor has a leaf now. `people`: all users with one. Earlier acknowledgements of removed members no
    longer count.
    """

    actor: Person
    member: bool
    people: frozenset[str]
    rotation_id: str
    version_id: str
    secret_hash: str
    mac_key_ref: str
    ack_at: int
    receipt: str | None
    receipt_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CountCanaries:
    """Record how many distinct instances of the integrator have proved that they hold the secret."""

    rotation_id: str
    count: int
    by: str = "canaries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(AdminCommand):
    """End the active rotation before its promotion."""

    rotation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback(AdminCommand):
    """Make the version in grace current again. `compromised` retires the other one at once."""

    compromised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(AdminCommand):
    """Undo a rollback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire(AdminCommand):
    """End a grace period early."""

    version_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireSilent:
    """End a grace period early because the version in grace is no longer used (policy `retire_early`).

    `silent_for` is how long it is known to be unused, `needed` how long is enough, None if too little is known to say.
    """

    version_id: str
    silent_for: timedelta
    needed: timedelta | None
    reason: str = ""
    by: str = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeVersion(AdminCommand):
    """Retire one version at once, the last live one only with `force`."""

    version_id: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeLeaked(RevokeVersion):
    """Retire a version after a leak of its secret. `receipt_key` is the key that the report's signature verified under.

    No second admin has to approve: the report is signed with the secret itself, so the leak is proved.
    """

    force: bool = True
    receipt_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeClient(AdminCommand):
    """Revoke a client with all its versions, for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend(AdminCommand):
    """Let no version verify until the client is resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(AdminCommand):
    """Let the live versions of a suspended client verify again."""


Command: TypeAlias = (
    "Request | Emergency | Distribute | Acknowledge | CountCanaries | Cancel | Rollback | Restore | Retire"
    " | RetireSilent | RevokeVersion | RevokeLeaked | RevokeClient | Suspend | Resume"
)
