"""An authenticator app (RFC 6238) for an admin of the demo, which shows each code once.

The service accepts the codes of the previous, the current and the next time step, each step once. So at most three
codes are usable at a time. After that the admin waits for the next step, at most 30 s.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyotp

from keyturn.domain.encodings import base64url_encode

if TYPE_CHECKING:
    from collections.abc import Callable

MARGIN_SECONDS = 5.0
"""In the last seconds of a step, the code of the previous step might arrive too late."""


@dataclass
class Authenticator:
    """Generates codes of an otpauth URI. If none is usable, it calls `wait(seconds)`, which must sleep."""

    otpauth: str = field(repr=False)
    wait: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    _last: int = field(default=-1, repr=False)

    @property
    def secrets(self) -> tuple[str, str]:
        """The seed in base32 (as in the URI) and in base64url. Neither may be in any file."""
        seed = self._codes().secret
        return seed, base64url_encode(base64.b32decode(seed))

    def __call__(self) -> str:
        """Return a code that is valid now and was not returned before."""
        codes = self._codes()
        step = max(self._last + 1, self._earliest(codes.interval))
        seconds = (step - 1) * codes.interval - self.now()  # the next step's code is valid already
        if seconds > 0:
            self.wait(seconds)
        self._last = step
        return codes.generate_otp(step)

    def _codes(self) -> pyotp.TOTP:
        codes = pyotp.parse_uri(self.otpauth)
        if not isinstance(codes, pyotp.TOTP):
            raise TypeError("the URI is of a counter-based authenticator (HOTP), not of a time-based one")
        return codes

    def _earliest(self, interval: int) -> int:
        now = self.now()
        ends_soon = interval - now % interval < MARGIN_SECONDS
        return int(now) // interval - (0 if ends_soon else 1)
