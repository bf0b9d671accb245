"""A device's home: a folder (0700) with its key, its groups and its inbox, sealed under a passphrase.

    device.json     name, public key, cost of the passphrase; the data key wrapped by it    once
    state.sealed    private key, group states, cursors, key packages, inbox                 replaced whole, each time
    lock            held for the time of a command

1. Nothing secret is ever in a file unsealed, temporary ones included.
2. Records that change together are saved together: `save_all` is one replacement of one file.
3. A read-modify-write stands inside `locked()`: several processes may share a home, one at a time.
4. The counter rises at each change, so that an older copy put back can be told: by this process, which refuses it, and
   by a witness outside of the home, where one is kept (witness.py).

A message can be decrypted once only, its key is then gone. So a received notice is a record of the kind `inbox`, saved
with the state that read it, and deleted once it was shown and acknowledged, or has expired.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.device.home.errors import (
    AlreadyExistsError,
    DamagedError,
    InvalidNameError,
    NotAHomeError,
    PassphraseError,
    RolledBackError,
)
from keyturn.device.home.files import check_folder, exclusive, read_private, readable_failures
from keyturn.device.home.header import Header, create_header, parse_header
from keyturn.device.home.rollback_counter import Witness
from keyturn.device.home.sealing import DEFAULT_COST, KEY_BYTES, ScryptCost
from keyturn.device.home.state import Key, State, open_state, seal_state
from keyturn.private_files import PRIVATE_FOLDER, draft_of, replace_private
from keyturn.proofs.nostr import PRIVATE_KEY_BYTES, public_key
from keyturn.proofs.npub import encode_npub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

LOCK_WAIT_SECONDS = 30.0
_HEADER = "device.json"
_STATE = "state.sealed"
_LOCK = "lock"
_MAX_NAME = 128


class Home:
    """An opened home. One object serves one thread; other threads and processes open their own.

    Reading methods read the file each time: what another command changed is seen, and no secret waits in memory.
    Each may raise `DamagedError`, `TooOpenError`, `RolledBackError` or `UnreadableError`.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        data_key: bytes,
        random: Callable[[int], bytes],
        witnesses: Path | None = None,
    ) -> None:
        self._path = path
        self._header = header
        self._data_key = data_key
        self._random = random
        self._witness = None if witnesses is None else Witness(witnesses, header.public_key, data_key)
        self._held = 0
        self._seen_counter = 0
        self._witnessed = 0

    @classmethod
    def create(
        cls,
        path: Path,
        name: str,
        passphrase: str,
        random: Callable[[int], bytes] = os.urandom,
        *,
        cost: ScryptCost = DEFAULT_COST,
        witnesses: Path | None = None,
    ) -> Home:
        """Make a home with a new key in an empty or new folder and return it opened.

        `random(n)` gives n bytes of the operating system's CSPRNG; `witnesses` is the folder for a witness.
        `AlreadyExistsError`, `TooOpenError`, `InvalidNameError`, `PassphraseError`, `BusyError` or `UnreadableError` if
        it can't be.
        """
        _check_name(name)
        if not passphrase:
            raise PassphraseError
        private_key, data_key = random(PRIVATE_KEY_BYTES), random(KEY_BYTES)
        pubkey = public_key(private_key)
        header = create_header(name, pubkey, passphrase=passphrase, data_key=data_key, cost=cost, random=random)
        home = cls(path, header, data_key, random, witnesses)
        with readable_failures():
            path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            home._settle_in(State(1, private_key, {}))
        return home

    @classmethod
    def open(
        cls,
        path: Path,
        passphrase: str,
        random: Callable[[int], bytes] = os.urandom,
        *,
        witnesses: Path | None = None,
    ) -> Home:
        """Open a home; `NotAHomeError`, `WrongPassphraseError`, or what reading raises.

        `witnesses` is the folder where its witness is kept: `rolled_back` says what it knows.
        """
        with readable_failures():
            check_folder(path)
            data = read_private(path / _HEADER)
        if data is None:
            raise NotAHomeError
        header = parse_header(data)
        home = cls(path, header, header.data_key(passphrase), random, witnesses)
        home._ask_witness()
        home._read()
        return home

    @property
    def name(self) -> str:
        """What its owner calls the device."""
        return self._header.name

    @property
    def public_key(self) -> str:
        """The device's Nostr public key, 64 hex digits."""
        return self._header.public_key

    @property
    def npub(self) -> str:
        """The same key as people read it (NIP-19)."""
        return encode_npub(self._header.public_key)

    @property
    def counter(self) -> int:
        """How many times the state has changed: it only rises, unless an older copy was put back."""
        return self._read().counter

    @property
    def rolled_back(self) -> bool:
        """Whether the witness has seen a later state than the one that is here."""
        return self._witnessed > self.counter

    def private_key(self) -> bytes:
        """Return the device's Nostr private key (`bytes, 32`)."""
        return self._read().private_key

    def load(self, kind: str, record_id: str) -> bytes | None:
        """Return a record, None if there is none."""
        return self._read().records.get((kind, record_id))

    def ids(self, kind: str) -> tuple[str, ...]:
        """Return the ids of the records of a kind, sorted."""
        return tuple(sorted(record_id for held, record_id in self._read().records if held == kind))

    def save(self, kind: str, record_id: str, value: bytes) -> None:
        """Save one record."""
        self.save_all({(kind, record_id): value})

    def delete(self, kind: str, record_id: str) -> None:
        """Delete a record, if there is one."""
        self.save_all({(kind, record_id): None})

    def save_all(self, changes: Mapping[Key, bytes | None]) -> None:
        """Save several records, by (kind, id), all or none; None deletes."""
        with self.locked(), readable_failures():
            self._write(self._read().changed(changes))

    def settle_rollback(self, changes: Mapping[Key, bytes | None]) -> None:
        """Save what follows from an older copy having been put back; from then on, it is the state that counts."""
        with self.locked(), readable_failures():
            counter = max(self._read().counter, self._witnessed)
            self._write(replace(self._read(), counter=counter).changed(changes))

    @contextmanager
    def locked(self, wait_seconds: float = LOCK_WAIT_SECONDS) -> Iterator[None]:
        """Keep other commands out of this home; `BusyError` if that takes too long. May be nested."""
        if self._held:
            yield
            return
        with exclusive(self._path / _LOCK, wait_seconds):
            self._held += 1
            try:
                yield
            finally:
                self._held -= 1

    def _settle_in(self, state: State) -> None:
        check_folder(self._path)
        _check_vacant(self._path)
        with self.locked():
            _check_vacant(self._path)  # of two creations at once, one comes second
            self._write(state)
            replace_private(self._path / _HEADER, self._header.to_bytes())  # last: with it, the folder is a home

    def _read(self) -> State:
        with readable_failures():
            check_folder(self._path)
            data = read_private(self._path / _STATE)
        if data is None:
            raise DamagedError
        state = open_state(data, self._data_key, self._header.public_key)
        if state.counter < self._seen_counter:
            raise RolledBackError
        self._seen_counter = state.counter
        return state

    def _write(self, state: State) -> None:
        sealed = seal_state(state, self._data_key, self._header.public_key, self._random)
        replace_private(self._path / _STATE, sealed)
        self._seen_counter = state.counter
        if self._witness is not None and state.counter > self._witnessed:
            self._witness.note(state.counter)
            self._witnessed = state.counter

    def _ask_witness(self) -> None:
        # Before the state is read: another command may save between the two, and the state is then the later one.
        if self._witness is not None:
            with readable_failures():
                self._witnessed = self._witness.counter()


def _check_name(name: str) -> None:
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise InvalidNameError


def _check_vacant(path: Path) -> None:
    drafts = {draft_of(path / name).name for name in (_STATE, _HEADER)}
    if not {entry.name for entry in path.iterdir()} <= {_STATE, _LOCK} | drafts:  # an interrupted creation leaves those
        raise AlreadyExistsError
