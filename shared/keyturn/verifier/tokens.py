"""Access tokens: JWTs (RFC 9068), signed with ES256, that say which version of the client's secret they rest on.

1. A token says for how long it may be believed at most; whether it still is, its version says: once that no longer
   verifies, all its tokens are dead, whatever their `exp` (protocol.md §4).
2. No token outlives its version's end, so a version that is retired because its grace elapsed leaves no token behind.
3. Who checks a token needs the public keys and what a verifier knows of the clients, and no word with who issued it.
4. A token says no more than its client's terms do now: narrowed scopes, or another audience, end it at once, too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import base64url_encode
from keyturn.domain.errors import Refusal
from keyturn.proofs.jws import ES256, compact, es256_jwk, read_unverified, verified_claims
from keyturn.verifier.verdict import Reason, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from keyturn.ports.effects import Random
    from keyturn.ports.keys import TokenSigner
    from keyturn.verifier.verifier import Verifier

TYPE: Final = "at+jwt"
"""The header's `typ` (RFC 9068 §2.1): no other token of ours is taken for one of these."""
TOLERANCE_SECONDS: Final = 2
"""How far ahead of the store's clock `iat` may be: what a window's edge tolerates (protocol.md §6)."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """Issues tokens; `issuer` is the address of the token door, `audience` whom they are for unless a client says."""

    signer: TokenSigner
    issuer: str
    audience: str
    random: Random

    def audience_of(self, verdict: Verdict) -> str:
        """Return whom a client's tokens are for."""
        return verdict.terms.audience or self.audience

    def issue(self, verdict: Verdict, scopes: Sequence[str] = ()) -> tuple[str, int]:
        """Return a token for an accepted credential, and its lifetime in seconds; none outlives its version.

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
        return self._signed(claims), seconds

    def _signed(self, claims: Mapping[str, object]) -> str:
        kid = self.signer.current()
        return compact(claims, kid=kid, typ=TYPE, sign=lambda data: self.signer.sign(kid, data))

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the keys that tokens verify with (RFC 7517)."""
        return {"keys": [es256_jwk(key.kid, key.x, key.y) for key in self.signer.public_keys()]}


@dataclass(frozen=True, slots=True)
class CheckedToken:
    """What came of checking a token: the verdict on the version that it rests on, and its claims where accepted."""

    verdict: Verdict
    claims: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def scopes(self) -> frozenset[str]:
        """What the token is for; empty for one that is refused."""
        return _scopes(self.claims)


@dataclass(frozen=True, slots=True)
class TokenChecker:
    """Checks tokens wherever a verifier runs: `keys` gives the public JWKs, fetched once and again when it likes.

    `audience` is the resource server's own name: a token for another one is none here.
    """

    verifier: Verifier
    keys: Callable[[], Sequence[Mapping[str, str]]]
    issuer: str
    audience: str

    def check(self, token: str, scopes: Sequence[str] = (), *, source: str = "") -> CheckedToken:
        """Return whether a token is good here, now and for all of `scopes`; errors, and `source`, as `Verifier.check`.

        What is no token of a version that verifies is charged to its source; one that has ended, or is for others, not.
        """
        checked = self.check_for(token, (self.audience,), source=source)
        if not checked.verdict.accepted or checked.scopes.issuperset(scopes):
            return checked
        return _refused(checked.verdict, Reason.INSUFFICIENT_SCOPE)

    def check_for(self, token: str, audiences: Sequence[str], *, source: str = "") -> CheckedToken:
        """Return whether a token is good now for one of these audiences; errors as `Verifier.check`."""
        claims = self._signed_claims(token)
        # Whatever is wrong with a token, a version is looked up: a refusal looks the same from outside.
        named = [str(claims.get(name, "")) for name in ("client_id", "client_version_id")]
        verdict = self.verifier.check_version(named[0], named[1], source=source)
        if not verdict.accepted or not self._holds(claims, verdict, audiences):
            return _refused(verdict, Reason.BAD_TOKEN if verdict.accepted or not claims else verdict.reason)
        return CheckedToken(verdict, claims)

    def _signed_claims(self, token: str) -> Mapping[str, object]:
        try:
            kid = read_unverified(token).header["kid"]
            key = next((key for key in self.keys() if key.get("kid") == kid), None)
            return verified_claims(token, key, algorithm=ES256, typ=TYPE)
        except Refusal:
            return {}

    def _holds(self, claims: Mapping[str, object], verdict: Verdict, audiences: Sequence[str]) -> bool:
        now, begins, ends = verdict.now.timestamp(), claims.get("iat"), claims.get("exp")
        if type(begins) is not int or type(ends) is not int:
            return False
        terms, audience = verdict.terms, claims.get("aud")
        # Terms name an audience from the first on that was ever set: a token of before is for another one.
        named = claims.get("iss") == self.issuer and audience in audiences and terms.audience in {None, audience}
        within = named and _scopes(claims).issubset(terms.scopes)
        return within and begins <= now + TOLERANCE_SECONDS and now < ends


def _scopes(claims: Mapping[str, object]) -> frozenset[str]:
    return frozenset(str(claims.get("scope", "")).split())


def _refused(verdict: Verdict, reason: Reason) -> CheckedToken:
    return CheckedToken(Verdict(accepted=False, now=verdict.now, reason=reason))
