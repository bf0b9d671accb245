"""Access tokens: signed JWTs (RFC 9068) that name the version of the client's secret that they rest on.

1. `exp` is the latest time until which a token may be accepted. Whether it is still valid depends on its version: when
   the version no longer verifies, all its tokens are invalid, whatever their `exp` (docs/protocol.md §10).
2. No token outlives the end of its version, so no valid token is left when its grace has elapsed.
3. A service that checks tokens needs the public keys and a verifier. It does not call the issuer.
4. The clock may have been set back since a token was issued. So `iat` may be ahead by up to the token's own lifetime,
   and no token is accepted for longer than twice its lifetime.
5. A token says no more than its client's terms say now: narrower scopes or another audience end it at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import base64url_encode
from keyturn.domain.errors import Refusal
from keyturn.proofs.jwk import ALGORITHMS, ES256
from keyturn.proofs.jws import compact, read_unverified, verified_claims
from keyturn.verifier.verdict import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from keyturn.ports.effects import Random
    from keyturn.ports.keys import TokenSigner
    from keyturn.verifier.verifier import Verifier

TYPE: Final = "at+jwt"
"""The header's `typ` (RFC 9068 §2.1): no other token of ours is accepted as an access token."""


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Issues tokens. `issuer` is the address of `client_token`.

    `audience` and `algorithm` are the defaults for clients without their own.
    """

    signers: Mapping[str, TokenSigner]
    """By algorithm."""
    issuer: str
    audience: str
    random: Random
    algorithm: str = ES256

    def audience_of(self, verdict: Verdict) -> str:
        """Return the audience of a client's tokens."""
        return verdict.terms.audience or self.audience

    def issue(self, verdict: Verdict, scopes: Sequence[str] = ()) -> tuple[str, int]:
        """Return a token for an accepted credential, and its lifetime in seconds.

        `scopes` are those that the client's terms grant (`TokenTerms.granted`).
        """
        now = int(verdict.now.timestamp())
        seconds = verdict.access_token_seconds
        if verdict.not_after is not None:
            seconds = min(seconds, max(0, int(verdict.not_after.timestamp()) - now))
        claims: dict[str, object] = {
            "iss": self.issuer,
            "aud": self.audience_of(verdict),
            "sub": verdict.client_id,
            "client_id": verdict.client_id,
            "client_version_id": verdict.version_id,
            "iat": now,
            "exp": now + seconds,
            "jti": base64url_encode(self.random(16)),
        }
        if scopes:  # RFC 9068 §2.2.3
            claims["scope"] = " ".join(scopes)
        return self._sign(claims, verdict.terms.algorithm or self.algorithm), seconds

    def _sign(self, claims: Mapping[str, object], algorithm: str) -> str:
        signer = self.signers[algorithm]
        kid = signer.current()
        return compact(claims, kid=kid, typ=TYPE, sign=lambda data: signer.sign(kid, data), algorithm=algorithm)

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public keys that verify tokens (RFC 7517)."""
        return {"keys": [key.jwk() for signer in self.signers.values() for key in signer.public_keys()]}


@dataclass(frozen=True, slots=True)
class CheckedToken:
    """The result of checking a token: the verdict on its version, and its claims if it was accepted."""

    verdict: Verdict
    claims: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def scopes(self) -> frozenset[str]:
        """The token's scopes, empty for a refused one."""
        return _scopes(self.claims)


@dataclass(frozen=True, slots=True)
class TokenChecker:
    """Checks tokens in any service that runs a verifier.

    `keys` returns the public JWKs, and decides when to fetch them again. `audience` is the resource server's own name.
    A token for another audience is refused.
    """

    verifier: Verifier
    keys: Callable[[], Sequence[Mapping[str, str]]]
    issuer: str
    audience: str

    def check(self, token: str, scopes: Sequence[str] = (), *, source: str = "") -> CheckedToken:
        """Return whether a token is valid here and now, with all of `scopes`. Errors and `source` as `Verifier.check`.

        A token of no version that verifies counts against its source. A token that has expired, or is for another
        audience, does not.
        """
        checked = self.check_for(token, (self.audience,), source=source)
        if not checked.verdict.accepted or checked.scopes.issuperset(scopes):
            return checked
        return _refusal(checked.verdict, Reason.INSUFFICIENT_SCOPE)

    def check_for(self, token: str, audiences: Sequence[str], *, source: str = "") -> CheckedToken:
        """Return whether a token is valid now for one of these audiences; errors as `Verifier.check`."""
        claims = self.signed_claims(token)
        # A version is looked up whatever is wrong with the token, so that all refusals look alike from outside.
        client_id, version_id = (str(claims.get(name, "")) for name in ("client_id", "client_version_id"))
        verdict = self.verifier.check_version(client_id, version_id, source=source)
        if not verdict.accepted or not self._claims_hold(claims, verdict, audiences) or self._is_revoked(claims):
            return _refusal(verdict, Reason.BAD_TOKEN if verdict.accepted or not claims else verdict.reason)
        return CheckedToken(verdict, claims)

    def signed_claims(self, token: str) -> Mapping[str, object]:
        """Return the claims of a token that one of our keys signed, and none for any other."""
        try:
            kid = read_unverified(token).header["kid"]
            key = next((key for key in self.keys() if key.get("kid") == kid), None)
            # The trusted key decides the algorithm, never the token (RFC 8725 §3.1).
            algorithm = key.get("alg", "") if key is not None else ES256
            return verified_claims(token, key, algorithm=algorithm, typ=TYPE) if algorithm in ALGORITHMS else {}
        except Refusal:
            return {}

    def _is_revoked(self, claims: Mapping[str, object]) -> bool:
        revocations = self.verifier.revocations
        return revocations is not None and revocations.is_revoked(str(claims["client_id"]), str(claims.get("jti", "")))

    def _claims_hold(self, claims: Mapping[str, object], verdict: Verdict, audiences: Sequence[str]) -> bool:
        now, issued_at, expires_at = verdict.now.timestamp(), claims.get("iat"), claims.get("exp")
        # `type`, because True is an instance of int.
        if type(issued_at) is not int or type(expires_at) is not int:
            return False
        terms, audience = verdict.terms, claims.get("aud")
        # Once a client has an audience of its own, a token that was issued before, for the default one, is refused.
        is_for_us = claims.get("iss") == self.issuer and audience in audiences and terms.audience in {None, audience}
        is_within_terms = is_for_us and _scopes(claims).issubset(terms.scopes)
        lifetime = expires_at - issued_at
        return is_within_terms and issued_at <= now + lifetime and now < expires_at  # rule 4


def _scopes(claims: Mapping[str, object]) -> frozenset[str]:
    return frozenset(str(claims.get("scope", "")).split())


def _refusal(verdict: Verdict, reason: Reason) -> CheckedToken:
    return CheckedToken(Verdict(accepted=False, now=verdict.now, reason=reason))
