"""A QR code in the terminal, for an authenticator app to read: on stderr, drawn with blocks of text."""

from __future__ import annotations

import sys


def print_qr(text: str) -> None:
    """Draw `text`; it stands on the screen and nowhere else."""
    import segno  # noqa: PLC0415 - one command of one day needs it

    segno.make(text, error="l", micro=False).terminal(out=sys.stderr, compact=True)
