"""Verdicts: what came of a check. Inside they say why; outside a refusal says nothing but that."""

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
    """Why; for whoever runs the verifier, never for its callers (protocol.md §10: refusals are alike)."""

    ACCEPTED = "accepted"
    UNKNOWN_CLIENT = "unknown_client"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    NO_MATCH = "no_match"
    """The value is no live secret of the client: wrong, retired, or not started yet."""
    MAC_REFUSED = "mac_refused"
    """The receipt key matched and the MAC did not: the stored version is damaged or forged."""
    BAD_TOKEN = "bad_token"  # noqa: S105 - a reason's name
    """A token that is not ours, not for us, not of now, beyond its client's terms, or of no version that verifies."""
    INSUFFICIENT_SCOPE = "insufficient_scope"
    """A good token that lacks a scope which the checking service wants (RFC 6750 §3.1)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a check. `now` is store time, at most a second old; the rest is empty for a refusal.

    `not_after` is None for a version without an end; for one in grace `deprecated_at` is when its successor came.
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
    """What the client's access tokens say, and whose it may ask about."""
    in_transition: bool = False
    """Of a refusal: whether the client has a version in grace, so that somebody may have changed over wrongly."""


@functools.lru_cache(maxsize=1024)
def one_of_equal(terms: TokenTerms) -> TokenTerms:
    """Return one object for all equal terms: they are kept with verdicts, by the hundred thousand."""
    return terms


class Observer(Protocol):
    """Is told of each check of a credential, in the caller's thread and in its way: it returns at once, never raises.

    Whatever takes time it does elsewhere. `secret` is what was presented, right or wrong: it is kept nowhere. `caller`
    is a privacy-safe tag of who asked, empty where nobody made one.
    """

    def __call__(self, verdict: Verdict, client_id: str, secret: str, caller: str) -> None:
        """Take note."""
        ...
