"""Enrol: an invite's code and a signed key package in, a Welcome out (protocol.md §7).

Two databases, so two commits, and each step may be repeated by the same device: the invite is taken for exactly this
key package first; then leaf, roster entry, the commit for the others, the Welcome and the audit are one commit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from shared.domain.audit import Transition
from shared.domain.encodings import base64url_decode
from shared.domain.errors import Conflict, Forbidden, InvalidRequest
from shared.ports.groups import GroupError, KeyPackage
from shared.ports.store import Create, put
from shared.proofs.nostr import open_event
from shared.records import paths
from shared.records.entities import from_data, to_data
from shared.use_cases.accept_event import require_fresh
from shared.use_cases.attempts import until_won
from shared.use_cases.audit_writes import HEAD, system_writes
from shared.use_cases.group_log import KEY_PACKAGE, WELCOME, GroupLog
from shared.use_cases.operate import code_hash
from shared.use_cases.rosters import Roster, RosterMember

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from shared.ports.environment import Environment
    from shared.ports.groups import Groups
    from shared.ports.store import Data, Databases, Document
    from shared.proofs.nostr import Event


@dataclass(frozen=True, slots=True)
class Enrol:
    """The use case behind `enrol`."""

    databases: Databases
    groups: Groups
    environment: Environment
    banner: str = ""

    def __call__(self, code: str, event: Mapping[str, object]) -> Data:
        """Add a device to the group that its invite names; the same code and key package get the same answer."""
        signed = open_event(event)
        if signed.kind != KEY_PACKAGE:
            raise InvalidRequest("unknown_kind", "A device joins by a key-package event.")
        return until_won(lambda: self._attempt(code, signed), self.environment)

    def _attempt(self, code: str, event: Event) -> Data:
        path = paths.invite(code_hash(code))
        snapshot = self.databases.auth.get([path])
        require_fresh(event, snapshot.read_time)
        offered = self._key_package(event, snapshot.read_time)
        invite = self._taken(snapshot[path], offered, snapshot.read_time)
        welcome = self._welcome(cast("str", invite["user"]), cast("str", invite["group_id"]), offered, event)
        return {"user": invite["user"], "group": invite["group_id"], "event": welcome}

    def _key_package(self, event: Event, now: datetime) -> KeyPackage:
        try:
            offered = self.groups.read_key_package(base64url_decode(event.content), now)
        except GroupError:
            raise InvalidRequest("bad_key_package", "The key package is not valid.") from None
        if offered.npub != event.pubkey:
            raise Forbidden("wrong_identity", "The key package is for another key than the one that signed it.")
        return offered

    def _taken(self, document: Document, offered: KeyPackage, now: datetime) -> Data:
        invite = document.data
        if invite is None or cast("datetime", invite["expires_at"]) <= now:
            raise Forbidden("bad_invite", "The code is unknown, or its time is over.")
        if invite["used_by"] not in {None, offered.reference}:
            raise Conflict("invite_used", "The code was used already.")
        if invite["used_by"] is None:
            self.databases.auth.commit([put(document, {**invite, "used_by": offered.reference})])
        return invite

    def _welcome(self, user: str, group_id: str, offered: KeyPackage, event: Event) -> str:
        group, roster, used = paths.group(group_id), paths.roster(group_id), paths.key_package(offered.reference)
        answer = paths.welcome(offered.reference)
        snapshot = self.databases.control.get([HEAD, group, roster, used, answer])
        known = snapshot[answer].data
        if known is not None:
            return cast("str", known["event"])
        members = from_data(Roster, cast("Data", snapshot[roster].data))
        if members.member(offered.npub):
            raise Conflict("already_member", "This device is in the group already.")
        now = snapshot.read_time
        log = GroupLog.opened(self.groups, snapshot[group], now)
        commit, message = _added(log, offered)
        log.say("commit", commit)
        tags = [["after", f"{log.next_index - 1:012d}"]]
        welcome = self.groups.envelope(WELCOME, group_id, message, now, tags)
        leaf = next(leaf.index for leaf in log.session.members if leaf.npub == offered.npub)
        joined = RosterMember(user, offered.npub, leaf, event.id, now)
        self.databases.control.commit(
            [
                *log.writes(),
                put(snapshot[roster], to_data(replace(members, members=(*members.members, joined)))),
                Create(used, {"group_id": group_id, "npub": offered.npub, "event": event.to_json(), "at": now}),
                Create(answer, {"npub": offered.npub, "group_id": group_id, "event": welcome, "at": now}),
                *system_writes(snapshot, [_join(user, group_id, joined, log)], now, self.banner),
            ]
        )
        return welcome


def _added(log: GroupLog, offered: KeyPackage) -> tuple[bytes, bytes]:
    try:
        return log.session.add(offered.data)
    except GroupError:
        raise InvalidRequest("bad_key_package", "The key package does not fit the group.") from None


def _join(user: str, group_id: str, member: RosterMember, log: GroupLog) -> Transition:
    ids = {"group_id": group_id, "user": user, "npub": member.npub, "event_id": member.key_package_event}
    return Transition("join", user, ids, after={"epoch": log.session.epoch, "leaf": member.leaf})
