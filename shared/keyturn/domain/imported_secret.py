"""Imported credentials: hashes from the system that a client is moved from (docs/protocol.md §3, `algo`).

They verify until the grace period of their first rotation ends. They have no receipt key and no MAC.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from keyturn.domain.model import Version

BCRYPT: Final = "bcrypt"
PBKDF2: Final = "pbkdf2"
ARGON2ID: Final = "argon2id"
IMPORTED: Final = frozenset({BCRYPT, PBKDF2, ARGON2ID})
"""The `algo` of imported versions (`domain.imported_hash`)."""
BCRYPT_BYTES: Final = 72
"""bcrypt ignores every further byte. A longer secret works in the old system, so it must work here as well."""
MOST_CHARACTERS: Final = 512
"""The longest value that is checked against an imported credential."""

# Version, cost 4 to 14 (a check of cost 14 takes one second), 22 characters of salt, 31 of hash, unused bits zero.
_HASH = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-4])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]\Z")
# bcrypt ends its input at a null byte, and a surrogate cannot be encoded.
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def is_bcrypt_hash(text: str) -> bool:
    """Return whether a text is a bcrypt hash of version 2a, 2b or 2y with a cost from 4 to 14."""
    return _HASH.match(text) is not None


def is_imported(version: Version) -> bool:
    """Return whether a version was imported with its hash."""
    return version.algo in IMPORTED


def presentable(secret: str) -> bool:
    """Return whether a value can be an imported credential: text without control characters, and not too long."""
    return 0 < len(secret) <= MOST_CHARACTERS and _CONTROL.search(secret) is None
