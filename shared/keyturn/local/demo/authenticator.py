"""An authenticator app, as a person of the demo has one: codes of the steps around now, each shown once (RFC 6238).

A service takes the codes of the step before, of now and of the next one, each step once. So a person has three at
most at a time, and then waits for the next step, at most 30 s.
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
"""So near to the end of a step, its earlier neighbour's code may arrive too late."""


@dataclass
class Authenticator:
    """Gives codes of an otpauth URI; `wait` is called with the seconds until there is another one, and sleeps."""

    otpauth: str = field(repr=False)
    wait: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.time
    _last: int = field(default=-1, repr=False)

    @property
    def secrets(self) -> tuple[str, str]:
        """The seed as the URI has it (base32), and its bytes in base64url: what must stand in no file."""
        seed = self._codes().secret
        return seed, base64url_encode(base64.b32decode(seed))

    def __call__(self) -> str:
        """Return a code that is good now and was not given before."""
        codes = self._codes()
        step = max(self._last + 1, self._earliest(codes.interval))
        early = (step - 1) * codes.interval - self.now()  # a step ahead is good already
        if early > 0:
            self.wait(early)
        self._last = step
        return codes.generate_otp(step)

    def _codes(self) -> pyotp.TOTP:
        codes = pyotp.parse_uri(self.otpauth)
        if not isinstance(codes, pyotp.TOTP):
            raise TypeError("an authenticator of this kind goes by a counter, not by the clock")
        return codes

    def _earliest(self, interval: int) -> int:
        now = self.now()
        ends_soon = interval - now % interval < MARGIN_SECONDS
        return int(now) // interval - (0 if ends_soon else 1)
