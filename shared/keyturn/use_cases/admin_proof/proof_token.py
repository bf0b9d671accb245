"""The attested admin token, `jwt_proof`: a compact JWS (ES256) that is good for one request (protocol.md §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain.encodings import to_milliseconds
from keyturn.domain.proofs_policy import LIFETIME_SECONDS
from keyturn.ports.keys import KeyRefused
from keyturn.proofs.jws import compact, es256_jwk
from keyturn.proofs.statement import jti_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from keyturn.ports.authorisation import Act
    from keyturn.ports.keys import TokenSigner
    from keyturn.ports.store import Data

TYPE = "keyturn-proof+jwt"
"""`typ` of a proof: no other token that the same key signs can stand for one (RFC 8725 §3.11)."""


@dataclass(frozen=True, slots=True)
class ProofIssuer:
    """Signs proofs; `issuer` is the address of `admin_proof`, `audience` that of the door that they are for."""

    signer: TokenSigner
    issuer: str
    audience: str
    lifetime_seconds: int = LIFETIME_SECONDS

    def issue(self, act: Act, user: str, nonce: str, amr: Sequence[str], now: datetime) -> Data:
        """Return a proof for exactly this act, and when it ends."""
        issued = int(now.timestamp())
        ends = issued + min(self.lifetime_seconds, LIFETIME_SECONDS)
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": user,
            "npub": act.npub,
            "mls_group": act.group,
            "client_id": act.client_id,
            "request_digest": act.digest,
            "amr": list(amr),
            "nonce": nonce,
            "jti": jti_of(nonce),
            "iat": issued,
            "exp": ends,
        }
        expires_at = to_milliseconds(now) // 1000 * 1000 + (ends - issued) * 1000
        return {"jwt_proof": self._signed(claims), "expires_at": expires_at}

    def _signed(self, claims: Mapping[str, object]) -> str:
        try:
            return self._signed_by(self.signer.current(), claims)
        except KeyRefused:  # disabled since it was the current one; whoever asks has used up a code by now
            return self._signed_by(self.signer.current(), claims)

    def _signed_by(self, kid: str, claims: Mapping[str, object]) -> str:
        return compact(claims, kid=kid, typ=TYPE, sign=lambda data: self.signer.sign(kid, data))

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return every key whose proofs are still good, newest first (RFC 7517)."""
        return {"keys": [es256_jwk(key.kid, key.x, key.y) for key in self.signer.public_keys()]}
