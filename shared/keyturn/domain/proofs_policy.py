"""The claims that an admin's proof must have: small rules that combine (docs/protocol.md §7).

    AllOf ─┬─ IssuedHere        issuer, audience
           ├─ WithinLifetime    lifetime, not before it was issued, not after it ends
           ├─ BoundToRequest    key, group, client, request
           ├─ HasMethod         one factor, by its name in `amr`
           ├─ AnyOf ─────────── HasMethod, HasMethod
           └─ IsMember          the person with that key in that group

An empty combination refuses. The audit records which claim is missing. The caller learns only that the proof is
refused, so that a forger cannot correct it claim by claim.
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
"""How far in the future `iat` can be: issuer and verifier read the time from two different databases."""


class Missing(StrEnum):
    """What a proof, or the evidence for one, lacks. The values are stored in the audit."""

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
    """The proof, or the evidence for one, is not sufficient. `missing` is for the audit and not part of the message."""

    def __init__(self, *missing: Missing) -> None:
        super().__init__("proof_refused", "The proof does not authorise this request.")
        self.missing = missing


class NotAMember(Forbidden):
    """The proof is good, but its subject is not, or no longer, a member of the group. `missing` is for the audit."""

    missing = (Missing.MEMBERSHIP,)

    def __init__(self) -> None:
        super().__init__("not_authorised", "This admin is in no group that is authorised for the client.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The values that a proof must be bound to."""

    issuer: str
    audience: str
    npub: str
    group: str
    client_id: str
    digest: str
    subject: str
    """The user with that key in that group now, or empty if there is none."""


class Rule(Protocol):
    """One requirement."""

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:
        """Return what the verified claims lack, None if they satisfy the rule."""
        ...


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every rule, in order."""

    rules: tuple[Rule, ...]

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:
        """Return what the first unsatisfied rule reports."""
        # No rule would be satisfied by everything: a misconfiguration must refuse, not accept.
        if not self.rules:
            return Missing.POLICY
        return next((lack for rule in self.rules if (lack := rule.missing(claims, expected, now))), None)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one rule."""

    rules: tuple[Rule, ...]

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:
        """Return what the first rule reports, if no rule is satisfied."""
        lacks = [rule.missing(claims, expected, now) for rule in self.rules]
        return None if None in lacks else next(iter(lacks), Missing.POLICY)


@dataclass(frozen=True, slots=True)
class IssuedHere:
    """Issued by this deployment's `admin_proof`, for the function that checks it."""

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return ISSUER or AUDIENCE."""
        if claims.get("iss") != expected.issuer:
            return Missing.ISSUER
        return None if claims.get("aud") == expected.audience else Missing.AUDIENCE


@dataclass(frozen=True, slots=True)
class WithinLifetime:
    """Within its lifetime, which is not longer than allowed."""

    lifetime_seconds: int = LIFETIME_SECONDS

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return LIFETIME or TIME."""
        issued_at, ends_at = claims.get("iat"), claims.get("exp")
        # Exactly int: JSON's true would pass isinstance, and a float could hide a fraction of a second.
        if type(issued_at) is not int or type(ends_at) is not int:
            return Missing.LIFETIME
        if not 0 < ends_at - issued_at <= self.lifetime_seconds:
            return Missing.LIFETIME
        return None if issued_at - SKEW_SECONDS <= now.timestamp() < ends_at else Missing.TIME


@dataclass(frozen=True, slots=True)
class BoundToRequest:
    """Bound to this signer, this group, this client and exactly this request."""

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return NPUB, GROUP, CLIENT or REQUEST."""
        bindings = (
            ("npub", expected.npub, Missing.NPUB),
            ("mls_group", expected.group, Missing.GROUP),
            ("client_id", expected.client_id, Missing.CLIENT),
            ("request_digest", expected.digest, Missing.REQUEST),
        )
        return next((lack for name, value, lack in bindings if not _same(claims.get(name), value)), None)


@dataclass(frozen=True, slots=True)
class HasMethod:
    """One factor, as `amr` names it (RFC 8176)."""

    amr: str

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return METHOD."""
        methods = claims.get("amr")
        return None if isinstance(methods, list) and self.amr in methods else Missing.METHOD


@dataclass(frozen=True, slots=True)
class IsMember:
    """Issued to the person with that key in that group now."""

    def missing(self, claims: Mapping[str, object], expected: Expected, now: datetime) -> Missing | None:  # noqa: ARG002 - the rules' common form
        """Return MEMBERSHIP."""
        # An empty subject means that the key has no member: it must not match an empty `sub`.
        is_subject = expected.subject and _same(claims.get("sub"), expected.subject)
        return None if is_subject else Missing.MEMBERSHIP


def admin_rule(device_methods: tuple[str, ...]) -> Rule:
    """Return the rule for every admin's request: key possession, TOTP, a device of one of these kinds, membership."""
    devices = AnyOf(tuple(map(HasMethod, device_methods)))
    factors = (HasMethod("pop"), HasMethod("totp"), devices)
    return AllOf((IssuedHere(), WithinLifetime(), BoundToRequest(), *factors, IsMember()))


def _same(claim: object, expected: str) -> bool:
    return isinstance(claim, str) and hmac.compare_digest(claim.encode("utf-8"), expected.encode("utf-8"))
