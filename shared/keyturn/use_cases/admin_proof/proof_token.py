"""The attested admin token (`jwt_proof`): a compact JWS (ES256) that authorises one request (docs/protocol.md §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain.encodings import to_milliseconds
from keyturn.domain.proofs_policy import LIFETIME_SECONDS
from keyturn.ports.keys import KeyRefused
from keyturn.proofs.jws import compact
from keyturn.proofs.statement import jti_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from keyturn.ports.authorisation import Act
    from keyturn.ports.keys import TokenSigner
    from keyturn.ports.store import Data

TYPE = "keyturn-proof+jwt"
"""`typ` of a proof, so that no other token of the same key is accepted as one (RFC 8725 §3.11)."""


@dataclass(frozen=True, slots=True)
class ProofIssuer:
    """Signs proofs. `issuer` is the URL of `admin_proof`, `audience` that of the function that accepts them."""

    signer: TokenSigner
    issuer: str
    audience: str
    lifetime_seconds: int = LIFETIME_SECONDS

    def issue(self, act: Act, user: str, nonce: str, amr: Sequence[str], now: datetime) -> Data:
        """Return a proof for exactly this act, and its expiry (Unix milliseconds)."""
        issued_at = int(now.timestamp())
        expires_at = issued_at + min(self.lifetime_seconds, LIFETIME_SECONDS)
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
            "iat": issued_at,
            "exp": expires_at,
        }
        expires_at_ms = to_milliseconds(now) // 1000 * 1000 + (expires_at - issued_at) * 1000
        return {"jwt_proof": self._sign(claims), "expires_at": expires_at_ms}

    def _sign(self, claims: Mapping[str, object]) -> str:
        try:
            return self._sign_with(self.signer.current(), claims)
        except KeyRefused:
            # The key was disabled a moment ago. Try the new one: the caller's TOTP code is used up by now.
            return self._sign_with(self.signer.current(), claims)

    def _sign_with(self, kid: str, claims: Mapping[str, object]) -> str:
        return compact(claims, kid=kid, typ=TYPE, sign=lambda data: self.signer.sign(kid, data))

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return all public keys with valid proofs, newest first (RFC 7517)."""
        return {"keys": [key.jwk() for key in self.signer.public_keys()]}
