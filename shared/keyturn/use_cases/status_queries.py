"""Read what an admin's app shows: rotations, clients, a group's log, a Welcome; for members and invitees only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from keyturn.domain import lifecycle
from keyturn.domain.encodings import base64url_decode, identifier, rotation_identifier
from keyturn.domain.errors import Conflict, Forbidden, InvalidRequest, NotFound
from keyturn.domain.model import Rotation
from keyturn.ports.store import LostRace, Query, put
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.records.roster import Roster
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.domain.model import ClientState
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Store
    from keyturn.use_cases.client_repository import ClientReading, Clients

PAGE = 100
_UNKNOWN_CLIENT = ("unknown_client", "There is no such client.")
_UNKNOWN_ROTATION = ("unknown_rotation", "There is no such rotation.")
SEEN_EVERY = timedelta(hours=1)
"""How exactly it is known when a device was last seen."""


@dataclass(frozen=True, slots=True)
class ClientView:
    """A client as of now: settled, with the reading that it rests on."""

    state: ClientState
    reading: ClientReading

    @property
    def stopped(self) -> bool:
        """Whether the operator has stopped everything (denials.py)."""
        return self.reading.snapshot[paths.STOPPED].exists


@dataclass(frozen=True, slots=True)
class ReadStatus:
    """The use cases behind `status`; `npub` is who asks, None for the operator."""

    clients: Clients
    usage: Store
    environment: Environment
    page: int = PAGE
    """How many messages are told at once."""

    def client(self, npub: str | None, client_id: str) -> ClientView:
        """Return a client; `NotFound` also for those who may not see it."""
        return self._view(npub, identifier(client_id))

    def _view(
        self, npub: str | None, client_id: str, *also: str, otherwise: tuple[str, str] = _UNKNOWN_CLIENT
    ) -> ClientView:
        # The operator sees every client; whom else it concerns, its groups' rosters say.
        read = self.clients.read_alone if npub is None else self.clients.read
        reading = until_won(lambda: read(client_id, (*also, paths.STOPPED)), self.environment)
        if npub is not None and reading.user(npub) is None:
            raise NotFound(*otherwise)  # in the very words for what is not there
        return ClientView(lifecycle.settle(reading.state, reading.policy, reading.now).state, reading)

    def rotation(self, npub: str, rotation_id: str) -> Rotation:
        """Return a rotation, settled; `NotFound` also for those who may not see it."""
        path = paths.rotation(rotation_identifier(rotation_id))
        data = self.clients.store.get([path])[path].data
        if data is None:
            raise NotFound(*_UNKNOWN_ROTATION)
        view = self._view(npub, cast("str", data["client_id"]), path, otherwise=_UNKNOWN_ROTATION)
        latest = from_data(Rotation, cast("Data", view.reading.snapshot[path].data))
        return view.state.rotations.get(rotation_id, latest)

    def messages(self, npub: str, group_id: str, after: str) -> list[Data]:
        """Return at most a page of the messages of a group's log that follow the message id `after`."""
        self._roster(npub, group_id)
        self._saw(npub, group_id)
        query = Query(paths.messages(group_id), order_by="index", at_least=_index(after) + 1, limit=self.page)
        return [item.data for item in self.clients.store.query(query) if item.data is not None]

    def group(self, npub: str, group_id: str) -> tuple[Roster, int, Mapping[str, datetime]]:
        """Return a group's roster and epoch, and when each device was last seen."""
        self._roster(npub, group_id)
        return self.group_seen(group_id)

    def group_seen(self, group_id: str) -> tuple[Roster, int, Mapping[str, datetime]]:
        """Return the same for the operator; `NotFound` without such a group."""
        wanted = [paths.group(identifier(group_id)), paths.roster(group_id)]
        snapshot = self.clients.store.get(wanted)
        group, data = (snapshot[path].data for path in wanted)
        if group is None or data is None:
            raise NotFound("unknown_group", "There is no such group.")
        roster = from_data(Roster, data)
        by_path = {
            paths.device_activity(group_id, member.npub): member.npub for member in (*roster.members, *roster.absent)
        }
        seen = self.usage.get(by_path).documents.values() if by_path else ()
        last = {by_path[item.path]: cast("datetime", item.data["seen_at"]) for item in seen if item.data}
        return roster, cast("int", group["epoch"]), last

    def _roster(self, npub: str, group_id: str) -> Roster:
        path = paths.roster(identifier(group_id))
        data = self.clients.store.get([path])[path].data
        roster = from_data(Roster, data) if data else None
        if roster is None or not roster.find(npub):
            raise Forbidden("not_in_group", "Only members read a group's log.")
        if not roster.member(npub):
            raise Conflict("absent", "This device has no leaf any more: it comes back with a fresh key package.")
        return roster

    def _saw(self, npub: str, group_id: str) -> None:
        path = paths.device_activity(group_id, npub)
        snapshot = self.usage.get([path])
        known = snapshot[path].data
        if known is not None and cast("datetime", known["seen_at"]) + SEEN_EVERY > snapshot.read_time:
            return
        try:
            self.usage.commit([put(snapshot[path], {"seen_at": snapshot.read_time})])
        except LostRace:
            return  # the same device, at the same time

    def welcome(self, npub: str, reference: str) -> str:
        """Return the kind-444 event for a key package; `NotFound` for anybody but the npub that it is for."""
        base64url_decode(reference)
        path = paths.welcome(reference or "-")
        data = self.clients.store.get([path])[path].data
        if data is None or data["npub"] != npub:
            raise NotFound("unknown_welcome", "There is no such Welcome for this key.")
        return cast("str", data["event"])


def _index(after: str) -> int:
    if not after.isascii() or not after.isdigit() or len(after) > 12:  # noqa: PLR2004 - the width of a message id
        raise InvalidRequest("bad_message_id", "A message id is a number of at most 12 digits.")
    return int(after)
