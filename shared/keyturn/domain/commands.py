"""Commands: what somebody wants done to a client, with the evidence that the lifecycle's guards look at.

Evidence is gathered outside the core (who is a member, under which key a receipt verified) and judged inside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from keyturn.domain.model import Person, Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminCommand:
    """What every admin's command carries.

    `groups` are those authorised for the client in which the actor has a leaf now (evidence); `people` the users of all
    groups authorised for the client; `digest` that of the request.
    """

    actor: Person
    groups: frozenset[str]
    people: frozenset[str]
    reason: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(AdminCommand):
    """Ask for a new version. `measured_from` is the event's created_at; `recent` the requester's last requests."""

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
    """Ask for a new version now, whatever is going on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribute:
    """Store what was sent: the hash and receipt key of the secret, and who can open the notice."""

    rotation_id: str
    secret_hash: str
    mac_key_ref: str
    receipt_key: str
    recipients: tuple[Recipient, ...]
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """Prove to hold the secret. `receipt_key`: what the receipt verified under.

    `member`: the acker has a leaf now; `people`: all who have one, for earlier acks of the removed count no more.
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
    """Take note of how many distinct instances of the integrator's have proved to hold the secret: evidence, no act."""

    rotation_id: str
    count: int
    by: str = "canaries"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel(AdminCommand):
    """End the active rotation before it is promoted."""

    rotation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback(AdminCommand):
    """Go back to the version in grace; `compromised` kills the one that is left."""

    compromised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore(AdminCommand):
    """Undo a rollback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire(AdminCommand):
    """End a grace window early."""

    version_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetireSilent:
    """End a grace window early because nobody uses the version in grace any more (policy `retire_early`).

    `silent_for` is how long that is shown, `needed` how long it has to be; None: what is known does not tell.
    """

    version_id: str
    silent_for: timedelta
    needed: timedelta | None
    reason: str = ""
    by: str = "policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeVersion(AdminCommand):
    """Kill one version at once; the last live one only with `force`."""

    version_id: str
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeSighted(RevokeVersion):
    """Kill a version whose secret was sighted where it should not be; `receipt_key`: what the sighting verified under.

    Whoever shows the secret needs no second person: it is burnt, whoever else would have to agree.
    """

    force: bool = True
    receipt_key: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeClient(AdminCommand):
    """Kill a client for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspend(AdminCommand):
    """Let nothing verify until resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume(AdminCommand):
    """Let a suspended client's live versions verify again."""


Command: TypeAlias = (
    "Request | Emergency | Distribute | Acknowledge | CountCanaries | Cancel | Rollback | Restore | Retire"
    " | RetireSilent | RevokeVersion | RevokeSighted | RevokeClient | Suspend | Resume"
)
