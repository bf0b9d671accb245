"""Invites in the database `auth`, at `invites/{id}` (docs/protocol.md §7).

The id is the SHA-256 of a one-time code. Only the invited device gets the code.

    created ─▶ approved by other admins ─▶ device registered ─▶ confirmed by a TOTP code ─▶ used to join one group

A suspended admin's return waits for approvals in a document of the same kind. No code leads to that document.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from enum import StrEnum
from typing import TYPE_CHECKING

from keyturn.domain.errors import Conflict, Forbidden
from keyturn.domain.record import OPTIONAL, Record
from keyturn.records.admin import AdminDevice  # noqa: TC001 - the document codec reads these annotations
from keyturn.records.admin_directory import approvals_needed
from keyturn.records.codec import from_data

if TYPE_CHECKING:
    from keyturn.ports.store import Document
    from keyturn.records.admin_directory import AdminDirectory

MAX_WRONG_CODES = 5
"""After so many wrong TOTP codes an invite is void."""


class InvitePurpose(StrEnum):
    """What an invite is for."""

    JOIN = "join"
    DEVICE = "device"
    TOTP = "totp"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class InviteApproval(Record):
    """One admin's approval."""

    user: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Registration(Record):
    """The device that an invite registered. `totp_sealed` is a new TOTP seed, None if the admin keeps the old one."""

    device: AdminDevice
    totp_sealed: bytes | None = field(repr=False)
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Invite(Record):
    """One invite.

    `needed` is the number of approvals required at creation. `used_by` is the reference of the key package that used
    the invite. `tries` counts wrong TOTP codes.
    """

    user: str
    group_id: str
    subject: str
    purpose: InvitePurpose
    needed: int
    created_at: datetime
    expires_at: datetime
    used_by: str | None = None
    tries: int = 0
    approvals: tuple[InviteApproval, ...] = ()
    registration: Registration | None = None
    removal: str | None = field(default=None, metadata=OPTIONAL)
    """The removal (`removal_version`) from which this invite brings its user back.

    An invite from before the removal was approved without knowing of it, so it is void.
    """
    act: str | None = field(default=None, metadata=OPTIONAL)
    """The id of the attempt that wrote the last wrong code."""

    @property
    def approvers(self) -> frozenset[str]:
        """The users that approved."""
        return frozenset(approval.user for approval in self.approvals)

    def with_approval(self, user: str, at: datetime) -> Invite:
        """Return the invite with one more approval."""
        return replace(self, approvals=(*self.approvals, InviteApproval(user, at)))

    def with_wrong_code(self, act: str) -> Invite:
        """Return the invite after a wrong TOTP code, which the attempt `act` counts."""
        return replace(self, tries=self.tries + 1, act=act)

    def missing_approvals(self, directory: AdminDirectory | None, quorum: int) -> int:
        """Return how many approvals are still missing now. An approver that was suspended since no longer counts."""
        # The larger of then and now: neither removing admins nor adding some makes an invite easier to approve.
        needed = max(self.needed, approvals_needed(directory, self.user, quorum))
        valid = self.approvers & (directory.others(self.user) if directory else frozenset())
        return max(0, needed - len(valid))


def read_open_invite(document: Document, now: datetime) -> Invite:
    """Return an invite that a code still opens. Raise `Forbidden` otherwise."""
    invite = from_data(Invite, document.data) if document.data is not None else None
    # One refusal for all cases: a caller that guesses codes must not learn whether an invite exists.
    if invite is None or invite.expires_at <= now or invite.tries >= MAX_WRONG_CODES:
        raise bad_invite()
    if invite.purpose is InvitePurpose.RESUME:  # only approvals lead to this document, never a code
        raise bad_invite()
    return invite


def require_approved(invite: Invite, directory: AdminDirectory | None, quorum: int) -> None:
    """Refuse (`Conflict`) an invite that other admins still have to approve."""
    if invite.missing_approvals(directory, quorum):
        raise Conflict("awaits_approval", "The invite needs approval by another admin first.")


def bad_invite() -> Forbidden:
    """Return the refusal of a code that opens no invite."""
    return Forbidden("bad_invite", "The code is unknown or has expired.")


def not_active() -> Forbidden:
    """Return the refusal of a suspended, removed or unknown admin."""
    return Forbidden("not_active", "This admin is not active.")
