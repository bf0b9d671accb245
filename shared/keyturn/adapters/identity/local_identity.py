"""User identity on one machine: a test provider whose key is stored beside the data. Production refuses it by name.

Its tokens have the form of ID tokens (OpenID Connect Core §2): ES256, issuer, audience, subject, times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.encodings import identifier
from keyturn.ports.identity import CLOCK_TOLERANCE_SECONDS, IdentityRefused
from keyturn.proofs.errors import ProofError
from keyturn.proofs.jwk import ES256
from keyturn.proofs.jws import compact, read_unverified, verified_claims

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.ports.keys import TokenSigner

NAME = "local_identity"
LIFETIME = timedelta(hours=1)
_TYPE = "local-id+jwt"


@dataclass(frozen=True, slots=True)
class LocalIdentity:
    """Implements `Identity`. `signer` has the provider's key, `issuer` is this service, `audience` its function."""

    signer: TokenSigner = field(repr=False)
    issuer: str
    audience: str
    name: str = NAME

    def issue(self, subject: str, now: datetime) -> str:
        """Return an ID token for any subject. Nothing is checked here, so only the operator may call it."""
        kid, issued_at = self.signer.current(), int(now.timestamp())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": identifier(subject),
            "iat": issued_at,
            "exp": self.ends(now) // 1000,
        }
        return compact(claims, kid=kid, typ=_TYPE, sign=lambda data: self.signer.sign(kid, data))

    def ends(self, now: datetime) -> int:
        """Return when a token issued now expires, in Unix milliseconds. It is a whole second, as in the token."""
        return (int(now.timestamp()) + int(LIFETIME.total_seconds())) * 1000

    def subject(self, token: str, now: datetime) -> str:
        """Return the token's subject. `IdentityRefused` if the token is invalid."""
        claims = self._claims(token)
        issued_at, expires_at, subject = claims.get("iat"), claims.get("exp"), claims.get("sub")
        if (claims.get("iss"), claims.get("aud")) != (self.issuer, self.audience):
            raise IdentityRefused("wrong_issuer_or_audience")
        if type(issued_at) is not int or type(expires_at) is not int:
            raise IdentityRefused("wrong_time")
        if not issued_at - CLOCK_TOLERANCE_SECONDS <= now.timestamp() < expires_at + CLOCK_TOLERANCE_SECONDS:
            raise IdentityRefused("wrong_time")
        if not isinstance(subject, str):
            raise IdentityRefused("no_subject")
        return subject

    def _claims(self, token: str) -> Mapping[str, object]:
        # All enabled keys verify, so that a token stays valid when the key is rolled.
        keys = {key.kid: key.jwk() for key in self.signer.public_keys()}
        try:
            key = keys.get(read_unverified(token).header["kid"])
            return verified_claims(token, key, algorithm=ES256, typ=_TYPE)
        except ProofError as error:
            raise IdentityRefused(error.reason) from None
