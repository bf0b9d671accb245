"""Time-based one-time codes (RFC 6238): 6 digits, 30 seconds, SHA-1, as in every authenticator app."""

from __future__ import annotations

import base64
import hmac
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    import pyotp

SEED_BYTES = 20
STEP_SECONDS = 30
WINDOW = 1
"""By how many steps a code can be off, in either direction (RFC 6238 §5.2)."""
_CODE = re.compile(r"[0-9]{6}\Z")


def matching_step(seed: bytes, code: str, now: datetime, after: int) -> int | None:
    """Return the step of this code if it is in the window and later than `after`, else None.

    `seed` is `bytes, 20`. A code works once: the caller stores the returned step, and passes it as `after` the
    next time.
    """
    step = int(now.timestamp()) // STEP_SECONDS
    # Every step of the window is compared, in constant time: the time taken does not show which one matched.
    presented = (code if _CODE.match(code) else "").encode("ascii")
    matches = [
        near
        for near in range(step - WINDOW, step + WINDOW + 1)
        if hmac.compare_digest(_generator(seed).generate_otp(near).encode("ascii"), presented)
    ]
    return max((near for near in matches if near > after), default=None)


def provisioning_uri(seed: bytes, user: str, issuer: str) -> str:
    """Return the otpauth URI for an authenticator app. It contains the seed: show it once, and store it nowhere."""
    return _generator(seed).provisioning_uri(name=user, issuer_name=issuer)


def _generator(seed: bytes) -> pyotp.TOTP:
    import pyotp  # noqa: PLC0415 - nothing heavy at import time

    return pyotp.TOTP(base64.b32encode(seed).decode("ascii"), interval=STEP_SECONDS)
