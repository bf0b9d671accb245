"""A witness of the home's counter, outside of the home: an older copy put back can't take it along.

One file in the user's state folder: the counter of the last save, with a MAC under a key that only the opened home has.
A file that is missing or not ours says nothing; whoever can write it can make a device come back with new keys, or
lose this warning, and nothing else.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keyturn.domain.encodings import length_prefixed
from keyturn.private_files import PRIVATE_FOLDER, replace_private

if TYPE_CHECKING:
    from pathlib import Path

_LABEL = "keyturn/device-counter/v1"
_KEY_BYTES = 32
_SHOWN_DIGITS = 16


class Witness:
    """The witness of one device (public key, 64 hex digits); `data_key` is its home's (`bytes, 32`)."""

    def __init__(self, folder: Path, public_key: str, data_key: bytes) -> None:
        self._path = folder / f"device-{public_key[:_SHOWN_DIGITS]}.counter"
        self._public_key = public_key
        # A key of its own: the data key seals, and does nothing else.
        self._key = HKDF(SHA256(), _KEY_BYTES, salt=None, info=_LABEL.encode("ascii")).derive(data_key)

    def counter(self) -> int:
        """Return the counter that was noted last, 0 if none was; `OSError` if it can't be read."""
        try:
            line = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        shown, _, tag = line.decode("ascii", "replace").strip().partition(" ")
        genuine = hmac.compare_digest(tag.encode(), self._tag(shown).encode())
        return int(shown) if genuine else 0

    def note(self, counter: int) -> None:
        """Note a counter; `OSError` if that can't be."""
        self._path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        replace_private(self._path, f"{counter} {self._tag(str(counter))}\n".encode("ascii"))

    def _tag(self, counter: str) -> str:
        said = length_prefixed(_LABEL, self._public_key, counter)
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()
