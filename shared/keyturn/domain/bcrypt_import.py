"""Imported credentials: bcrypt hashes from the system that a client comes from (protocol.md §3, `algo`).

They verify until their first rotation's grace ends. Nothing else is known of them: no receipt key, no MAC.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from keyturn.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from keyturn.domain.model import Version

BCRYPT: Final = "bcrypt"
"""The `algo` of an imported version."""
BCRYPT_BYTES: Final = 72
"""What bcrypt looks at: every further byte counts for nothing, there as here, or an integrator would be locked out."""
MOST_CHARACTERS: Final = 512
"""How long a value may be that is presented for an imported credential."""

# Version, cost 4 to 14 (one check of cost 14 takes a second), 22 characters of salt, 31 of hash; unused bits are zero.
_HASH = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-4])\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{30}[.CGKOSWaeimquy26]\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def bcrypt_hash(text: str) -> str:
    """Return a bcrypt hash unchanged; `InvalidRequest` for another scheme, a cost outside 4 to 14, or no hash."""
    if not is_bcrypt_hash(text):
        raise InvalidRequest("bad_hash", "This is no bcrypt hash of version 2a, 2b or 2y and cost 4 to 14.")
    return text


def is_bcrypt_hash(text: str) -> bool:
    """Return whether a text is a bcrypt hash that is taken here."""
    return _HASH.match(text) is not None


def is_imported(version: Version) -> bool:
    """Return whether a version came with a hash from elsewhere."""
    return version.algo == BCRYPT


def presentable(secret: str) -> bool:
    """Return whether a value could be an imported credential: text without control characters, not absurdly long."""
    return 0 < len(secret) <= MOST_CHARACTERS and _CONTROL.search(secret) is None
