"""What a proof must say to be good for an act: small rules that combine, and say what is missing (protocol.md §7).

    AllOf ─┬─ Issued      issuer, audience
           ├─ Current     lifetime, not before it was issued, not after it ends
           ├─ Bound       key, group, client, request
           ├─ Method      one factor, by its name in `amr`
           └─ AnyOf ──── Method, Method

A rule that combines none refuses. What is missing is for the evidence; the caller is told only that something is.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from keyturn.domain.errors import Forbidden, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

LIFETIME_SECONDS = 300
SKEW_SECONDS = 5
"""How far a proof's issue may seem to lie ahead: the two doors read the time from two databases."""


class Missing(StrEnum):
    """What a proof, or the evidence for one, lacks."""

    FORM = "form"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    TIME = "time"
    LIFETIME = "lifetime"
    NPUB = "npub"
    GROUP = "group"
    CLIENT = "client"
    REQUEST = "request"
    METHOD = "method"
    UNUSED = "unused"
    POLICY = "policy"
    IDENTITY = "identity"
    STANDING = "standing"
    DEVICE = "device"
    PRESENCE = "presence"
    MEMBERSHIP = "membership"


class ProofRefused(Unauthenticated):
    """The proof, or the evidence for one, is not good; `missing` says to the audit what it lacks, `str()` does not."""

    def __init__(self, *missing: Missing) -> None:
        super().__init__("proof_refused", "What was presented does not prove what this request needs.")
        self.missing = missing


class Unseated(Forbidden):
    """The proof is good, and whoever it proves has no seat here (any more); `missing` is for the audit."""

    missing = (Missing.MEMBERSHIP,)

    def __init__(self) -> None:
        super().__init__("not_authorised", "This admin is in no group that is authorised for the client.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a proof must be bound to."""

    issuer: str
    audience: str
    npub: str
    group: str
    client_id: str
    digest: str
    subject: str
    """Who has that key in that group now; empty where nobody has."""


class Rule(Protocol):
    """One requirement."""

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:
        """Return what verified claims lack, None if they satisfy the rule."""
        ...


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every rule, in order."""

    rules: tuple[Rule, ...]

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:
        """Return what the first rule that is not satisfied misses."""
        if not self.rules:
            return Missing.POLICY
        return next((lack for rule in self.rules if (lack := rule.missing(claims, expected, now))), None)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one rule."""

    rules: tuple[Rule, ...]

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:
        """Return what the first rule misses if none is satisfied."""
        lacks = [rule.missing(claims, expected, now) for rule in self.rules]
        return None if None in lacks else next(iter(lacks), Missing.POLICY)


@dataclass(frozen=True, slots=True)
class Issued:
    """By our own `admin_proof`, for the door that asks."""

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return ISSUER or AUDIENCE."""
        if claims.get("iss") != expected.issuer:
            return Missing.ISSUER
        return None if claims.get("aud") == expected.audience else Missing.AUDIENCE


@dataclass(frozen=True, slots=True)
class Current:
    """Within its lifetime, and that no longer than allowed."""

    lifetime_seconds: int = LIFETIME_SECONDS

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return LIFETIME or TIME."""
        issued, ends = claims.get("iat"), claims.get("exp")
        if type(issued) is not int or type(ends) is not int or not 0 < ends - issued <= self.lifetime_seconds:
            return Missing.LIFETIME
        return None if issued - SKEW_SECONDS <= now.timestamp() < ends else Missing.TIME


@dataclass(frozen=True, slots=True)
class Bound:
    """To this signer, this group, this client and this very request."""

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return NPUB, GROUP, CLIENT or REQUEST."""
        wanted = (
            ("npub", expected.npub, Missing.NPUB),
            ("mls_group", expected.group, Missing.GROUP),
            ("client_id", expected.client_id, Missing.CLIENT),
            ("request_digest", expected.digest, Missing.REQUEST),
        )
        return next((lack for name, value, lack in wanted if not _same(claims.get(name), value)), None)


@dataclass(frozen=True, slots=True)
class Method:
    """One factor, as `amr` names it (RFC 8176)."""

    amr: str

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return METHOD."""
        methods = claims.get("amr")
        return None if isinstance(methods, list) and self.amr in methods else Missing.METHOD


@dataclass(frozen=True, slots=True)
class Seated:
    """By the very person who has that key in that group now."""

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return MEMBERSHIP."""
        held = expected.subject and _same(claims.get("sub"), expected.subject)
        return None if held else Missing.MEMBERSHIP


def admin_rule(device_methods: tuple[str, ...]) -> Rule:
    """Return what every admin's act needs: presence, possession, a device of one of these methods, and a seat."""
    devices = AnyOf(tuple(map(Method, device_methods)))
    return AllOf((Issued(), Current(), Bound(), Method("pop"), Method("totp"), devices, Seated()))


def _same(claimed: object, expected: str) -> bool:
    return isinstance(claimed, str) and hmac.compare_digest(claimed.encode("utf-8"), expected.encode("utf-8"))
