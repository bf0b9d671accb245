"""Verdicts: the result of a check. They carry the reason for the operator's logs; callers never get a reason."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from keyturn.domain.token_terms import DEFAULT_TERMS, TokenTerms

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.domain.model import ClientKind


class Reason(StrEnum):
    """Why a check was accepted or refused. It is not for callers: all refusals look alike (docs/protocol.md §10)."""

    ACCEPTED = "accepted"
    UNKNOWN_CLIENT = "unknown_client"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    EXPIRED = "expired"
    """The client's `valid_until` has passed."""
    WRONG_SOURCE = "wrong_source"
    """The credential is right, and the request comes from outside of the client's address ranges."""
    NO_MATCH = "no_match"
    """The value is no live secret of the client: it is wrong, retired, or not valid yet."""
    MAC_REFUSED = "mac_refused"
    """The receipt key matched and the MAC did not: the stored version is damaged or forged."""
    BAD_TOKEN = "bad_token"  # noqa: S105 - a reason's name
    """The token is not ours, not for this audience, not valid now, or exceeds its client's terms."""
    INSUFFICIENT_SCOPE = "insufficient_scope"
    """The token is valid and lacks a scope that the checking service requires (RFC 6750 §3.1)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a check. `now` is store time, at most a second old. A refusal fills in no other field.

    `not_after` is the end of the version or of the client, whichever is earlier, and None without one. For a version in
    grace, `deprecated_at` is when its successor was promoted.
    """

    accepted: bool
    now: datetime
    client_id: str = ""
    kind: ClientKind | None = None
    version_id: str = ""
    state: str = ""
    not_after: datetime | None = None
    access_token_seconds: int = 0
    reason: Reason = Reason.NO_MATCH
    deprecated_at: datetime | None = None
    terms: TokenTerms = DEFAULT_TERMS
    """The audience and scopes of the client's access tokens, and the audiences that it may introspect."""
    sources: tuple[str, ...] = ()
    """The client's address ranges, of which the request's source is in one. Empty for all."""
    in_transition: bool = False
    """Only in a refusal: whether the client has a version in grace, so that a faulty cutover may be the cause."""


@functools.lru_cache(maxsize=1024)
def intern_terms(terms: TokenTerms) -> TokenTerms:
    """Return one shared object for all equal terms, because a cache may hold 200,000 verdicts."""
    return terms


@functools.lru_cache(maxsize=1024)
def intern_sources(sources: tuple[str, ...]) -> tuple[str, ...]:
    """Return one shared object for all equal address ranges, for the same reason."""
    return sources


class Observer(Protocol):
    """Receives every check of a credential. It runs in the caller's thread, so it returns at once and never raises.

    `secret` is the presented value, right or wrong; an observer must not store it. `caller` is the caller's tag
    (callers.py), empty if the verifier has none.
    """

    def __call__(self, verdict: Verdict, client_id: str, secret: str, caller: str) -> None:
        """Note one check."""
        ...
