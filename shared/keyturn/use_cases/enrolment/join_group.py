"""Enrol: an invite's code and a signed key package in, a Welcome out (protocol.md §7).

Where admins are attested, the key is one that was registered for the very person (enrol_registration.py), who is
active now; who is suspended or removed gets no leaf, however close the race: the commit rests on what bars them.

Two databases, so two commits, and each step may be repeated by the same device. First all is prepared, so that nothing
is stored for what is refused; then the invite is taken for exactly this key package; then leaf, roster entry, the
commit for the others, the Welcome and the audit are one commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from keyturn.domain.encodings import base64url_decode, identifier, invite_id
from keyturn.domain.errors import Conflict, Forbidden, InvalidRequest
from keyturn.ports.groups import GroupError
from keyturn.ports.store import Check, LostRace, put
from keyturn.proofs.nostr import open_event
from keyturn.records import paths
from keyturn.records.admin import UNKNOWN_USER, admin_path
from keyturn.records.admin_directory import read_admin
from keyturn.records.denylist import BLOCK_PATHS, require_allowed, require_running
from keyturn.records.invite import bad_invite, not_active
from keyturn.records.roster import read_rosters
from keyturn.use_cases.commands.parse import agree
from keyturn.use_cases.groups.membership import Membership, open_membership
from keyturn.use_cases.groups.message_log import KEY_PACKAGES
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.signed_events import require_fresh

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from keyturn.ports.effects import Environment
    from keyturn.ports.groups import Groups, OfferedKeyPackage
    from keyturn.ports.store import Data, Databases, Document, Write
    from keyturn.proofs.nostr import Event
    from keyturn.use_cases.enrolment.invite_context import ReadInviteContext


@dataclass(frozen=True, slots=True)
class JoinGroup:
    """The use case behind `enrol`."""

    databases: Databases
    groups: Groups
    environment: Environment
    banner: str = ""
    read_context: ReadInviteContext | None = None
    """None where nobody is asked to prove anything."""
    denied: frozenset[str] = field(default=frozenset())
    """Users and npubs that the settings deny."""

    def __call__(self, code: str, event: Mapping[str, object]) -> Data:
        """Add a device to the group that its invite names; the same code and key package get the same answer."""
        return until_won(lambda: self._join(code, _key_package_event(event)), self.environment)

    def rejoin(self, group_id: str, event: Mapping[str, object]) -> Data:
        """Give a known device a new leaf for a fresh key package: it lost its way, or was silent for too long."""
        return until_won(lambda: self._rejoin(identifier(group_id), _key_package_event(event)), self.environment)

    def _join(self, code: str, event: Event) -> Data:
        path = paths.invite(invite_id(code))
        snapshot = self.databases.auth.get([path])
        offered = self._offered(event, snapshot.read_time)
        invite = _invite(snapshot[path], offered, event, snapshot.read_time)
        group_id, user = cast("str", invite["group_id"]), cast("str", invite["user"])
        membership, answered = self._open(group_id, user, offered)
        registered = self._registered(code, snapshot[path], offered.npub)
        if answered and not self._took(path, offered):  # RFC 9420 §10: a key package is used once
            raise Conflict("key_package_used", "The key package was used already.")
        held = membership.roster.member(offered.npub)
        # Who was a member before anybody was asked for proofs registers, and has the leaf renewed.
        if not answered and held is not None and not (registered and held.user == user):
            raise Conflict("already_member", "This device is in the group already.")
        taken = put(snapshot[path], {**invite, "used_by": offered.reference})
        new = not answered and invite["used_by"] is None
        return self._answer(membership, answered, user, offered, event, (taken, *registered) if new else ())

    def _registered(self, code: str, read: Document, npub: str) -> Sequence[Write]:
        """Return what the invite's commit rests on besides; refused unless the device was registered and approved."""
        if self.read_context is None:
            return ()
        desk = self.read_context(code, npub)
        if desk.snapshot[read.path].version != read.version:
            raise LostRace("an invite changed between two reads")
        desk.require_registered()
        admin = desk.snapshot[admin_path(desk.invite.user)]
        return (Check(admin.path, admin.version),)

    def _took(self, path: str, offered: OfferedKeyPackage) -> bool:
        # Looked at after the Welcome was: the same call beside this one takes the invite first.
        invite = self.databases.auth.get([path])[path].data
        return invite is not None and invite["used_by"] == offered.reference

    def _rejoin(self, group_id: str, event: Event) -> Data:
        snapshot = self.databases.control.get([paths.roster(group_id)])
        offered = self._offered(event, snapshot.read_time)
        before = read_rosters(snapshot, [group_id]).get(group_id)
        known = before.find(offered.npub) if before else None
        membership, answered = self._open(group_id, known.user if known else "", offered)
        if known is None or membership.roster.find(offered.npub) is None:
            raise Forbidden("not_in_group", "This device is not known to the group: it needs an invite.")
        self._require_active(known.user, offered.npub)
        return self._answer(membership, answered, known.user, offered, event)

    def _require_active(self, user: str, npub: str) -> None:
        if self.read_context is None:
            return
        admin = read_admin(self.databases.auth.get([admin_path(user)])[admin_path(user)])
        if admin is None or not admin.may_act_with(npub):
            raise not_active()

    def _offered(self, event: Event, now: datetime) -> OfferedKeyPackage:
        require_fresh(event, now)
        try:
            offered = self.groups.read_key_package(base64url_decode(event.content), now)
        except GroupError:
            raise InvalidRequest("bad_key_package", "The key package is not valid.") from None
        if offered.npub != event.pubkey:
            raise Forbidden("wrong_identity", "The key package is for another key than the one that signed it.")
        return offered

    def _open(self, group_id: str, user: str, offered: OfferedKeyPackage) -> tuple[Membership, str]:
        path, standing = paths.welcome(offered.reference), paths.suspension(user or UNKNOWN_USER)
        also = [path, standing, *BLOCK_PATHS]
        membership = open_membership(self.databases.control, self.groups, group_id, also=also)
        require_running(membership.snapshot)
        require_allowed(membership.snapshot, self.denied, user, offered.npub)
        if membership.snapshot[standing].exists:
            raise not_active()
        membership.extra_writes.append(Check(standing, None))
        answered = membership.snapshot[path].data
        return membership, cast("str", answered["event"]) if answered else ""

    def _answer(
        self,
        membership: Membership,
        answered: str,
        user: str,
        offered: OfferedKeyPackage,
        event: Event,
        invite: Sequence[Write] = (),
    ) -> Data:
        welcome = answered or membership.add_device(user, offered, event)
        if invite:  # not before the Welcome is made: a key package that is refused takes no invite
            self.databases.auth.commit(invite)
        if not answered:
            membership.commit(self.databases.control, self.banner)
        return {"user": user, "group": membership.log.group_id, "event": welcome}


def _invite(document: Document, offered: OfferedKeyPackage, event: Event, now: datetime) -> Data:
    invite = document.data
    if invite is None or cast("datetime", invite["expires_at"]) <= now:
        raise bad_invite()
    if event.tag_count("h"):  # optional; but then it is signed: the device means that group and no other
        agree(event, {"h": cast("str", invite["group_id"])})
    if invite["used_by"] not in {None, offered.reference}:
        raise Conflict("invite_used", "The code was used already.")
    return invite


def _key_package_event(event: Mapping[str, object]) -> Event:
    signed = open_event(event)
    if signed.kind not in KEY_PACKAGES:
        raise InvalidRequest("unknown_kind", "A device joins by a key-package event.")
    return signed
