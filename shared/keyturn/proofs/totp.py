"""Time-based one-time codes (RFC 6238): 6 digits, 30 seconds, SHA-1, as every authenticator app has them."""

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
"""How many steps a code may be off, either way (RFC 6238 §5.2)."""
_CODE = re.compile(r"[0-9]{6}\Z")


def matching_step(seed: bytes, code: str, now: datetime, after: int) -> int | None:
    """Return the step, later than `after`, whose code this is; None if it is none of the window.

    `seed` is `bytes, 20`. A step is accepted once: the caller keeps the one returned and passes it as `after`.
    """
    step = int(now.timestamp()) // STEP_SECONDS
    presented = (code if _CODE.match(code) else "").encode("ascii")
    matches = [
        near
        for near in range(step - WINDOW, step + WINDOW + 1)
        if hmac.compare_digest(_generator(seed).generate_otp(near).encode("ascii"), presented)
    ]
    return max((near for near in matches if near > after), default=None)


def provisioning_uri(seed: bytes, user: str, issuer: str) -> str:
    """Return the otpauth URI that an authenticator app reads; it carries the seed: show it once, store it nowhere."""
    return _generator(seed).provisioning_uri(name=user, issuer_name=issuer)


def _generator(seed: bytes) -> pyotp.TOTP:
    import pyotp  # noqa: PLC0415 - nothing heavy at import time

    return pyotp.TOTP(base64.b32encode(seed).decode("ascii"), interval=STEP_SECONDS)
