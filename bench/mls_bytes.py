"""Row: one notice to 200 members, against `pyrage` (age): one ciphertext whose key is wrapped for each recipient.

The commit that precedes a notice in our log (a path update) is reported beside it: what both come to together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.mls_rooms import LARGE, NOTICE, notice_of, room, update_of
from bench.rows import Measured

if TYPE_CHECKING:
    from pathlib import Path


def bytes_against_wrapping(_folder: Path) -> Measured:
    """Return the bytes of one MLS application message over those of an age file, for the same recipients."""
    group = room(LARGE).group
    message, wrapped = len(notice_of(group)), len(_wrapped(LARGE))
    parts = {
        "notice_bytes": message,
        "pyrage_bytes": wrapped,
        "notice_and_update_bytes": message + len(update_of(group)),
    }
    return Measured(message / wrapped, parts)


def _wrapped(recipients: int) -> bytes:
    import pyrage  # type: ignore[import-untyped]  # noqa: PLC0415 - it has no types; only this row needs it

    keys = [pyrage.x25519.Identity.generate().to_public() for _ in range(recipients)]
    wrapped: bytes = pyrage.encrypt(NOTICE, keys)
    return wrapped
