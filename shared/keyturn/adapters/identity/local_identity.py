"""Who, on one machine: a test authority whose key lies beside the data. Production refuses it by its name.

Its tokens have the form of a provider's ID tokens (OpenID Connect Core §2): ES256, issuer, audience, subject, times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.encodings import identifier
from keyturn.ports.identity import IdentityRefused
from keyturn.proofs.errors import ProofError
from keyturn.proofs.jws import ES256, compact, es256_jwk, read_unverified, verified_claims

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.ports.keys import TokenSigner

NAME = "local_identity"
LIFETIME = timedelta(hours=1)
SKEW_SECONDS = 5
_TYPE = "local-id+jwt"


@dataclass(frozen=True, slots=True)
class LocalIdentity:
    """Implements `Identity`; `signer` is the authority's own key, `issuer` this service, `audience` its door."""

    signer: TokenSigner = field(repr=False)
    issuer: str
    audience: str
    name: str = NAME

    def issue(self, subject: str, now: datetime) -> str:
        """Return an ID token: the authority believes whoever asks it, so only the machine's operator may."""
        kid, issued = self.signer.current(), int(now.timestamp())
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": identifier(subject),
            "iat": issued,
            "exp": self.ends(now) // 1000,
        }
        return compact(claims, kid=kid, typ=_TYPE, sign=lambda data: self.signer.sign(kid, data))

    def ends(self, now: datetime) -> int:
        """Return when a token of now ends, in Unix milliseconds: a whole second."""
        return (int(now.timestamp()) + int(LIFETIME.total_seconds())) * 1000

    def subject(self, token: str, now: datetime) -> str:
        """Return whom the token speaks for; `IdentityRefused` otherwise."""
        claims = self._claims(token)
        issued, ends, subject = claims.get("iat"), claims.get("exp"), claims.get("sub")
        if (claims.get("iss"), claims.get("aud")) != (self.issuer, self.audience):
            raise IdentityRefused("wrong_issuer_or_audience")
        if type(issued) is not int or type(ends) is not int or not issued - SKEW_SECONDS <= now.timestamp() < ends:
            raise IdentityRefused("wrong_time")
        if not isinstance(subject, str):
            raise IdentityRefused("no_subject")
        return subject

    def _claims(self, token: str) -> Mapping[str, object]:
        keys = {key.kid: es256_jwk(key.kid, key.x, key.y) for key in self.signer.public_keys()}
        try:
            key = keys.get(read_unverified(token).header["kid"])
            return verified_claims(token, key, algorithm=ES256, typ=_TYPE)
        except ProofError as refused:
            raise IdentityRefused(refused.reason) from None
