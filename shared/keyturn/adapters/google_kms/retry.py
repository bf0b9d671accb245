"""Calls to a key service: which failures are retried, how long all attempts may take, and when to stop calling.

Every attempt ends in one of these ways:

| the service answers | meaning | reaction |
|---|---|---|
| NOT_FOUND, FAILED_PRECONDITION | the version does not exist, or is disabled or destroyed | `KeyRefused`, at once |
| PERMISSION_DENIED, UNAUTHENTICATED and all others | the deployment is misconfigured | `KeyUnavailable`, at once |
| UNAVAILABLE, DEADLINE_EXCEEDED, INTERNAL, ABORTED, CANCELLED, UNKNOWN | transient | retried after a short pause |
| RESOURCE_EXHAUSTED | the quota of this minute is used up | retried after a longer pause |
| a corrupted response, or "your request arrived corrupted" (CRC32C) | as if there were no response | retried soon |

After `failures` failed attempts in a row a circuit breaker opens: further calls fail at once, and one caller per
`open_seconds` probes the service. Its first success closes the breaker. Every call retried here is safe to repeat.

No vendor module is imported before the first call, so that `keys.py` can name the policy cheaply.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

from keyturn.ports.effects import uniform
from keyturn.ports.keys import KeyRefused, KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.ports.effects import Random

_T = TypeVar("_T")
# Names of gRPC status codes, so that this module does not import grpc.
_TRANSIENT = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "INTERNAL", "ABORTED", "CANCELLED", "UNKNOWN"})
_QUOTA_EXCEEDED = "RESOURCE_EXHAUSTED"
_KEY_REFUSED = frozenset({"NOT_FOUND", "FAILED_PRECONDITION"})
_ACCESS_DENIED = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED"})


class CorruptedResponse(Exception):  # noqa: N818 - it names the response's state and never leaves this package
    """The response does not match the request or its own checksum."""


@dataclass(frozen=True, slots=True)
class KmsRetryPolicy:
    """Time limits, pauses and the breaker's threshold. All numbers are seconds except `failures`."""

    attempt_seconds: float = 3.0
    total_seconds: float = 8.0
    soon_seconds: float = 0.05
    quota_seconds: float = 0.5
    failures: int = 5
    open_seconds: float = 5.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    random: Random = field(default=os.urandom, repr=False)


class CircuitBreaker:
    """Opens after `failures` failed attempts in a row, then admits one attempt per `open_seconds`."""

    def __init__(self, policy: KmsRetryPolicy) -> None:
        self._policy = policy
        self._lock = Lock()
        self._failures = 0
        self._next_at = 0.0

    def admit(self) -> None:
        """Return if an attempt may be made now, raise `KeyUnavailable` if not."""
        with self._lock:
            if self._failures < self._policy.failures:
                return
            now = self._policy.clock()
            if now < self._next_at:
                raise KeyUnavailable("the key service failed too often recently, calls are paused")
            # This caller is the probe. If it never reports back, the next one may probe after the same time.
            self._next_at = now + self._policy.open_seconds

    def record_success(self) -> None:
        """Close the breaker: the service responded."""
        with self._lock:
            self._failures = 0

    def record_failure(self) -> None:
        """Count an attempt that got no usable response."""
        with self._lock:
            self._failures += 1
            self._next_at = self._policy.clock() + self._policy.open_seconds


class RetryingCalls:
    """Makes calls as the table above says. Threads may share it."""

    def __init__(self, policy: KmsRetryPolicy) -> None:
        self._policy = policy
        self._breaker = CircuitBreaker(policy)

    def __call__(self, call: Callable[[float], _T]) -> _T:
        """Return `call(seconds)`, retried where that may help, or raise `KeyRefused` or `KeyUnavailable`."""
        deadline = self._policy.clock() + self._policy.total_seconds
        turn = 0
        while (remaining := deadline - self._policy.clock()) > 0:
            first_pause, answer = self._attempt(call, min(remaining, self._policy.attempt_seconds))
            if first_pause is None:
                return answer[0]
            self._pause(first_pause * 2.0**turn, deadline)
            turn += 1
        raise KeyUnavailable("the key service gave no usable response")

    def once(self, call: Callable[[float], _T]) -> _T:
        """Return `call(seconds)` for a call that must not be repeated, or raise `KeyRefused` or `KeyUnavailable`."""
        first_pause, answer = self._attempt(call, self._policy.total_seconds)
        if first_pause is not None:
            raise KeyUnavailable("the key service did not respond, the call may or may not have taken effect")
        return answer[0]

    def _attempt(self, call: Callable[[float], _T], seconds: float) -> tuple[float | None, list[_T]]:
        """Return None and the answer, or the longest pause before a second attempt and no answer."""
        from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415 - the vendor's client
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - the same

        self._breaker.admit()
        try:
            answer = call(seconds)
        except GoogleAPICallError as error:
            code = error.grpc_status_code
            first_pause = self._pause_after("" if code is None else code.name)
        except CorruptedResponse:
            first_pause = self._policy.soon_seconds
        except GoogleAuthError:
            self._breaker.record_failure()
            raise KeyUnavailable("there are no credentials for the key service") from None
        else:
            self._breaker.record_success()
            return None, [answer]
        self._breaker.record_failure()
        return first_pause, []

    def _pause_after(self, code: str) -> float:
        if code in _TRANSIENT:
            return self._policy.soon_seconds
        if code == _QUOTA_EXCEEDED:
            return self._policy.quota_seconds
        # A definite refusal shows that the service works, so it closes the breaker.
        self._breaker.record_success()
        raise _refusal(code) from None

    def _pause(self, longest: float, deadline: float) -> None:
        # Full jitter: callers that failed together must not retry together. Never sleep past the deadline.
        seconds = uniform(self._policy.random, longest)
        self._policy.sleep(min(seconds, max(0.0, deadline - self._policy.clock())))


def _refusal(code: str) -> Exception:
    # The server's message quotes resource names, so it is not passed on.
    if code in _KEY_REFUSED:
        return KeyRefused("the key version is unknown or disabled")
    if code in _ACCESS_DENIED:
        return KeyUnavailable("the key service denies access to this account")
    return KeyUnavailable("the key service refused the call")
