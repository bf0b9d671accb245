"""Errors: what a caller did is a `Refusal`, what we did is `Broken`; the two families never mix.

    Exception
    ├── Refusal                     the caller may act on it; mapped outward once, in keyturn.entry
    │   ├── InvalidRequest          400  invalid_request
    │   │   ├── BadMethod           405  invalid_request, with Allow
    │   │   └── TooLarge            413  invalid_request
    │   ├── Unauthenticated         401  unauthorized_request: who are you?
    │   ├── Forbidden               403  unauthorized_request: we know you, and no
    │   ├── NotFound                404  not_found
    │   ├── Conflict                409  conflict
    │   ├── PolicyViolation         422  policy_violation
    │   ├── RateLimited             429  rate_limited, with Retry-After
    │   └── Unavailable             503  unavailable; with Retry-After where that is known
    └── Broken                      500  internal_error: an invariant of ours does not hold

A refusal carries a stable `reason` (a slug) and a public sentence that is a constant of ours: nothing presented is
echoed.
"""

from __future__ import annotations

from typing import ClassVar


class Refusal(Exception):  # noqa: N818 - a refusal is the caller's, no error of ours
    """A command or request that is not carried out; `reason` is stable, `str()` a safe public sentence."""

    retry_after_seconds: int | None = None
    """When to come back, where that is known."""
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
    """The request's form is wrong; sending it again will not help."""

    status = 400
    error = "invalid_request"


class BadMethod(InvalidRequest):
    """There is something at this path, and it does not take that method (RFC 9110 §15.5.6)."""

    status = 405


class TooLarge(InvalidRequest):
    """The body is over the limit."""

    status = 413


class Unauthenticated(Refusal):
    """Nobody could be made out from what was presented."""

    status = 401
    error = "unauthorized_request"


class Forbidden(Refusal):
    """The caller is known and may not do this."""

    status = 403
    error = "unauthorized_request"


class NotFound(Refusal):
    """There is no such thing, or not for this caller."""

    status = 404
    error = "not_found"


class Conflict(Refusal):
    """The present state does not allow it."""

    status = 409
    error = "conflict"


class PolicyViolation(Refusal):
    """The client's policy does not allow it."""

    status = 422
    error = "policy_violation"


class RateLimited(Refusal):
    """Too much in too short a time; `retry_after_seconds` says when to come back."""

    status = 429
    error = "rate_limited"

    def __init__(self, reason: str, sentence: str, *, retry_after_seconds: int) -> None:
        super().__init__(reason, sentence)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(Refusal):
    """Not now: a part that the answer needs cannot be reached, a guess would be worse; or the operator said stop."""

    status = 503
    error = "unavailable"

    def __init__(self, reason: str, sentence: str, *, retry_after_seconds: int | None = None) -> None:
        super().__init__(reason, sentence)
        self.retry_after_seconds = retry_after_seconds


class Broken(Exception):  # noqa: N818 - it names the state, not the exception
    """An invariant of ours does not hold: a bug or a damaged store, never the caller's doing."""
