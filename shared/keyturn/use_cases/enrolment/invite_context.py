"""The desk of enrolment: all in the database auth that an invite's holder is judged by, as it was at one instant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain.encodings import invite_id
from keyturn.domain.errors import Conflict
from keyturn.ports.store import LostRace, put
from keyturn.records import paths
from keyturn.records.admin import AdminStatus, admin_path
from keyturn.records.admin_directory import admin_writes, read_admin, read_directory, removal_version
from keyturn.records.codec import to_data
from keyturn.records.denylist import BLOCK_PATHS, require_allowed, require_running
from keyturn.records.invite import InvitePurpose, bad_invite, not_active, read_open_invite, require_approved

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.store import Document, Snapshot, Store, Write
    from keyturn.records.admin import Admin, AdminDevice
    from keyturn.records.admin_directory import AdminDirectory
    from keyturn.records.invite import Invite


@dataclass(frozen=True, slots=True)
class InviteContext:
    """A living invite, the device that holds it, and whom it is for."""

    invite_id: str
    npub: str
    invite: Invite
    snapshot: Snapshot
    quorum: int

    @property
    def now(self) -> datetime:
        """The store's read time."""
        return self.snapshot.read_time

    @property
    def admin(self) -> Admin | None:
        """The record of whom the invite is for, if there is one."""
        return read_admin(self.snapshot[admin_path(self.invite.user)])

    @property
    def register(self) -> AdminDirectory | None:
        """All admins."""
        return read_directory(self.snapshot[paths.ADMINS])

    @property
    def key(self) -> Document:
        """What says whose the device's Nostr key is."""
        return self.snapshot[paths.npub(self.npub)]

    @property
    def subject(self) -> str:
        """Return the identity provider's id that the ID token must be of."""
        known = self.admin
        return self.invite.subject if known is None or self.invite.purpose is InvitePurpose.JOIN else known.subject

    def registered(self, npub: str, kind: str, device_id: str) -> AdminDevice | None:
        """Return the registered device that this is, if it is one."""
        return self.admin.find_device(npub, kind, device_id) if self.admin else None

    def put(self, invite: Invite) -> Write:
        """Return the write of the invite, resting on what was read."""
        return put(self.snapshot[paths.invite(self.invite_id)], to_data(invite))

    def writes(self, admin: Admin) -> list[Write]:
        """Return the writes of the admin's record and of the register."""
        return admin_writes(self.snapshot, admin)

    def require_open(self) -> None:
        """Refuse a registration that the invite, or the standing of whom it is for, does not allow (any more)."""
        require_approved(self.invite, self.register, self.quorum)
        self._require_standing()
        if self.invite.registration is not None and self.invite.registration.confirmed_at is not None:
            raise already_registered()
        if self.key.data is not None and self.key.data["user"] != self.invite.user:
            raise Conflict("npub_taken", "This device's key is another admin's.")
        owner = self.register.owner(self.subject) if self.register else None
        if owner not in {None, self.invite.user}:
            raise Conflict("subject_taken", "That identity is another admin's.")

    def require_registered(self) -> None:
        """Refuse a device that is not registered for whom the invite is for, or not confirmed, or not active now."""
        require_approved(self.invite, self.register, self.quorum)
        kept, known = self.invite.registration, self.admin
        if known is not None and known.status is not AdminStatus.ACTIVE:
            raise not_active()
        other = kept is not None and (kept.device.npub != self.npub or kept.confirmed_at is None)
        if other or known is None or not known.may_act_with(self.npub) or self.invite.purpose is InvitePurpose.TOTP:
            raise not_registered()

    def _require_standing(self) -> None:
        known = self.admin
        if self.invite.purpose is not InvitePurpose.JOIN:
            if known is None or known.status is not AdminStatus.ACTIVE:
                raise not_active()
        elif known is not None and known.status is AdminStatus.SUSPENDED:
            raise not_active()
        elif self.invite.removal != removal_version(self.snapshot[admin_path(self.invite.user)]):
            raise bad_invite()  # of before they were removed: nobody meant it to bring them back
        elif known is not None and known.status is AdminStatus.ACTIVE and known.devices:
            raise already_registered()


@dataclass(frozen=True, slots=True)
class ReadInviteContext:
    """Opens the desk for an invite; `quorum` is how many approve, where there are so many."""

    auth: Store
    quorum: int
    denied: frozenset[str] = field(default=frozenset())
    """Users and npubs that the settings deny; the store's own denylists are looked at besides."""

    def __call__(self, code: str, npub: str) -> InviteContext:
        """Return what there is; `Forbidden` for a code that leads nowhere, `LostRace` if the invite moves."""
        path = paths.invite(invite_id(code))
        first = self.auth.get([path])
        user = read_open_invite(first[path], first.read_time).user
        snapshot = self.auth.get([path, paths.ADMINS, admin_path(user), paths.npub(npub), *BLOCK_PATHS])
        if snapshot[path].version != first[path].version:
            raise LostRace("an invite changed between two reads")
        require_running(snapshot)
        require_allowed(snapshot, self.denied, user, npub)
        return InviteContext(
            invite_id(code), npub, read_open_invite(snapshot[path], snapshot.read_time), snapshot, self.quorum
        )


def not_registered() -> Conflict:
    """Return the refusal of a device that is none of whom the invite is for."""
    return Conflict("not_registered", "This device was not registered by this invite.")


def already_registered() -> Conflict:
    """Return the refusal of whoever has a device registered: a further one takes an invite for a device."""
    return Conflict("already_registered", "This admin is registered: a further device takes an invite of that purpose.")
