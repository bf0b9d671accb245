"""The context of an invite: everything in the database `auth` that its use depends on, read at one instant.

Rules (docs/protocol.md §7):

1. An invite works only once enough other admins have approved it.
2. An invite registers at most one device. A key or a subject of another admin is refused.
3. A removed admin returns only by an invite from after the removal. An older one was approved without knowing of it.
"""

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
    """An open invite, the key (`npub`) of the device that presents its code, and the invited user's documents."""

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
        """The invited user's admin record, or None."""
        return read_admin(self.snapshot[admin_path(self.invite.user)])

    @property
    def directory(self) -> AdminDirectory | None:
        """The directory of all admins, or None before the first one."""
        return read_directory(self.snapshot[paths.ADMINS])

    @property
    def key_document(self) -> Document:
        """The document that names the admin of the device's Nostr key."""
        return self.snapshot[paths.npub(self.npub)]

    @property
    def subject(self) -> str:
        """The identity provider's id that the ID token must have."""
        admin = self.admin
        return self.invite.subject if admin is None or self.invite.purpose is InvitePurpose.JOIN else admin.subject

    def find_device(self, kind: str, device_id: str) -> AdminDevice | None:
        """Return the admin's registered device with the presented key and these properties, or None."""
        return self.admin.find_device(self.npub, kind, device_id) if self.admin else None

    def invite_write(self, invite: Invite) -> Write:
        """Return the write of the invite, only over the version that was read."""
        return put(self.snapshot[paths.invite(self.invite_id)], to_data(invite))

    def admin_writes(self, admin: Admin) -> list[Write]:
        """Return the writes of the admin's record and of the directory."""
        return admin_writes(self.snapshot, admin)

    def require_open(self) -> None:
        """Refuse a registration that the invite or the user's status does not allow."""
        require_approved(self.invite, self.directory, self.quorum)
        self._require_status()
        if self.invite.registration is not None and self.invite.registration.confirmed_at is not None:
            raise already_registered()
        if self.key_document.exists and self.key_document.text("user") != self.invite.user:
            raise Conflict("npub_taken", "This device's key belongs to another admin.")
        owner = self.directory.owner(self.subject) if self.directory else None
        if owner not in {None, self.invite.user}:
            raise Conflict("subject_taken", "This subject belongs to another admin.")

    def require_registered(self) -> None:
        """Refuse an inactive user, and a device that is not registered and confirmed for the user."""
        require_approved(self.invite, self.directory, self.quorum)
        registration, admin = self.invite.registration, self.admin
        if admin is not None and admin.status is not AdminStatus.ACTIVE:
            raise not_active()
        if admin is None or not admin.may_act_with(self.npub) or self.invite.purpose is InvitePurpose.TOTP:
            raise not_registered()
        # An invite that registered a device lets that device join, and no other device of the same admin.
        if registration is not None and (registration.device.npub != self.npub or registration.confirmed_at is None):
            raise not_registered()

    def _require_status(self) -> None:
        admin = self.admin
        if self.invite.purpose is not InvitePurpose.JOIN:
            if admin is None or admin.status is not AdminStatus.ACTIVE:
                raise not_active()
        elif admin is not None and admin.status is AdminStatus.SUSPENDED:
            raise not_active()
        elif self.invite.removal != removal_version(self.snapshot[admin_path(self.invite.user)]):
            raise bad_invite()  # rule 3
        elif admin is not None and admin.status is AdminStatus.ACTIVE and admin.devices:
            raise already_registered()


@dataclass(frozen=True, slots=True)
class ReadInviteContext:
    """Reads the context of an invite. `quorum` is the number of approvals, if there are that many other admins."""

    auth: Store
    quorum: int
    denied: frozenset[str] = field(default=frozenset())
    """Users and npubs on the denylist of the settings. The stored denylists are checked as well."""

    def __call__(self, code: str, npub: str) -> InviteContext:
        """Return the context. Raise `Forbidden` if the code opens no invite, `LostRace` if the invite changes."""
        path = paths.invite(invite_id(code))
        first = self.auth.get([path])
        user = read_open_invite(first[path], first.read_time).user
        snapshot = self.auth.get([path, paths.ADMINS, admin_path(user), paths.npub(npub), *BLOCK_PATHS])
        # The first read only tells the user. Everything that is judged comes from the second read, at one instant.
        if snapshot[path].version != first[path].version:
            raise LostRace("an invite changed between two reads")
        require_running(snapshot)
        require_allowed(snapshot, self.denied, user, npub)
        invite = read_open_invite(snapshot[path], snapshot.read_time)
        return InviteContext(invite_id(code), npub, invite, snapshot, self.quorum)


def not_registered() -> Conflict:
    """Return the refusal of a device that is not registered for the invited user."""
    return Conflict("not_registered", "This device was not registered with this invite.")


def already_registered() -> Conflict:
    """Return the refusal of a second registration with the same invite."""
    return Conflict("already_registered", "This admin is registered. A further device needs an invite for a device.")
