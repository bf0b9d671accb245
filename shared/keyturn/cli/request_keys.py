"""Keys of the operator's requests that were not answered yet, in the user's state folder (docs/http.md).

If a command ends without an answer, the same command sends its request under the same key, and gets the answer that was
lost. A file holds a random key and nothing of the request. Its name is a hash of the request.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.private_files import replace_private

if TYPE_CHECKING:
    from pathlib import Path

LIFETIME_SECONDS = 600
"""A failed command is repeated soon, if at all. Later the same words may mean another request."""


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """Implements `RequestKeys` over files in `folder`."""

    folder: Path

    def key(self, request: bytes) -> str:
        """Return the stored key of a request, or store a new one. If that is not possible, the key is new each time."""
        path = self._path(request)
        try:
            if path.stat().st_mtime > time.time() - LIFETIME_SECONDS and (stored := path.read_text("ascii").strip()):
                return stored
        except (OSError, UnicodeDecodeError):
            pass  # there is none
        key = secrets.token_hex(16)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_private(path, key.encode("ascii"))
        except OSError:
            return key
        return key

    def forget(self, request: bytes) -> None:
        """Delete the key of a request that was answered."""
        try:
            self._path(request).unlink(missing_ok=True)
        except OSError:
            return

    def _path(self, request: bytes) -> Path:
        return self.folder / f"request-{hashlib.sha256(request).hexdigest()[:32]}.key"
