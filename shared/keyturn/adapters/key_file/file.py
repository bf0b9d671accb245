"""The key file of one machine: how keys are read from it, added and disabled.

1. Only its owner may read it, from birth on (0600, in a folder that nobody else may write); it is no symbolic link.
2. A change is a new file under the same name, synced before it takes it: a reader sees the old keys or the new ones.
3. Changes are made one at a time, under a lock on the folder, from what is in the file then.
4. A damaged, missing or newer file is refused; nothing of its content is in any error, not even in its context.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from keyturn.ports.keys import KeyUnavailable
from keyturn.private_files import is_open_to_others, replace_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

FORMAT = "keyturn-local-keys"
VERSION = 1
PURPOSES = ("mac", "seal", "sign")
SECRET_BYTES = 32
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
LARGEST_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class LocalKey:
    """One key version; `secret` (bytes, 32) is a symmetric key or a P-256 scalar."""

    name: str
    purpose: str
    enabled: bool
    secret: bytes = field(repr=False)


class KeyFile:
    """The keys in the file at `path`, oldest first, read again whenever the file changed. Threads may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        self._seen: tuple[int, ...] = ()
        self._keys: tuple[LocalKey, ...] = ()

    def read(self) -> Sequence[LocalKey]:
        """Return all key versions; `KeyUnavailable` as rules 1 and 4 say."""
        with self._lock:
            if not self._seen or _identity(self.path) != self._seen:
                self._seen, self._keys = _read(self.path)
            return self._keys

    def change(self, edit: Callable[[Sequence[LocalKey]], Sequence[LocalKey]]) -> None:
        """Replace the keys by what `edit` makes of those in the file now; nothing if it raises."""
        with _folder_locked(self.path.parent):
            _, keys = _read(self.path)
            _write(self.path, edit(keys))

    def make(self, keys: Callable[[], Sequence[LocalKey]]) -> None:
        """Make the file with `keys()` and its folder (0700), if there is none."""
        with suppress(FileExistsError):
            self.path.parent.mkdir(mode=0o700, parents=True)
        with _folder_locked(self.path.parent):
            if not os.path.lexists(self.path):
                _write(self.path, keys())


def _identity(path: Path) -> tuple[int, ...]:
    try:
        return _facts(os.lstat(path))
    except OSError:
        return ()


def _facts(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyUnavailable("the key file's folder can't be opened") from error
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o022:
            raise KeyUnavailable("the key file's folder may be written by others")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> tuple[tuple[int, ...], tuple[LocalKey, ...]]:
    seen, content = _content(path)
    parsed = _parsed(content)
    if parsed is None or parsed.get("format") != FORMAT:
        raise KeyUnavailable("the key file is damaged or none of ours")
    version = parsed.get("version")
    if isinstance(version, int) and version > VERSION:
        raise KeyUnavailable("the key file is of a newer version than this program")
    keys = _keys_of(parsed) if version == VERSION else None
    if not keys:
        raise KeyUnavailable("the key file is damaged")
    return seen, keys


def _content(path: Path) -> tuple[tuple[int, ...], bytes]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise KeyUnavailable("the key file is missing, a symbolic link or can't be opened") from error
    try:
        status = os.fstat(descriptor)
        _require_private(status)
        return _facts(status), os.read(descriptor, LARGEST_FILE_BYTES)
    finally:
        os.close(descriptor)


def _require_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise KeyUnavailable("the key file is no regular file of this user")
    if is_open_to_others(status):
        raise KeyUnavailable("the key file may be read by others: its mode must be 0600")


def _parsed(content: bytes) -> dict[str, Any] | None:
    # Returned, not raised from here: a decoding error carries the text that it couldn't read.
    with suppress(ValueError, RecursionError):
        parsed = json.loads(content)
        return parsed if isinstance(parsed, dict) else None
    return None


def _keys_of(parsed: dict[str, Any]) -> tuple[LocalKey, ...] | None:
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        keys = tuple(_key_of(entry) for entry in parsed["keys"])
        return keys if len({key.name for key in keys}) == len(keys) else None
    return None


def _key_of(entry: dict[str, Any]) -> LocalKey:
    key = LocalKey(entry["name"], entry["purpose"], entry["enabled"], urlsafe_b64decode(entry["secret"] + "="))
    prefix, _, number = key.name.rpartition("/")
    well_named = key.purpose in PURPOSES and prefix == f"local/{key.purpose}" and number.isdecimal()
    usable = len(key.secret) == SECRET_BYTES and (key.purpose != "sign" or _is_scalar(key.secret))
    if not well_named or not isinstance(key.enabled, bool) or not usable:
        raise ValueError("no key of ours")
    return key


def _is_scalar(secret: bytes) -> bool:
    return 0 < int.from_bytes(secret, "big") < P256_ORDER


def _write(path: Path, keys: Sequence[LocalKey]) -> None:
    entries = [
        {
            "name": key.name,
            "purpose": key.purpose,
            "enabled": key.enabled,
            "secret": urlsafe_b64encode(key.secret).decode().rstrip("="),
        }
        for key in keys
    ]
    content = json.dumps({"format": FORMAT, "version": VERSION, "keys": entries}, indent=1).encode()
    try:
        replace_private(path, content)  # one writer at a time: the folder is locked
    except OSError as error:
        raise KeyUnavailable("the key file can't be written") from error
