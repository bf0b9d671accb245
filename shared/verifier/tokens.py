"""Access tokens: JWTs (RFC 9068), signed with ES256, that say which version of the client's secret they rest on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.domain.encodings import base64url_encode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shared.ports.environment import Random
    from shared.ports.keys import PublicKey, Signer
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
        header = {"alg": "ES256", "kid": kid, "typ": "at+jwt"}
        signed = f"{_encoded(header)}.{_encoded(claims)}"
        return f"{signed}.{base64url_encode(self.signer.sign(kid, signed.encode('ascii')))}"

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the keys that tokens verify with (RFC 7517)."""
        return {"keys": [_jwk(key) for key in self.signer.public_keys()]}


def _encoded(part: Mapping[str, object]) -> str:
    return base64url_encode(json.dumps(part, separators=(",", ":")).encode("utf-8"))


def _jwk(key: PublicKey) -> dict[str, str]:
    return {
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "kid": key.kid,
        "x": base64url_encode(key.x),
        "y": base64url_encode(key.y),
    }
