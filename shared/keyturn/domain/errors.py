"""Errors: a `Refusal` is caused by the caller, `Broken` by this package or a damaged store. The two never mix.

    Exception
    ├── Refusal                     the caller may act on it (mapped to HTTP in keyturn.entry)
    │   ├── InvalidRequest          400  invalid_request
    │   │   ├── BadMethod           405  invalid_request, with Allow
    │   │   └── TooLarge            413  invalid_request
    │   ├── Unauthenticated         401  unauthorized_request: the caller is unknown
    │   ├── Forbidden               403  unauthorized_request: the caller is known
    │   ├── NotFound                404  not_found
    │   ├── Conflict                409  conflict
    │   ├── PolicyViolation         422  policy_violation
    │   ├── RateLimited             429  rate_limited, with Retry-After
    │   └── Unavailable             503  unavailable, with Retry-After if known
    └── Broken                      500  internal_error: an invariant does not hold

A refusal has a stable `reason` (a slug) and a public sentence. The sentence is a constant in this code: no part of the
request is repeated in it, because a request can contain a secret.
"""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):  # noqa: N818 - a refusal is no error of this package
    """A command or request is refused. `reason` is stable, and `str()` is a public sentence."""

    retry_after_seconds: int | None = None
    """After how many seconds to retry, if known."""
    status: ClassVar[int]
    error: ClassVar[str]

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason

    @property
    def sentence(self) -> str:
        """The public sentence."""
        return str(self.args[0])


class InvalidRequest(Refusal):
    """The request is malformed. Sending it again will not help."""

    status = 400
    error = "invalid_request"


class BadMethod(InvalidRequest):
    """The path exists and does not support this method (RFC 9110 §15.5.6)."""

    status = 405


class TooLarge(InvalidRequest):
    """The body is larger than the limit."""

    status = 413


class Unauthenticated(Refusal):
    """The request does not authenticate its caller."""

    status = 401
    error = "unauthorized_request"


class Forbidden(Refusal):
    """The caller is known and is not allowed to do this."""

    status = 403
    error = "unauthorized_request"


class NotFound(Refusal):
    """The object does not exist, or this caller is not allowed to know of it."""

    status = 404
    error = "not_found"


class Conflict(Refusal):
    """The current state does not allow this."""

    status = 409
    error = "conflict"


class PolicyViolation(Refusal):
    """The client's policy does not allow this."""

    status = 422
    error = "policy_violation"


class RateLimited(Refusal):
    """Too many requests in a period. `retry_after_seconds` says when to retry."""

    status = 429
    error = "rate_limited"

    def __init__(self, reason: str, sentence: str, *, retry_after_seconds: int) -> None:
        super().__init__(reason, sentence)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(Refusal):
    """Not possible now: a needed backend cannot be reached, or the operator's stop is in force."""

    status = 503
    error = "unavailable"

    def __init__(self, reason: str, sentence: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(reason, sentence)
        self.retry_after_seconds = retry_after_seconds


class Broken(Exception):  # noqa: N818 - it names the state, not the exception
    """An invariant of this package does not hold: a bug or a damaged store, never the caller's mistake."""
