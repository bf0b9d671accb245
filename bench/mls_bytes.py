"""Row: one notice to 200 members, against `pyrage` (age): one ciphertext with a key wrapped for each recipient.

In our log a commit (a path update) precedes each notice. The size of both together is reported beside the row.
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
