"""Patience with a key service: which failures are worth another try, how long all tries may take, when to stop asking.

Every attempt ends in one of three ways:

| the service says | means | then |
|---|---|---|
| NOT_FOUND, FAILED_PRECONDITION | there is no such version, or it is disabled or destroyed | `KeyRefused`, at once |
| PERMISSION_DENIED, UNAUTHENTICATED and all others | a fault of the deployment | `KeyUnavailable`, at once |
| UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, ABORTED, CANCELLED, UNKNOWN | it may work in a moment | again, soon |
| RESOURCE_EXHAUSTED | the quota of this minute is used up | again, after a longer pause |
| an answer that is damaged (CRC32C), or damage told by the service | the same as no answer | again, soon |

After so many failed attempts in a row the breaker opens: nobody asks for a while, then one caller a while does, and the
first answer closes it. All calls with patience may safely be made twice.
"""

from __future__ import annotations

from secrets import SystemRandom
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError

from keyturn.adapters.google_kms.circuit_breaker import Breaker
from keyturn.ports.keys import KeyRefused, KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.adapters.google_kms.circuit_breaker import Patience

_T = TypeVar("_T")
_Code = grpc.StatusCode
_SOON = frozenset(
    {_Code.UNAVAILABLE, _Code.DEADLINE_EXCEEDED, _Code.INTERNAL, _Code.ABORTED, _Code.CANCELLED, _Code.UNKNOWN},
)
_REFUSED = frozenset({_Code.NOT_FOUND, _Code.FAILED_PRECONDITION})
_NO_CREDENTIALS = "there are no credentials for the key service"


class Damaged(Exception):  # noqa: N818 - it names the answer's state; never leaves this room
    """What arrived is not what was sent: a checksum or a name is wrong."""


class PatientCalls:
    """Make calls with the patience that the table above describes; threads may share it."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._breaker = Breaker(patience)

    def __call__(self, call: Callable[[float], _T]) -> _T:
        """Return `call(seconds)`, trying again where that may help; `KeyRefused` or `KeyUnavailable`."""
        until = self._patience.clock() + self._patience.total_seconds
        turn = 0
        while (left := until - self._patience.clock()) > 0:
            longest, answer = self._attempt(call, min(left, self._patience.attempt_seconds))
            if longest is None:
                return answer[0]
            self._pause(longest * 2.0**turn, until)
            turn += 1
        raise KeyUnavailable("the key service gave no answer that can be used")

    def once(self, call: Callable[[float], _T]) -> _T:
        """Return `call(seconds)`, which may not be made twice; `KeyRefused` or `KeyUnavailable`."""
        longest, answer = self._attempt(call, self._patience.total_seconds)
        if longest is not None:
            raise KeyUnavailable("the key service did not answer: it may have done it, or not")
        return answer[0]

    def _attempt(self, call: Callable[[float], _T], seconds: float) -> tuple[float | None, list[_T]]:
        """Return None and the answer, or how long to wait before the next attempt at first."""
        self._breaker.ask()
        try:
            answer = call(seconds)
        except GoogleAPICallError as error:
            longest = self._judged(error.grpc_status_code)
        except Damaged:
            longest = self._patience.soon_seconds
        except GoogleAuthError:
            self._breaker.failed()
            raise KeyUnavailable(_NO_CREDENTIALS) from None
        else:
            self._breaker.answered()
            return None, [answer]
        self._breaker.failed()
        return longest, []

    def _judged(self, code: grpc.StatusCode | None) -> float:
        if code in _SOON:
            return self._patience.soon_seconds
        if code is _Code.RESOURCE_EXHAUSTED:
            return self._patience.quota_seconds
        self._breaker.answered()
        raise _refusal(code) from None

    def _pause(self, longest: float, until: float) -> None:
        # Full jitter, so that who failed together does not come back together; a pause past the deadline is none.
        seconds = SystemRandom().uniform(0, longest)
        self._patience.sleep(min(seconds, max(0.0, until - self._patience.clock())))


def _refusal(code: grpc.StatusCode | None) -> Exception:
    # The server's message quotes resource names: it is not passed on.
    if code in _REFUSED:
        return KeyRefused("the key version is unknown or disabled")
    if code in {_Code.PERMISSION_DENIED, _Code.UNAUTHENTICATED}:
        return KeyUnavailable("the key service takes no calls of this account")
    return KeyUnavailable("the key service refused the call")
