"""Commands and acknowledgements on their way, inside MLS: only the group sees who sends what (protocol.md §8, 445).

    sign ─▶ encrypt ─▶ SAVE group and letter, as one ─▶ send ─▶ answered: SAVE that the letter goes, and what follows

1. The group whose key was used up is saved before a byte leaves: no generation is used twice, whenever this dies.
2. What was sent is kept until it is answered, and a resend is the very same bytes.
3. A letter of a past epoch is answered `stale_epoch`: the device catches up and encrypts the same command anew. So is
   one that the server has opened before and no longer can. The command's event id stays: it counts once.
4. Without a usable seat in the group, or when the way to the present epoch can't be found, the signed event goes out
   as it is: an emergency does not wait for a group to be mended. A group that somebody tampers with is used in no way.
5. What a good answer means for the home is saved with the letter's going: whenever this dies, either the letter is
   there to be sent again, or the home knows that it was answered.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.device.core.errors import LostStepError, ServerRefusedError
from keyturn.device.core.signed_events import envelope_event, said
from keyturn.device.groups.local_store import GROUP
from keyturn.device.home.errors import DamagedError
from keyturn.domain.errors import Refusal
from keyturn.proofs.nostr import parse_event
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.device.api.client import Server
    from keyturn.device.core.signed_events import Signer
    from keyturn.device.groups.catch_up import Following
    from keyturn.device.groups.local_store import Mail
    from keyturn.device.home.home import Home
    from keyturn.device.home.state import Key
    from keyturn.proofs.nostr import Event

OUTGOING = "outgoing"
LETTERS_LAST = timedelta(hours=24)
"""As long as the server keeps an answer (docs/http.md: the same event, the same answer)."""
_ATTEMPTS = 4
_BLOCK = 256
"""Plaintexts are padded to a multiple of it (RFC 9420 §6.3.1): lengths tell one command from another."""
_AUTHENTICATION_BYTES = 68
"""What stands behind the plaintext: an Ed25519 signature and its length (RFC 9420 §6.3.1)."""
_STALE_EPOCH = "stale_epoch"
_OPENED_BEFORE = "bad_message"
_TOO_OLD = "stale_event"
UNANSWERED = {429, *range(500, 600)}
"""Statuses that say nothing about the command: its letter is kept."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A command and the envelope (JSON) that carries it from an epoch of a group."""

    group_id: str
    epoch: int
    command: Event
    envelope: str = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the record."""
        fields = {"group": self.group_id, "epoch": self.epoch, "command": self.command.to_dict()}
        return json.dumps({**fields, "envelope": self.envelope}).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Letter:
        """Return the letter of a record; `DamagedError` if it is none."""
        try:
            record = load_object(data)
            command = parse_event(json.dumps(record["command"]))
            return cls(str(record["group"]), int(str(record["epoch"])), command, str(record["envelope"]))
        except (Refusal, KeyError, ValueError):
            raise DamagedError from None


def _nothing() -> Mapping[Key, bytes | None]:
    return {}


class Outbox:
    """Sends what a device says to the service; the answer comes back."""

    def __init__(self, home: Home, server: Server, signer: Signer, mail: Mail, following: Following) -> None:
        self._home = home
        self._server = server
        self._signer = signer
        self._mail = mail
        self._following = following

    def send(
        self,
        letter_id: str,
        group_id: str,
        make: Callable[[], Event],
        follows: Callable[[], Mapping[Key, bytes | None]] = _nothing,
    ) -> dict[str, object]:
        """Send what `make` signs through a group; a letter of that id which was not answered yet goes again.

        `follows` gives what a good answer changes in the home; it is asked with the home locked.
        """
        answer = self._answer(letter_id, group_id, make)
        self._settle(letter_id, follows)
        return answer

    def tidy(self) -> None:
        """Let go of letters that nobody would answer any more."""
        oldest = self._signer.now() - LETTERS_LAST
        with self._home.locked():
            letters = {letter_id: self._kept(letter_id) for letter_id in self._home.ids(OUTGOING)}
            over = [name for name, item in letters.items() if item and item.command.created_at < oldest.timestamp()]
            if over:
                self._home.save_all({(OUTGOING, letter_id): None for letter_id in over})

    def _answer(self, letter_id: str, group_id: str, make: Callable[[], Event]) -> dict[str, object]:
        if not self._is_seated(group_id):
            return self._server.post_event(make())
        kept = self._kept(letter_id)
        try:
            return self._send(letter_id, group_id, kept.command if kept else make())
        except ServerRefusedError as refused:
            if kept is None or refused.reason != _TOO_OLD:
                raise
        return self._send(letter_id, group_id, make())  # the one that was kept never arrived in time

    def _settle(self, letter_id: str, follows: Callable[[], Mapping[Key, bytes | None]]) -> None:
        with self._home.locked():
            changes = dict(follows())
            if letter_id in self._home.ids(OUTGOING):
                changes[OUTGOING, letter_id] = None
            if changes:
                self._home.save_all(changes)

    def _is_seated(self, group_id: str) -> bool:
        seats = {seat.group_id: seat for seat in self._mail.seats()}
        if group_id in seats and seats[group_id].wants_return:
            with suppress(LostStepError, ServerRefusedError):
                return self._following.follow(group_id).is_usable
        return group_id in seats and seats[group_id].is_usable

    def _send(self, letter_id: str, group_id: str, command: Event) -> dict[str, object]:
        for attempts_left in reversed(range(_ATTEMPTS)):
            letter = self._sealed(letter_id, group_id, command)
            try:
                return self._server.post_envelope(letter.envelope)
            except ServerRefusedError as refused:
                if refused.status in UNANSWERED:
                    raise
                self._home.delete(OUTGOING, letter_id)
                if not attempts_left or refused.reason not in {_STALE_EPOCH, _OPENED_BEFORE}:
                    raise
                if refused.reason == _STALE_EPOCH and not self._advance(letter):
                    return self._server.post_event(command)
        raise AssertionError("the last attempt returns or raises")

    def _sealed(self, letter_id: str, group_id: str, command: Event) -> Letter:
        with self._home.locked():
            kept = self._kept(letter_id)
            if kept is not None and kept.command == command:
                return kept
            seat = self._mail.seat(group_id)
            plaintext = said(command)
            padding = -(len(plaintext) + _AUTHENTICATION_BYTES) % _BLOCK
            group, message = seat.group.encrypt(plaintext, random=self._signer.random, padding=padding)
            envelope = envelope_event(self._signer, group_id, message).to_json()
            letter = Letter(group_id, seat.group.epoch, command, envelope)
            after = replace(seat, group=group).to_bytes()
            self._home.save_all({(GROUP, group_id): after, (OUTGOING, letter_id): letter.to_bytes()})
        return letter

    def _advance(self, letter: Letter) -> bool:
        try:
            seat = self._following.follow(letter.group_id)
            if seat.is_usable and seat.group.epoch == letter.epoch:
                # The service is elsewhere, and its log knows no way there: it was restored from a copy, say.
                seat = self._following.come_back(letter.group_id)
        except (LostStepError, ServerRefusedError):
            return False
        return seat.is_usable

    def _kept(self, letter_id: str) -> Letter | None:
        record = self._home.load(OUTGOING, letter_id)
        return None if record is None else Letter.from_bytes(record)
