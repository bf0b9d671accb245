"""Join a group: a device presents an invite's code and a signed key package, and gets a Welcome.

Rules (docs/protocol.md §7 and §12):

1. Where commands need proofs, the key package's key must be a registered device of the invited user, and the user
   must be active.
2. A suspended or removed admin gets no leaf, however close the race: the commit depends on the document that bars them.
3. There are two databases, so there are two commits. First everything is prepared, so that a refused request stores
   nothing. Then the invite is marked as used by exactly this key package (`auth`). Then one commit in `control` writes
   the leaf, the roster, the commit message for the other members, the Welcome and the audit entry.
4. Each step can be repeated by the same device: the same code and key package get the same answer.
5. A key package is used once (RFC 9420 §10).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_decode, identifier, invite_id
from keyturn.domain.errors import Conflict, Forbidden, InvalidRequest
from keyturn.ports.groups import GroupError
from keyturn.ports.store import Check, LostRace, update
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
    from keyturn.use_cases.groups.turns import Turns


@dataclass(frozen=True, slots=True)
class JoinGroup:
    """The use case behind `enrol`."""

    databases: Databases
    groups: Groups
    environment: Environment
    turns: Turns
    banner: str = ""
    read_context: ReadInviteContext | None = None
    """None where commands need no proofs."""
    denied: frozenset[str] = field(default=frozenset())
    """Users and npubs on the denylist of the settings."""

    def __call__(self, code: str, signed_event: Mapping[str, object]) -> Data:
        """Add a device to the group that its invite names. The same code and key package get the same answer."""
        event = _key_package_event(signed_event)
        return until_won(lambda: self._join(code, event), self.environment)

    def rejoin(self, group_id: str, signed_event: Mapping[str, object]) -> Data:
        """Give a device in the roster a new leaf for a fresh key package, for example after a long silence."""
        event = _key_package_event(signed_event)
        return until_won(lambda: self._rejoin(identifier(group_id), event), self.environment)

    def _join(self, code: str, event: Event) -> Data:
        path = paths.invite(invite_id(code))
        snapshot = self.databases.auth.get([path])
        document = snapshot[path]
        key_package = self._read_key_package(event, snapshot.read_time)
        _require_unused(document, key_package, event, snapshot.read_time)
        group_id, user = document.text("group_id"), document.text("user")
        with self.turns.take(group_id):
            membership, stored_welcome = self._open(group_id, user, key_package)
            registration_checks = self._require_registered(code, document, key_package.npub)
            if stored_welcome and not self._is_used_by(
                path, key_package
            ):  # another invite used this key package: rule 5
                raise Conflict("key_package_used", "This key package has been used already.")
            member = membership.roster.member(key_package.npub)
            # A device that joined before its deployment required proofs registers now, and gets a new leaf.
            is_upgrade = bool(registration_checks) and member is not None and member.user == user
            if not stored_welcome and member is not None and not is_upgrade:
                raise Conflict("already_member", "This device is a member of the group already.")
            is_first_use = not stored_welcome and document.fields["used_by"] is None
            marked = update(document, {"used_by": key_package.reference})
            invite_writes = (marked, *registration_checks) if is_first_use else ()
            return self._answer(membership, stored_welcome, user, key_package, event, invite_writes)

    def _require_registered(self, code: str, document: Document, npub: str) -> Sequence[Write]:
        """Refuse a device that is not registered and approved. Return the checks for the invite's commit."""
        if self.read_context is None:
            return ()
        context = self.read_context(code, npub)
        if context.snapshot[document.path].version != document.version:
            raise LostRace("an invite changed between two reads")
        context.require_registered()
        admin = context.snapshot[admin_path(context.invite.user)]
        return (Check(admin.path, admin.version),)

    def _is_used_by(self, path: str, key_package: OfferedKeyPackage) -> bool:
        # Read after the Welcome was: a concurrent call of the same device marks the invite before it stores a Welcome.
        invite = self.databases.auth.get([path])[path].data
        return invite is not None and invite["used_by"] == key_package.reference

    def _rejoin(self, group_id: str, event: Event) -> Data:
        snapshot = self.databases.control.get([paths.roster(group_id)])
        key_package = self._read_key_package(event, snapshot.read_time)
        roster = read_rosters(snapshot, [group_id]).get(group_id)
        member = roster.find(key_package.npub) if roster else None
        if member is None:  # a stranger neither opens the group nor takes a turn
            raise _not_in_group()
        # All devices come back at the same time, for example after their group was created anew.
        with self.turns.take(group_id):
            membership, stored_welcome = self._open(group_id, member.user, key_package)
            # The second look is at the snapshot that the commit depends on.
            if membership.roster.find(key_package.npub) is None:
                raise _not_in_group()
            self._require_active(member.user, key_package.npub)
            return self._answer(membership, stored_welcome, member.user, key_package, event)

    def _require_active(self, user: str, npub: str) -> None:
        if self.read_context is None:
            return
        admin = read_admin(self.databases.auth.get([admin_path(user)])[admin_path(user)])
        if admin is None or not admin.may_act_with(npub):
            raise not_active()

    def _read_key_package(self, event: Event, now: datetime) -> OfferedKeyPackage:
        require_fresh(event, now)
        try:
            key_package = self.groups.read_key_package(base64url_decode(event.content), now)
        except GroupError:
            raise InvalidRequest("bad_key_package", "The key package is not valid.") from None
        # The leaf's identity is the Nostr key. Only that key may offer the key package.
        if key_package.npub != event.pubkey:
            raise Forbidden("wrong_identity", "The key package is for another key than the one that signed it.")
        return key_package

    def _open(self, group_id: str, user: str, key_package: OfferedKeyPackage) -> tuple[Membership, str]:
        """Return the open group, and the Welcome that is stored for this key package, if any."""
        path, suspension = paths.welcome(key_package.reference), paths.suspension(user or UNKNOWN_USER)
        also = [path, suspension, *BLOCK_PATHS]
        membership = open_membership(self.databases.control, self.groups, group_id, also=also)
        snapshot = membership.snapshot
        require_running(snapshot)
        require_allowed(snapshot, self.denied, user, key_package.npub)
        if snapshot[suspension].exists:
            raise not_active()
        membership.extra_writes.append(Check(suspension, None))  # rule 2
        return membership, snapshot[path].text("event") if snapshot[path].exists else ""

    def _answer(
        self,
        membership: Membership,
        stored_welcome: str,
        user: str,
        key_package: OfferedKeyPackage,
        event: Event,
        invite_writes: Sequence[Write] = (),
    ) -> Data:
        welcome = stored_welcome or membership.add_device(user, key_package, event)
        if invite_writes:  # only now: a key package that the group refuses must not use up the invite
            self.databases.auth.commit(invite_writes)
        if not stored_welcome:
            membership.commit(self.databases.control, self.banner)
        return {"user": user, "group": membership.log.group_id, "event": welcome}


def _not_in_group() -> Forbidden:
    return Forbidden("not_in_group", "This device is not in the group's roster. It needs an invite.")


def _require_unused(document: Document, key_package: OfferedKeyPackage, event: Event, now: datetime) -> None:
    """Refuse an invite that is unknown, has expired, or was used by another key package."""
    if not document.exists or document.time("expires_at") <= now:
        raise bad_invite()
    if event.tag_count("h"):  # the tag is optional. If the device signed a group, it must be the invite's.
        agree(event, {"h": document.text("group_id")})
    if document.fields["used_by"] not in {None, key_package.reference}:
        raise Conflict("invite_used", "This code has been used already.")


def _key_package_event(signed_event: Mapping[str, object]) -> Event:
    event = open_event(signed_event)
    if event.kind not in KEY_PACKAGES:
        raise InvalidRequest("unknown_kind", "A device joins with a key-package event.")
    return event
