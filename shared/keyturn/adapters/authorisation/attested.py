"""The authoriser of attested admins. A proof must be signed by us, current, bound to exactly this act, and unused.

It is verified with a trusted key set from the settings. The evidence of a refusal records which condition failed. The
caller learns only that one did, so that the thief of a proof cannot find out which.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.errors import Unauthenticated
from keyturn.domain.proofs_policy import LIFETIME_SECONDS, Expected, Missing, NotAMember, ProofRefused
from keyturn.ports.authorisation import ATTESTED_ADMIN
from keyturn.ports.store import Create
from keyturn.proofs.errors import ProofError
from keyturn.proofs.jwk import ES256
from keyturn.proofs.jws import read_unverified, verified_claims
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

KEPT = timedelta(seconds=2 * LIFETIME_SECONDS)
"""How long the use of a proof is recorded: longer than any proof is valid, so that none can be used twice."""
_JTI = re.compile(r"[A-Za-z0-9_-]{43}\Z")


@dataclass(frozen=True, slots=True)
class ProofAuthoriser:
    """Implements `Authoriser`. `issuer` is the address of `admin_proof`, `audience` that of the calling function."""

    keys: TrustedKeys
    issuer: str
    audience: str
    rule: Rule
    refusals: Refusals
    name: str = ATTESTED_ADMIN

    def reads(self, proof: str) -> Sequence[str]:
        """Return the path of the record that says whether the proof was used. Empty for an unreadable proof."""
        try:
            jti = read_unverified(proof).claims.get("jti")
        except ProofError:
            return ()
        return (proof_path(jti),) if isinstance(jti, str) and _JTI.match(jti) else ()

    def check(self, proof: str, act: Act, snapshot: Snapshot) -> Sequence[Create]:
        """Return the write that records the proof as used.

        `ProofRefused` or `NotAMember` if a condition fails, `Unavailable` if the keys can't be fetched.
        """
        user = act.user
        try:
            claims = self._claims(proof)
            user = user or str(claims.get("sub"))  # not a member of this group, but identified by our own proof
            return (self._use(claims, act, snapshot),)
        except (ProofRefused, NotAMember) as refusal:
            self.refusals.keep(act, user or None, refusal.missing, snapshot.read_time)
            raise

    def _claims(self, proof: str) -> Mapping[str, object]:
        try:
            key = self.keys.named(read_unverified(proof).header["kid"])
            return verified_claims(proof, key, algorithm=ES256, typ=TYPE)
        except ProofError as error:
            is_readable = isinstance(error, Unauthenticated)
            raise ProofRefused(Missing.SIGNATURE if is_readable else Missing.FORM) from None

    def _use(self, claims: Mapping[str, object], act: Act, snapshot: Snapshot) -> Create:
        lack = self.rule.missing(claims, self._expected(act), snapshot.read_time)
        if lack:
            raise NotAMember if lack is Missing.MEMBERSHIP else ProofRefused(lack)
        jti, nonce = claims.get("jti"), claims.get("nonce")
        # The id is derived from the nonce, so one record marks both as used. The record is a `Create`: of two
        # concurrent requests with the same proof, the store lets only one commit.
        if not isinstance(nonce, str) or jti != jti_of(nonce):
            raise ProofRefused(Missing.FORM)
        path = proof_path(jti_of(nonce))
        if snapshot[path].exists:
            raise ProofRefused(Missing.UNUSED)
        return Create(path, _use_record(act, snapshot.read_time))

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
    """Return the path (database control) of the record that a proof was used."""
    return f"proofs/{jti}"


def _use_record(act: Act, now: datetime) -> dict[str, str | datetime]:
    return {"npub": act.npub, "client_id": act.client_id, "at": now, "expires_at": now + KEPT}
