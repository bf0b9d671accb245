"""A device's home: a folder (0700) with its keys, its groups and its inbox, sealed under a passphrase.

    device.json     name, public key, data key sealed under the passphrase      written once
    state.sealed    private key, group states, key packages, inbox              replaced whole at each change
    lock            held while a command changes the home

1. No secret is ever written unsealed, not even to a temporary file.
2. Records that change together are saved together: `save_all` is one replacement of one file.
3. A read-modify-write runs inside `locked()`, because several processes may share a home.
4. The counter increases at each change. So an older copy of the home is detected: by a process that runs meanwhile
   (`RolledBackError`), and later by the rollback counter outside of the home (`rolled_back`).
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.device.home.errors import (
    AlreadyExistsError,
    BusyError,
    DamagedError,
    InvalidNameError,
    NotAHomeError,
    PassphraseError,
    RolledBackError,
    TooOpenError,
    UnreadableError,
)
from keyturn.device.home.sealed_files import (
    DEFAULT_COST,
    KEY_BYTES,
    HomeHeader,
    HomeState,
    RecordKey,
    RollbackCounter,
    ScryptCost,
    create_header,
    open_state,
    parse_header,
    seal_state,
)
from keyturn.domain.secret_format import contains_secret
from keyturn.private_files import PRIVATE_FOLDER, draft_of, is_open_to_others, open_lock_file, replace_private
from keyturn.proofs.nostr import PRIVATE_KEY_BYTES, public_key
from keyturn.proofs.npub import encode_npub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

LOCK_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.02
_HEADER = "device.json"
_STATE = "state.sealed"
_LOCK = "lock"
_MAX_NAME = 128


class Home:
    """An opened home. One object serves one thread. Other threads and processes open their own.

    Each reading method reads the file: it sees the changes of other commands, and no secret stays in memory.
    Each may raise `DamagedError`, `TooOpenError`, `RolledBackError` or `UnreadableError`.
    """

    def __init__(
        self,
        path: Path,
        header: HomeHeader,
        data_key: bytes,
        random: Callable[[int], bytes],
        counter_folder: Path | None = None,
    ) -> None:
        self._path = path
        self._header = header
        self._data_key = data_key
        self._random = random
        self._rollback_counter = (
            None if counter_folder is None else RollbackCounter(counter_folder, header.public_key, data_key)
        )
        self._lock_depth = 0
        self._highest_counter = 0
        self._counter_outside = 0

    @classmethod
    def create(
        cls,
        path: Path,
        name: str,
        passphrase: str,
        random: Callable[[int], bytes] = os.urandom,
        *,
        cost: ScryptCost = DEFAULT_COST,
        counter_folder: Path | None = None,
    ) -> Home:
        """Create a home with a new key in an empty or new folder, and return it opened.

        `random(n)` returns n bytes of the operating system's CSPRNG. `counter_folder` is for the rollback counter.
        `AlreadyExistsError`, `TooOpenError`, `InvalidNameError`, `PassphraseError`, `BusyError` or `UnreadableError` if
        that fails.
        """
        _check_name(name)
        if not passphrase:
            raise PassphraseError
        # A random data key, not one derived from the passphrase: the passphrase can change without sealing all again.
        private_key, data_key = random(PRIVATE_KEY_BYTES), random(KEY_BYTES)
        pubkey = public_key(private_key)
        header = create_header(name, pubkey, passphrase=passphrase, data_key=data_key, cost=cost, random=random)
        home = cls(path, header, data_key, random, counter_folder)
        with _hidden_paths():
            path.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
            home._write_first_files(HomeState(1, private_key, {}))
        return home

    @classmethod
    def open(
        cls,
        path: Path,
        passphrase: str,
        random: Callable[[int], bytes] = os.urandom,
        *,
        counter_folder: Path | None = None,
    ) -> Home:
        """Open a home; `NotAHomeError`, `WrongPassphraseError`, or an error of reading.

        `counter_folder` is where the rollback counter is kept. Without it `rolled_back` is always false.
        """
        header = parse_header(_read_header(path))
        home = cls(path, header, header.data_key(passphrase), random, counter_folder)
        home._read_rollback_counter()
        home._read()
        return home

    @staticmethod
    def check_present(path: Path) -> None:
        """Raise what `open` would raise before it needs the passphrase, for example `NotAHomeError`."""
        _read_header(path)

    @staticmethod
    def check_vacant(path: Path) -> None:
        """Raise `AlreadyExistsError` if `create` would. A folder that does not exist is vacant."""
        with _hidden_paths():
            if path.is_dir():
                _check_vacant(path)

    @property
    def name(self) -> str:
        """The name that the user gave the device."""
        return self._header.name

    @property
    def public_key(self) -> str:
        """The device's Nostr public key, 64 hex digits."""
        return self._header.public_key

    @property
    def npub(self) -> str:
        """The same key in the form for people (NIP-19)."""
        return encode_npub(self._header.public_key)

    @property
    def counter(self) -> int:
        """How often the state has changed. It decreases only when an older copy is restored."""
        return self._read().counter

    @property
    def rolled_back(self) -> bool:
        """Whether the rollback counter is ahead of the state: an older copy was restored."""
        return self._counter_outside > self.counter

    def private_key(self) -> bytes:
        """Return the device's Nostr private key (`bytes, 32`)."""
        return self._read().private_key

    def load(self, kind: str, record_id: str) -> bytes | None:
        """Return a record, None if there is none."""
        return self._read().records.get((kind, record_id))

    def ids(self, kind: str) -> tuple[str, ...]:
        """Return the ids of all records of a kind, sorted."""
        return tuple(sorted(record_id for record_kind, record_id in self._read().records if record_kind == kind))

    def save(self, kind: str, record_id: str, value: bytes) -> None:
        """Save one record."""
        self.save_all({(kind, record_id): value})

    def delete(self, kind: str, record_id: str) -> None:
        """Delete a record, if there is one."""
        self.save_all({(kind, record_id): None})

    def save_all(self, changes: Mapping[RecordKey, bytes | None]) -> None:
        """Save several records, by (kind, id), all or none; None deletes."""
        with self.locked(), _hidden_paths():
            self._write(self._read().with_changes(changes))

    def settle_rollback(self, changes: Mapping[RecordKey, bytes | None]) -> None:
        """Save the consequences of a restored older copy, and end the state of being rolled back."""
        with self.locked(), _hidden_paths():
            state = self._read()
            # Continue from the higher counter: this state must not look older than the one that was lost.
            counter = max(state.counter, self._counter_outside)
            self._write(replace(state, counter=counter).with_changes(changes))

    @contextmanager
    def locked(self, wait_seconds: float = LOCK_WAIT_SECONDS) -> Iterator[None]:
        """Keep other commands out of this home; `BusyError` if that takes too long. May be nested."""
        # flock is per descriptor: a second one of the same process would wait for the first forever.
        if self._lock_depth:
            yield
            return
        with _exclusive(self._path / _LOCK, wait_seconds):
            self._lock_depth += 1
            try:
                yield
            finally:
                self._lock_depth -= 1

    def _write_first_files(self, state: HomeState) -> None:
        _check_folder(self._path)
        _check_vacant(self._path)
        with self.locked():
            _check_vacant(self._path)  # again: two processes may create a home at once
            self._write(state)
            replace_private(self._path / _HEADER, self._header.to_bytes())  # last: it turns the folder into a home

    def _read(self) -> HomeState:
        with _hidden_paths():
            _check_folder(self._path)
            data = _read_private(self._path / _STATE)
        if data is None:
            raise DamagedError
        state = open_state(data, self._data_key, self._header.public_key)
        # An older copy was restored while this process was running, and its keys may have been used since.
        if state.counter < self._highest_counter:
            raise RolledBackError
        self._highest_counter = state.counter
        return state

    def _write(self, state: HomeState) -> None:
        sealed = seal_state(state, self._data_key, self._header.public_key, self._random)
        # The state first: a crash before the counter is saved does no harm. The other order would report a rollback
        # that did not happen, and the device would throw away good keys.
        replace_private(self._path / _STATE, sealed)
        self._highest_counter = state.counter
        if self._rollback_counter is not None and state.counter > self._counter_outside:
            self._rollback_counter.save(state.counter)
            self._counter_outside = state.counter

    def _read_rollback_counter(self) -> None:
        # Before the state: if another command saves between the two reads, the state is the later one. The other order
        # would report a rollback that did not happen.
        if self._rollback_counter is not None:
            with _hidden_paths():
                self._counter_outside = self._rollback_counter.read()


# --- files -----------------------------------------------------------------------------------------------------------


@contextmanager
def _hidden_paths() -> Iterator[None]:
    """Turn an `OSError` into `UnreadableError`: its text would show a path."""
    try:
        yield
    except OSError:
        raise UnreadableError from None


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise NotAHomeError
    if is_open_to_others(folder.stat()):
        raise TooOpenError


def _read_header(folder: Path) -> bytes:
    with _hidden_paths():
        _check_folder(folder)
        data = _read_private(folder / _HEADER)
    if data is None:
        raise NotAHomeError
    return data


def _read_private(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            # Of the opened file, not of its path, which could be exchanged between the check and the reading.
            if is_open_to_others(os.fstat(file.fileno())):
                raise TooOpenError
            return file.read()
    except FileNotFoundError:
        return None


def _check_name(name: str) -> None:
    if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or contains_secret(name):
        raise InvalidNameError


def _check_vacant(path: Path) -> None:
    leftovers = {_STATE, _LOCK, *(draft_of(path / name).name for name in (_STATE, _HEADER))}
    if not {entry.name for entry in path.iterdir()} <= leftovers:  # an interrupted creation may have left those
        raise AlreadyExistsError


@contextmanager
def _exclusive(path: Path, wait_seconds: float) -> Iterator[None]:
    with _hidden_paths():
        descriptor = open_lock_file(path)
    try:
        _acquire(descriptor, time.monotonic() + wait_seconds)
        yield
    finally:
        os.close(descriptor)  # this releases the lock, and so does the end of the process, however it ends


def _acquire(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise BusyError from None
            time.sleep(_POLL_SECONDS)
        else:
            return
