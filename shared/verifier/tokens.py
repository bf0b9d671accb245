"""Access tokens: JWTs (RFC 9068), signed with ES256, that say which version of the client's secret they rest on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.domain.encodings import base64url_encode
from shared.proofs.jws import compact, es256_jwk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.ports.environment import Random
    from shared.ports.keys import Signer
    from shared.verifier.verifier import Verdict


@dataclass(frozen=True, slots=True)
class Tokens:
    """Issues tokens; `issuer` is the address of the token door, `audience` whom they are for."""

    signer: Signer
    issuer: str
    audience: str
    random: Random

    def issue(self, verdict: Verdict) -> tuple[str, int]:
        """Return a token for an accepted credential, and its lifetime in seconds; none outlives its version."""
        now = int(verdict.now.timestamp())
        seconds = verdict.access_token_seconds
        if verdict.not_after is not None:
            seconds = min(seconds, max(0, int(verdict.not_after.timestamp()) - now))
        claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": verdict.client_id,
            "client_id": verdict.client_id,
            "client_version_id": verdict.version_id,
            "iat": now,
            "exp": now + seconds,
            "jti": base64url_encode(self.random(16)),
        }
        return self._signed(claims), seconds

    def _signed(self, claims: Mapping[str, object]) -> str:
        kid = self.signer.current()
        return compact(claims, kid=kid, typ="at+jwt", sign=lambda data: self.signer.sign(kid, data))

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the keys that tokens verify with (RFC 7517)."""
        return {"keys": [es256_jwk(key.kid, key.x, key.y) for key in self.signer.public_keys()]}
