"""Invites as the store has them: database auth, `invites/{id}`; the id is the SHA-256 of a code that one device has.

    made ─▶ approved by others ─▶ registered (who, device, possession) ─▶ confirmed (TOTP) ─▶ used for one leaf

A suspended admin's return waits for approvals in a document of the same kind, which no code leads to.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from enum import StrEnum
from typing import TYPE_CHECKING

from keyturn.domain.errors import Conflict, Forbidden
from keyturn.records.admin import AdminDevice  # noqa: TC001 - the document codec reads these annotations
from keyturn.records.admin_directory import approvals_needed
from keyturn.records.codec import from_data

if TYPE_CHECKING:
    from keyturn.ports.store import Document
    from keyturn.records.admin_directory import AdminDirectory

MAX_WRONG_CODES = 5
"""How many wrong codes end an invite."""


class InvitePurpose(StrEnum):
    """What an invite is for."""

    JOIN = "join"
    DEVICE = "device"
    TOTP = "totp"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Approval:
    """One admin's consent."""

    user: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Registration:
    """What was registered by an invite; `totp_sealed` is a new seed, None where the admin's own goes on."""

    device: AdminDevice
    totp_sealed: bytes | None = field(repr=False)
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Invite:
    """One invite; `used_by` is the reference of the key package that took it, `tries` how many codes were wrong."""

    user: str
    group_id: str
    subject: str
    purpose: InvitePurpose
    needed: int
    created_at: datetime
    expires_at: datetime
    used_by: str | None = None
    tries: int = 0
    approvals: tuple[Approval, ...] = ()
    registration: Registration | None = None
    removal: str | None = None
    """Which removal this invite brings its user back from (`removal_of`): it was made, and approved, knowing of it."""

    @property
    def approvers(self) -> frozenset[str]:
        """Who approved."""
        return frozenset(approval.user for approval in self.approvals)

    def with_approval(self, user: str, at: datetime) -> Invite:
        """Return the invite with somebody's consent."""
        return replace(self, approvals=(*self.approvals, Approval(user, at)))

    def with_wrong_code(self) -> Invite:
        """Return the invite after a wrong code."""
        return replace(self, tries=self.tries + 1)

    def missing_approvals(self, register: AdminDirectory | None, quorum: int) -> int:
        """Return how many approvals are lacking, as of now: of those who approved, who was suspended counts no more."""
        needed = max(self.needed, approvals_needed(register, self.user, quorum))
        given = self.approvers & (register.others(self.user) if register else frozenset())
        return max(0, needed - len(given))


def read_invite(document: Document, now: datetime) -> Invite:
    """Return a living invite that somebody has the code of; `Forbidden` otherwise, whatever is wrong with it."""
    invite = from_data(Invite, document.data) if document.data is not None else None
    if (
        invite is None
        or invite.expires_at <= now
        or invite.tries >= MAX_WRONG_CODES
        or invite.purpose is InvitePurpose.RESUME
    ):
        raise bad_invite()
    return invite


def require_approved(invite: Invite, register: AdminDirectory | None, quorum: int) -> None:
    """Refuse an invite that other admins have yet to approve."""
    if invite.missing_approvals(register, quorum):
        raise Conflict("awaits_approval", "The invite awaits the approval of another admin.")


def bad_invite() -> Forbidden:
    """Return the refusal of a code that leads nowhere (any more)."""
    return Forbidden("bad_invite", "The code is unknown, or its time is over.")


def not_active() -> Forbidden:
    """Return the refusal of an admin who is suspended, removed or unknown."""
    return Forbidden("not_active", "This admin is not active.")
