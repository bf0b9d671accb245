"""Reading a group's log from a Nostr relay instead of the server: the same entries, as far as they are sure.

A relay keeps events in no order that counts, may lack some and may invent others. So:

1. Only what the service's key signed for the group is asked for, and looked at (`opened`).
2. The order comes from MLS: the messages of an epoch, then the commit that ends it; what does not open is left out.
3. A place in the log is believed only where a notice says it itself (`relay_msg_id`, inside MLS) and the count agrees:
   entries are given up to the last such notice. What follows a gap is left for the server, or for later.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.core.errors import DeviceError, UnreachableError
from keyturn.device.core.signed_events import GROUP_MESSAGE, KEY_PACKAGES
from keyturn.device.groups.membership import opened
from keyturn.domain.encodings import base64url_decode
from keyturn.domain.errors import Refusal
from keyturn.mls import ApplicationReceived, CommitReceived, MlsError, read_key_package
from keyturn.proofs.nostr import open_event
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.device.groups.membership import Seat
    from keyturn.mls import Group, Member

TIMEOUT_SECONDS = 10.0
_SHORT_HEAD = 4
_COMMIT = 3
"""RFC 9420 §6: ContentType."""

Entry = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Message:
    """One envelope's message: its epoch and whether it is a commit, as its clear head says (RFC 9420 §6)."""

    event: Mapping[str, object] = field(repr=False)
    data: bytes = field(repr=False)
    epoch: int
    is_commit: bool


# --- the order -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    """Reads on from a seat; nothing that it learns is kept but the order."""

    seat: Seat
    now: datetime
    offers: Callable[[str], Sequence[Mapping[str, object]]]
    group: Group
    sure: list[Entry] = field(default_factory=list)
    pending: list[Entry] = field(default_factory=list)

    @property
    def next_index(self) -> int:
        return self.seat.cursor + len(self.sure) + len(self.pending) + 1

    def read(self, messages: Iterable[_Message]) -> list[Entry]:
        by_epoch: dict[int, list[_Message]] = {}
        for message in messages:
            by_epoch.setdefault(message.epoch, []).append(message)
        while self.group.is_active and (here := by_epoch.pop(self.group.epoch, [])):
            notices = sorted(self._notices(here), key=lambda found: found[0])
            if not all(self._place(index, message) for index, message in notices) or not self._commit(here):
                break
        return self.sure

    def _notices(self, here: Sequence[_Message]) -> Iterator[tuple[int, _Message]]:
        for message in here:
            event = None if message.is_commit else self._received(message)
            if isinstance(event, ApplicationReceived) and event.sender.identity.hex() == self.seat.service:
                index = _own_index(event.plaintext)
                if index is not None:
                    yield index, message

    def _place(self, index: int, message: _Message) -> bool:
        """Take a notice whose own word for its place agrees with the count, and all that led to it."""
        if index != self.next_index:
            return False
        self.sure += [*self.pending, {"index": index, "kind": "notice", "event": dict(message.event)}]
        self.pending = []
        return True

    def _commit(self, here: Sequence[_Message]) -> bool:
        for message in here:
            event = self._received(message) if message.is_commit else None
            if isinstance(event, CommitReceived):
                entry: Entry = {"index": self.next_index, "kind": "commit", "event": dict(message.event)}
                joined = next((offer for member in event.added for offer in self._offers_of(member)), None)
                self.pending.append({**entry, "joined": dict(joined)} if joined else entry)
                return True
        return False

    def _received(self, message: _Message) -> object:
        renewal = self.seat.renewal
        if renewal and message.data == renewal.message:
            self.group = renewal.after
            member = next(item for item in self.group.members if item.leaf_index == self.group.own_leaf_index)
            return CommitReceived(member, member, (), (), (), self_removed=False, epoch=self.group.epoch)
        try:
            self.group, event = self.group.receive(message.data, now=self.now)
        except MlsError:
            return None
        return event

    def _offers_of(self, member: Member) -> Iterator[Mapping[str, object]]:
        for offer in self.offers(member.identity.hex()):
            try:
                view = read_key_package(base64url_decode(open_event(offer).content), now=None)
            except (Refusal, MlsError):
                continue
            if (view.signature_key, view.encryption_key) == (member.signature_key, member.encryption_key):
                yield offer


def ordered(
    seat: Seat,
    events: Iterable[Mapping[str, object]],
    offers: Callable[[str], Sequence[Mapping[str, object]]],
    now: datetime,
) -> list[Entry]:
    """Return the entries of the log after the seat's cursor, in order, as the server's pages have them.

    `offers` gives the key-package events that a key (64 hex digits) has signed.
    """
    distinct = {str(event.get("id")): event for event in events}
    messages = [message for event in distinct.values() if (message := _message(seat, event))]
    return _Reader(seat, now, offers, seat.group).read(messages)


def _message(seat: Seat, event: Mapping[str, object]) -> _Message | None:
    try:
        signed_by, _, data = opened(event, GROUP_MESSAGE, seat.group_id)
        epoch, is_commit = _head(data)
    except (DeviceError, ValueError, IndexError):
        return None
    return _Message(event, data, epoch, is_commit) if signed_by == seat.service else None


def _head(data: bytes) -> tuple[int, bool]:
    """Return epoch and whether it is a commit: RFC 9420 §6 and §6.3, group ids by §2.1.2's variable lengths."""
    wire_format, prefix = int.from_bytes(data[2:_SHORT_HEAD], "big"), data[_SHORT_HEAD]
    width = 1 << (prefix >> 6)
    size = int.from_bytes(data[_SHORT_HEAD : _SHORT_HEAD + width], "big") & ((1 << (8 * width - 2)) - 1)
    start = _SHORT_HEAD + width + size
    epoch = int.from_bytes(data[start : start + 8], "big")
    return epoch, wire_format == 1 or data[start + 8] == _COMMIT  # public messages of a log are commits


def _own_index(plaintext: bytes) -> int | None:
    try:
        said = load_object(plaintext).get("relay_msg_id")
    except Refusal:
        return None
    return int(said) if isinstance(said, str) and said.isascii() and said.isdigit() else None


# --- the relay -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RelayInbox:
    """One relay (ws:// or wss://); needs nostr-sdk. Its errors and the relay's words go no further than here."""

    url: str
    timeout_seconds: float = TIMEOUT_SECONDS

    def entries(self, seat: Seat, now: datetime, since: int = 0) -> list[Entry]:
        """Return what the relay has of a group's log after the seat's cursor; `since` is Unix seconds.

        `UnreachableError` if the relay can't be asked. `Mail.take_in` takes the entries as it takes a page.
        """
        wanted = {"kinds": [GROUP_MESSAGE], "#h": [seat.group_id], "authors": [seat.service], "since": since}
        return ordered(seat, self._fetch(wanted), self._offers, now)

    def _offers(self, npub: str) -> list[dict[str, object]]:
        return self._fetch({"kinds": sorted(KEY_PACKAGES), "authors": [npub]})

    def _fetch(self, wanted: Mapping[str, object]) -> list[dict[str, object]]:
        try:
            found = asyncio.run(asyncio.wait_for(self._ask(json.dumps(wanted)), 2 * self.timeout_seconds))
            return [load_object(event) for event in found]
        except Exception:  # noqa: BLE001 - the library's errors have no common family, and quote what they were given
            raise UnreachableError("The relay does not answer.", "Check --relay, or read from the server.") from None

    async def _ask(self, wanted: str) -> list[str]:
        from nostr_sdk import ClientBuilder, Filter, RelayUrl, ReqTarget  # noqa: PLC0415 - only who reads from a relay

        client, patience = ClientBuilder().build(), timedelta(seconds=self.timeout_seconds)
        relay, asked = RelayUrl.parse(self.url), Filter.from_json(wanted)
        try:
            await client.add_relay(relay)
            if relay not in (await client.try_connect(patience)).success:
                raise ConnectionError
            return [event.as_json() for event in await client.fetch_events(ReqTarget.auto([asked]), patience)]
        finally:
            await client.shutdown()
