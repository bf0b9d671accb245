"""The key file of one machine: how keys are read from it, added and disabled.

1. Only its owner may ever read it (mode 0600, in a folder that no one else may write). It is not a symbolic link.
2. A change writes a new file, syncs it and renames it over the old one. A reader sees the old keys or the new ones.
3. Changes are serialised by a lock on the folder. Each starts from the file's content at that moment.
4. A damaged, missing or newer file is refused. No error contains anything of its content, not even as its context.
5. A mounted file belongs to the platform, which replaces it: it may be a symbolic link (Kubernetes swaps `..data`),
   belong to root, and be readable by its group (0440, 0640). It is never changed here. Others may not read it, and
   its group may not write it.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from base64 import urlsafe_b64decode, urlsafe_b64encode
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

from keyturn.ports.keys import KeyDamaged, KeyUnavailable
from keyturn.private_files import is_open_to_others, replace_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

FORMAT = "keyturn-local-keys"
VERSION = 1
VERSION_WITH_RSA = 2
"""The version of a file with RSA keys, so that an older program says what it cannot read."""
FIRST_PURPOSES = ("mac", "seal", "sign")
"""The purposes of a new file. RSA keys take long to make, so one is made when it is first needed."""
RSA_PURPOSE = "sign_rs256"
PURPOSES = (*FIRST_PURPOSES, RSA_PURPOSE)
SECRET_BYTES = 32
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
LARGEST_FILE_BYTES = 1 << 20
_MOUNTED_REFUSED = 0o037
"""Modes that rule 5 refuses: any right of others, and write or execute for the group."""


@dataclass(frozen=True, slots=True)
class LocalKey:
    """One key version. `secret` is a symmetric key or a P-256 scalar (bytes, 32), or an RSA key (DER, PKCS #8)."""

    name: str
    purpose: str
    enabled: bool
    secret: bytes = field(repr=False)


class KeyFile:
    """The keys in the file at `path`, oldest first. Read again whenever the file has changed. Threads may share it.

    `mounted` applies rule 5 instead of rule 1.
    """

    def __init__(self, path: Path, *, mounted: bool = False) -> None:
        self.path = path
        self.mounted = mounted
        self._lock = Lock()
        self._fingerprint: tuple[int, ...] = ()
        self._keys: tuple[LocalKey, ...] = ()

    def read(self) -> Sequence[LocalKey]:
        """Return all key versions. `KeyUnavailable` with the cause if rule 1, 4 or 5 refuses the file."""
        with self._lock:
            if not self._fingerprint or _current_fingerprint(self.path, self.mounted) != self._fingerprint:
                self._fingerprint, self._keys = _read(self.path, self.mounted)
            return self._keys

    def change(self, edit: Callable[[Sequence[LocalKey]], Sequence[LocalKey]]) -> None:
        """Replace the file's keys by the result of `edit`. If `edit` raises, nothing changes."""
        if self.mounted:
            raise KeyUnavailable("a mounted key file is changed where it is mounted from")
        with _locked_folder(self.path.parent):
            _, keys = _read(self.path, mounted=False)
            _write(self.path, edit(keys))

    def create(self, keys: Callable[[], Sequence[LocalKey]]) -> None:
        """Create the file with `keys()`, and its folder (0700), unless they exist."""
        with suppress(FileExistsError):
            self.path.parent.mkdir(mode=0o700, parents=True)
        with _locked_folder(self.path.parent):
            if not os.path.lexists(self.path):
                _write(self.path, keys())


def _current_fingerprint(path: Path, mounted: bool) -> tuple[int, ...]:  # noqa: FBT001 - rule 5
    try:
        return _fingerprint(path.stat(follow_symlinks=mounted))
    except OSError:
        return ()


def _fingerprint(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)


@contextmanager
def _locked_folder(folder: Path) -> Iterator[None]:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KeyUnavailable("the key file's folder can't be opened") from error
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o022:
            raise KeyUnavailable("the key file's folder may be written by other users")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path, mounted: bool) -> tuple[tuple[int, ...], tuple[LocalKey, ...]]:  # noqa: FBT001 - rule 5
    fingerprint, content = _content(path, mounted)
    data = _json_object(content)
    if data is None or data.get("format") != FORMAT:
        raise KeyDamaged("the key file is damaged, or is not a keyturn key file")
    version = data.get("version")
    if isinstance(version, int) and version > VERSION_WITH_RSA:
        raise KeyUnavailable("the key file was written by a newer version of this program")
    keys = _keys_of(data) if version in {VERSION, VERSION_WITH_RSA} else None
    if not keys:
        raise KeyDamaged("the key file is damaged")
    return fingerprint, keys


def _content(path: Path, mounted: bool) -> tuple[tuple[int, ...], bytes]:  # noqa: FBT001 - rule 5
    links = 0 if mounted else os.O_NOFOLLOW
    try:
        descriptor = os.open(path, os.O_RDONLY | links | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        why = _CAUSES.get(error.errno or 0, "can't be opened")
        raise KeyUnavailable(f"the key file {why}") from error
    try:
        status = os.fstat(descriptor)
        (_check_mounted if mounted else _check_private)(status)
        return _fingerprint(status), os.read(descriptor, LARGEST_FILE_BYTES)
    finally:
        os.close(descriptor)


_CAUSES = {
    errno.ENOENT: "is missing",
    errno.ENOTDIR: "is missing",
    errno.ELOOP: "is a symbolic link, or a loop of them",
    errno.EACCES: "can't be read by this process's user",
    errno.EPERM: "can't be read by this process's user",
}


def _check_private(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
        raise KeyUnavailable("the key file is not a regular file of this user")
    if is_open_to_others(status):
        raise KeyUnavailable("the key file may be read by other users, its mode must be 0600")


def _check_mounted(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_uid not in {0, os.geteuid()}:
        raise KeyUnavailable("the key file is not a regular file of this user or root")
    if stat.S_IMODE(status.st_mode) & _MOUNTED_REFUSED:
        raise KeyUnavailable(
            f"the key file has mode {stat.S_IMODE(status.st_mode):04o}, it must be 0400, 0440, 0600 or 0640"
        )


def _json_object(content: bytes) -> dict[str, Any] | None:
    # None instead of an exception: json's errors carry the text that they failed on, here the keys.
    with suppress(ValueError, RecursionError):
        data = json.loads(content)
        return data if isinstance(data, dict) else None
    return None


def _keys_of(data: dict[str, Any]) -> tuple[LocalKey, ...] | None:
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        keys = tuple(_key_of(entry) for entry in data["keys"])
        return keys if len({key.name for key in keys}) == len(keys) else None
    return None


def _key_of(entry: dict[str, Any]) -> LocalKey:
    key = LocalKey(entry["name"], entry["purpose"], entry["enabled"], urlsafe_b64decode(entry["secret"] + "=="))
    prefix, _, number = key.name.rpartition("/")
    well_named = key.purpose in PURPOSES and prefix == f"local/{key.purpose}" and number.isdecimal()
    if not well_named or not isinstance(key.enabled, bool) or not _is_usable(key):
        raise ValueError("not a valid key entry")
    return key


def _is_usable(key: LocalKey) -> bool:
    if key.purpose == RSA_PURPOSE:  # parsed on first use only, which takes long (keys.py)
        return len(key.secret) > SECRET_BYTES
    return len(key.secret) == SECRET_BYTES and (key.purpose != "sign" or _is_p256_scalar(key.secret))


def _is_p256_scalar(secret: bytes) -> bool:
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
    version = VERSION_WITH_RSA if any(key.purpose == RSA_PURPOSE for key in keys) else VERSION
    content = json.dumps({"format": FORMAT, "version": version, "keys": entries}, indent=1).encode()
    try:
        replace_private(path, content)  # the lock on the folder excludes other writers
    except OSError as error:
        raise KeyUnavailable("the key file can't be written") from error
