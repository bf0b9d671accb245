"""Reading a group's log from a Nostr relay instead of the server: the same entries, as far as their order is certain.

A relay keeps events without a reliable order. It may lack some, and it may invent others. Therefore:

1. Only events that the service's key signed for the group are requested and processed (`open_group_event`).
2. MLS gives the order: the messages of an epoch, then the commit that ends it. Messages that can't be decrypted are
   skipped.
3. An index in the log is trusted only if a notice names it inside MLS (`relay_msg_id`) and the count of entries agrees.
   Entries are returned up to the last such notice. The rest is left to the server, or to a later reading.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.core.errors import DeviceError, UnreachableError
from keyturn.device.core.signed_events import GROUP_MESSAGE, KEY_PACKAGES
from keyturn.device.groups.membership import open_group_event
from keyturn.domain.encodings import base64url_decode
from keyturn.domain.errors import Refusal
from keyturn.mls import ApplicationReceived, CommitReceived, MlsError, read_key_package
from keyturn.proofs.nostr import open_event
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.device.groups.membership import DeviceMembership
    from keyturn.mls import Group, Member

TIMEOUT_SECONDS = 10.0
_WIRE_FORMAT_END = 4
_COMMIT = 3
"""RFC 9420 §6: ContentType."""

LogEntry = dict[str, object]
"""An entry of the log, as the server's pages contain it."""


@dataclass(frozen=True, slots=True)
class _Message:
    """The message of one envelope, with its epoch and whether it is a commit: both are in clear (RFC 9420 §6)."""

    event: Mapping[str, object] = field(repr=False)
    data: bytes = field(repr=False)
    epoch: int
    is_commit: bool


# --- the order -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reader:
    """Reads on from a membership. Only the order is kept: the group states are discarded."""

    membership: DeviceMembership
    now: datetime
    key_packages: Callable[[str], Sequence[Mapping[str, object]]]
    group: Group
    certain: list[LogEntry] = field(default_factory=list)
    pending: list[LogEntry] = field(default_factory=list)

    @property
    def next_index(self) -> int:
        return self.membership.cursor + len(self.certain) + len(self.pending) + 1

    def read(self, messages: Iterable[_Message]) -> list[LogEntry]:
        by_epoch: dict[int, list[_Message]] = {}
        for message in messages:
            by_epoch.setdefault(message.epoch, []).append(message)
        while self.group.is_active and (in_epoch := by_epoch.pop(self.group.epoch, [])):
            notices = sorted(self._notices(in_epoch), key=lambda pair: pair[0])
            if not all(self._place(index, message) for index, message in notices) or not self._commit(in_epoch):
                break
        return self.certain

    def _notices(self, in_epoch: Sequence[_Message]) -> Iterator[tuple[int, _Message]]:
        for message in in_epoch:
            event = None if message.is_commit else self._receive(message)
            if isinstance(event, ApplicationReceived) and event.sender.identity.hex() == self.membership.service:
                index = _own_index(event.plaintext)
                if index is not None:
                    yield index, message

    def _place(self, index: int, message: _Message) -> bool:
        """Accept a notice if its own index agrees with the count, together with all entries before it."""
        if index != self.next_index:
            return False
        self.certain += [*self.pending, {"index": index, "kind": "notice", "event": dict(message.event)}]
        self.pending = []
        return True

    def _commit(self, in_epoch: Sequence[_Message]) -> bool:
        for message in in_epoch:
            event = self._receive(message) if message.is_commit else None
            if isinstance(event, CommitReceived):
                entry: LogEntry = {"index": self.next_index, "kind": "commit", "event": dict(message.event)}
                joined = next((offer for member in event.added for offer in self._key_packages_of(member)), None)
                self.pending.append({**entry, "joined": dict(joined)} if joined else entry)
                return True
        return False

    def _receive(self, message: _Message) -> object:
        update = self.membership.pending_update
        if update and message.data == update.message:
            self.group = update.after
            member = next(item for item in self.group.members if item.leaf_index == self.group.own_leaf_index)
            return CommitReceived(member, member, (), (), (), self_removed=False, epoch=self.group.epoch)
        try:
            self.group, event = self.group.receive(message.data, now=self.now)
        except MlsError:
            return None
        return event

    def _key_packages_of(self, member: Member) -> Iterator[Mapping[str, object]]:
        for offer in self.key_packages(member.identity.hex()):
            try:
                view = read_key_package(base64url_decode(open_event(offer).content), now=None)
            except (Refusal, MlsError):
                continue
            if (view.signature_key, view.encryption_key) == (member.signature_key, member.encryption_key):
                yield offer


def order_entries(
    membership: DeviceMembership,
    events: Iterable[Mapping[str, object]],
    key_packages: Callable[[str], Sequence[Mapping[str, object]]],
    now: datetime,
) -> list[LogEntry]:
    """Return the entries of the log behind the membership's cursor, in order, as the server's pages contain them.

    `key_packages` returns the key-package events that a key (64 hex digits) has signed.
    """
    distinct = {str(event.get("id")): event for event in events}
    messages = [message for event in distinct.values() if (message := _message(membership, event))]
    return _Reader(membership, now, key_packages, membership.group).read(messages)


def _message(membership: DeviceMembership, event: Mapping[str, object]) -> _Message | None:
    try:
        signer, _, data = open_group_event(event, GROUP_MESSAGE, membership.group_id)
        epoch, is_commit = _clear_header(data)
    except (DeviceError, ValueError, IndexError):
        return None
    return _Message(event, data, epoch, is_commit) if signer == membership.service else None


def _clear_header(data: bytes) -> tuple[int, bool]:
    """Return the epoch, and whether the message is a commit.

    RFC 9420 §6 and §6.3: version and wire format, group id with a variable-length prefix (§2.1.2), epoch, content type.
    """
    wire_format, prefix = int.from_bytes(data[2:_WIRE_FORMAT_END], "big"), data[_WIRE_FORMAT_END]
    width = 1 << (prefix >> 6)
    size = int.from_bytes(data[_WIRE_FORMAT_END : _WIRE_FORMAT_END + width], "big") & ((1 << (8 * width - 2)) - 1)
    start = _WIRE_FORMAT_END + width + size
    epoch = int.from_bytes(data[start : start + 8], "big")
    # Public messages (wire format 1) of a log are always commits.
    return epoch, wire_format == 1 or data[start + 8] == _COMMIT


def _own_index(plaintext: bytes) -> int | None:
    try:
        message_id = load_object(plaintext).get("relay_msg_id")
    except Refusal:
        return None
    return int(message_id) if isinstance(message_id, str) and message_id.isascii() and message_id.isdigit() else None


# --- the relay -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RelayInbox:
    """One relay (ws:// or wss://). It needs nostr-sdk. No error or text of library or relay leaves it."""

    url: str
    timeout_seconds: float = TIMEOUT_SECONDS

    def entries(self, membership: DeviceMembership, now: datetime, since: int = 0) -> list[LogEntry]:
        """Return the entries of a group's log behind the membership's cursor; `since` is Unix seconds.

        `UnreachableError` if the relay does not answer. The entries are read as a page of the server is.
        """
        query = {
            "kinds": [GROUP_MESSAGE],
            "#h": [membership.group_id],
            "authors": [membership.service],
            "since": since,
        }
        return order_entries(membership, self._fetch(query), self._key_packages, now)

    def _key_packages(self, npub: str) -> list[dict[str, object]]:
        return self._fetch({"kinds": sorted(KEY_PACKAGES), "authors": [npub]})

    def _fetch(self, query: Mapping[str, object]) -> list[dict[str, object]]:
        try:
            events = asyncio.run(asyncio.wait_for(self._request(json.dumps(query)), 2 * self.timeout_seconds))
            return [load_object(event) for event in events]
        except Exception:  # noqa: BLE001 - the library's errors have no common base class, and quote their input
            raise UnreachableError("The relay does not answer.", "Check --relay, or read from the server.") from None

    async def _request(self, query: str) -> list[str]:
        from nostr_sdk import ClientBuilder, Filter, RelayUrl, ReqTarget  # noqa: PLC0415 - only reading a relay needs it

        client, timeout = ClientBuilder().build(), timedelta(seconds=self.timeout_seconds)
        relay, filters = RelayUrl.parse(self.url), Filter.from_json(query)
        try:
            await client.add_relay(relay)
            if relay not in (await client.try_connect(timeout)).success:
                raise ConnectionError
            return [event.as_json() for event in await client.fetch_events(ReqTarget.auto([filters]), timeout)]
        finally:
            await client.shutdown()
