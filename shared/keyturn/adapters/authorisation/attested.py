"""The authoriser of attested admins: the proof is ours, current, bound to exactly this act, and used up by it.

Verified from local settings with a trusted key set. What was missing goes into the evidence; the caller is told that
something is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.errors import Unauthenticated
from keyturn.domain.proofs_policy import LIFETIME_SECONDS, Expected, Missing, NotAMember, ProofRefused
from keyturn.ports.store import Create
from keyturn.proofs.errors import ProofError
from keyturn.proofs.jws import ES256, read_unverified, verified_claims
from keyturn.proofs.statement import jti_of
from keyturn.use_cases.admin_proof.proof_token import TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from keyturn.adapters.authorisation.jwks import TrustedKeys
    from keyturn.domain.proofs_policy import Rule
    from keyturn.ports.authorisation import Act
    from keyturn.ports.store import Snapshot
    from keyturn.use_cases.refusal_log import Refusals

NAME = "attested_admin"
KEPT = timedelta(seconds=2 * LIFETIME_SECONDS)
"""How long it is known that a proof was used: longer than any proof is good."""
_JTI = re.compile(r"[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class ProofAuthoriser:
    """Implements `Authoriser`; `issuer` is the address of `admin_proof`, `audience` the door that asks."""

    keys: TrustedKeys
    issuer: str
    audience: str
    rule: Rule
    refusals: Refusals
    name: str = NAME

    def reads(self, proof: str) -> Sequence[str]:
        """Return where it stands whether the proof was used, if it is one at all."""
        try:
            jti = read_unverified(proof).claims.get("jti")
        except ProofError:
            return ()
        return (proof_path(jti),) if isinstance(jti, str) and _JTI.match(jti) else ()

    def check(self, proof: str, act: Act, snapshot: Snapshot) -> Sequence[Create]:
        """Return the document that uses the proof up; `ProofRefused`, `Unseated`, or `Unavailable` without keys."""
        known = act.user
        try:
            claims = self._claims(proof)
            known = known or str(claims.get("sub"))  # a stranger in this group whom our own proof names
            return (self._used_up(claims, act, snapshot),)
        except (ProofRefused, NotAMember) as refusal:
            self.refusals.keep(act, known or None, refusal.missing, snapshot.read_time)
            raise

    def _claims(self, proof: str) -> Mapping[str, object]:
        try:
            key = self.keys.named(read_unverified(proof).header["kid"])
            return verified_claims(proof, key, algorithm=ES256, typ=TYPE)
        except ProofError as refused:
            known = isinstance(refused, Unauthenticated)
            raise ProofRefused(Missing.SIGNATURE if known else Missing.FORM) from None

    def _used_up(self, claims: Mapping[str, object], act: Act, snapshot: Snapshot) -> Create:
        lack = self.rule.missing(claims, self._expected(act), snapshot.read_time)
        if lack:
            raise NotAMember if lack is Missing.MEMBERSHIP else ProofRefused(lack)
        jti, nonce = claims.get("jti"), claims.get("nonce")
        # The id follows from the nonce: to use up one is to use up the other.
        if not isinstance(nonce, str) or jti != jti_of(nonce):
            raise ProofRefused(Missing.FORM)
        path = proof_path(jti_of(nonce))
        if snapshot[path].exists:
            raise ProofRefused(Missing.UNUSED)
        return Create(path, _used(act, snapshot.read_time))

    def _expected(self, act: Act) -> Expected:
        return Expected(
            issuer=self.issuer,
            audience=self.audience,
            npub=act.npub,
            group=act.group,
            client_id=act.client_id,
            digest=act.digest,
            subject=act.user,
        )


def proof_path(jti: str) -> str:
    """Return the path (database control) that says that a proof was used."""
    return f"proofs/{jti}"


def _used(act: Act, now: datetime) -> dict[str, str | datetime]:
    return {"npub": act.npub, "client_id": act.client_id, "at": now, "expires_at": now + KEPT}
