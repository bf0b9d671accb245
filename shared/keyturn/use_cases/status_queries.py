"""Queries for an admin's app: rotations, clients, a group's log, a Welcome; for members and invitees only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.domain import lifecycle
from keyturn.domain.encodings import base64url_decode, identifier, rotation_identifier
from keyturn.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from keyturn.domain.model import Rotation
from keyturn.ports.store import Query, update
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.records.roster import Roster
from keyturn.use_cases.client_repository import CLIENT_ONLY, READ_ALL
from keyturn.use_cases.optimistic import until_won, write_if_unchanged

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.domain.model import ClientState
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Store
    from keyturn.use_cases.client_repository import ClientReading, Clients

PAGE = 100
_UNKNOWN_CLIENT = ("unknown_client", "There is no such client.")
_UNKNOWN_ROTATION = ("unknown_rotation", "There is no such rotation.")
ACTIVITY_RESOLUTION = timedelta(hours=1)
"""How precisely the time of a device's last request is stored: not every request writes."""


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client as of now: its settled state, and the reading that it rests on."""

    state: ClientState
    reading: ClientReading

    @property
    def stopped(self) -> bool:
        """Whether the operator's stop is in force (records/denylist.py)."""
        return self.reading.snapshot[paths.STOPPED].exists


@dataclass(frozen=True, slots=True)
class ReadStatus:
    """The use cases behind `status`; `npub` is the caller's key, None for the operator."""

    clients: Clients
    usage: Store
    environment: Environment
    page: int = PAGE
    """How many messages a page has at most."""

    def client(self, npub: str | None, client_id: str) -> ClientView:
        """Return a client. Raises `NotFound` also if the caller is not allowed to see it."""
        return self._view(npub, identifier(client_id))

    def _view(
        self, npub: str | None, client_id: str, *also: str, not_found: tuple[str, str] = _UNKNOWN_CLIENT
    ) -> ClientView:
        # The operator sees every client, an admin those of their groups: only that needs the rosters.
        plan = replace(CLIENT_ONLY if npub is None else READ_ALL, also=(*also, paths.STOPPED))
        reading = until_won(lambda: self.clients.read(client_id, plan), self.environment)
        # The same words as for a client that does not exist: whether it exists is not disclosed.
        if npub is not None and reading.user(npub) is None:
            raise NotFound(*not_found)
        return ClientView(lifecycle.settle(reading.state, reading.policy, reading.now).state, reading)

    def rotation(self, npub: str, rotation_id: str) -> Rotation:
        """Return a rotation, settled. Raises `NotFound` also if the caller is not allowed to see it."""
        path = paths.rotation(rotation_identifier(rotation_id))
        # The first read only finds the client. The rotation itself is read again, together with its client.
        document = self.clients.store.get([path])[path]
        if not document.exists:
            raise NotFound(*_UNKNOWN_ROTATION)
        view = self._view(npub, document.text("client_id"), path, not_found=_UNKNOWN_ROTATION)
        latest = from_data(Rotation, view.reading.snapshot[path].fields)
        return view.state.rotations.get(rotation_id, latest)

    def messages(self, npub: str, group_id: str, after: str) -> list[Data]:
        """Return the page of a group's log that follows the message id `after`; fewer than a page at its end."""
        self._require_member(npub, group_id)
        self._note_activity(npub, group_id)
        query = Query(paths.messages(group_id), order_by="index", at_least=_index(after) + 1, limit=self.page)
        return [item.data for item in self.clients.store.query(query) if item.data is not None]

    def group(self, npub: str, group_id: str) -> tuple[Roster, int, Mapping[str, datetime]]:
        """Return a group's roster and epoch, and when each device was last active, for a member."""
        self._require_member(npub, group_id)
        return self.group_activity(group_id)

    def group_activity(self, group_id: str) -> tuple[Roster, int, Mapping[str, datetime]]:
        """Return the same for the operator. Raises `NotFound` without such a group."""
        group_path, roster_path = paths.group(identifier(group_id)), paths.roster(group_id)
        snapshot = self.clients.store.get([group_path, roster_path])
        if not snapshot[group_path].exists or not snapshot[roster_path].exists:
            raise NotFound("unknown_group", "There is no such group.")
        roster = from_data(Roster, snapshot[roster_path].fields)
        by_path = {
            paths.device_activity(group_id, member.npub): member.npub for member in (*roster.members, *roster.absent)
        }
        documents = self.usage.get(by_path).documents.values() if by_path else ()
        times = {by_path[item.path]: (item.data or {}).get("seen_at") for item in documents}
        last_active = {npub: at for npub, at in times.items() if isinstance(at, datetime)}
        return roster, snapshot[group_path].integer("epoch"), last_active

    def _require_member(self, npub: str, group_id: str) -> None:
        path = paths.roster(identifier(group_id))
        data = self.clients.store.get([path])[path].data
        roster = from_data(Roster, data) if data else None
        if roster is None or not roster.find(npub):
            raise Forbidden("not_in_group", "Only members read a group's log.")
        if not roster.member(npub):
            raise Conflict("absent", "This device is no longer in the group. It can join again with a new key package.")

    def _note_activity(self, npub: str, group_id: str) -> None:
        path = paths.device_activity(group_id, npub)
        snapshot = self.usage.get([path])
        document, now = snapshot[path], snapshot.read_time
        seen_at = (document.data or {}).get("seen_at")
        if isinstance(seen_at, datetime) and seen_at + ACTIVITY_RESOLUTION > now:
            return
        # If another request of the same device wrote it just now, that one's time will do.
        write_if_unchanged(self.usage, update(document, {"seen_at": now}), self.environment)

    def welcome(self, npub: str, reference: str) -> str:
        """Return the kind-444 event for a key package. Raises `NotFound` for every key but the one that it is for."""
        base64url_decode(reference)
        path = paths.welcome(reference or "-")
        document = self.clients.store.get([path])[path]
        if not document.exists or document.text("npub") != npub:
            raise NotFound("unknown_welcome", "There is no such Welcome for this key.")
        return document.text("event")


def _index(after: str) -> int:
    if not after.isascii() or not after.isdigit() or len(after) > 12:  # noqa: PLR2004 - the width of a message id
        raise InvalidRequest("bad_message_id", "A message id is a number of at most 12 digits.")
    return int(after)
