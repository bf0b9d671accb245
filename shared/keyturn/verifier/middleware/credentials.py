"""Read credentials from requests, and decide on them, in the same way for WSGI, ASGI and FastAPI.

A request carries its credential in one of four ways:

- `Authorization: Bearer` (RFC 6750 §2.1), where the guard has a token checker
- `Authorization: Basic` (RFC 7617)
- the headers `X-Client-Id` and `X-API-Key`
- the fields `client_id` and `client_secret` of a form

A request with two credentials is refused, so that it is never unclear which one counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from keyturn.domain.errors import RateLimited, Refusal
from keyturn.ports.keys import KeyRefused, KeyUnavailable
from keyturn.ports.store import StoreError
from keyturn.proofs.authorization_header import split_authorization
from keyturn.proofs.basic_credentials import parse_basic
from keyturn.verifier.middleware.challenges import REALM, basic_challenge, bearer_challenge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyturn.verifier.tokens import TokenChecker
    from keyturn.verifier.verdict import Verdict
    from keyturn.verifier.verifier import Verifier

FORM: Final = "application/x-www-form-urlencoded"
FORM_LIMIT_BYTES: Final = 16 * 1024
"""How long a form may be to be searched for credentials."""
_MOST_FIELDS = 100


@dataclass(frozen=True, slots=True)
class PresentedCredential:
    """The credential of a request: a client's id and secret, or a token (`bearer`)."""

    client_id: str = ""
    secret: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    otherwise: str = field(default="", repr=False)
    """The second reading of the secret, where HTTP Basic allows two (proofs/basic_credentials.py)."""


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request is refused: the answer's status and headers, and the error code in its body."""

    status: int
    error: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides on requests: by `verifier` on credentials, and by `tokens` on bearer tokens where they are accepted."""

    verifier: Verifier
    tokens: TokenChecker | None = None
    realm: str = REALM
    scopes: Sequence[str] = ()
    """The scopes that a request must have, from its token or from its client's terms. Without them it gets 403."""

    def decide(self, headers: Mapping[str, str], form: bytes = b"", source: str = "") -> Verdict | Denial:
        """Return the verdict on an accepted request, or why it is refused. `headers` are by lower-case name."""
        presented = read_credentials(headers, form)
        if len(presented) != 1:
            return self._unauthorized("")
        try:
            checked = self._check(presented[0], source, headers.get("user-agent", ""))
        except RateLimited as error:
            return Denial(429, "rate_limited", (("Retry-After", str(error.retry_after_seconds)),))
        except (StoreError, KeyUnavailable, KeyRefused, Refusal):
            return Denial(503, "unavailable")
        if checked is None or not checked[0].accepted:
            return self._unauthorized("invalid_token" if presented[0].bearer else "")
        return checked[0] if checked[1].issuperset(self.scopes) else self._insufficient_scope()

    def check(self, headers: Mapping[str, str], *, source: str = "") -> Verdict:
        """Return the verdict on the credential in a request's headers, whatever its scopes. Errors as `Verifier.check`.

        Without a credential, or with more than one, it is the verdict on an empty one.
        """
        presented = read_credentials(headers)
        one = presented[0] if len(presented) == 1 else PresentedCredential()
        checked = self._check(one, source, headers.get("user-agent", ""))
        return checked[0] if checked is not None else self.verifier.check("", "", source=source)

    def _check(self, presented: PresentedCredential, source: str, agent: str) -> tuple[Verdict, frozenset[str]] | None:
        """Return the verdict on a credential, and the scopes that it gives. None for a token that nothing checks."""
        if presented.bearer:
            checked = self.tokens.check(presented.bearer, source=source) if self.tokens is not None else None
            return (checked.verdict, checked.scopes) if checked is not None else None
        callers = self.verifier.callers
        verdict = self.verifier.check(
            presented.client_id,
            presented.secret,
            source=source,
            caller=callers.tag(source, agent) if callers is not None else "",
            otherwise=presented.otherwise,
        )
        return verdict, frozenset(verdict.terms.scopes)

    def _insufficient_scope(self) -> Denial:
        challenge = bearer_challenge(self.realm, "insufficient_scope", self.scopes)
        return Denial(403, "insufficient_scope", (("WWW-Authenticate", challenge),))

    def _unauthorized(self, error: str) -> Denial:
        """Return the refusal. `error` is the code for an invalid token (RFC 6750 §3.1)."""
        challenges = [basic_challenge(self.realm)]
        if self.tokens is not None:
            challenges.append(bearer_challenge(self.realm, error))
        return Denial(401, "unauthorized_request", tuple(("WWW-Authenticate", value) for value in challenges))


def read_credentials(headers: Mapping[str, str], form: bytes = b"") -> list[PresentedCredential]:
    """Return every credential of a request. One that cannot be read counts as an empty one."""
    credentials = [_read_authorization(headers["authorization"])] if "authorization" in headers else []
    if "x-api-key" in headers:
        credentials.append(_read_key(headers.get("x-client-id", ""), headers["x-api-key"]))
    fields = _read_fields(form) if form else {}
    if "client_secret" in fields:
        credentials.append(PresentedCredential(fields.get("client_id", ""), fields["client_secret"]))
    return credentials


def _read_key(client_id: str, key: str) -> PresentedCredential:
    """Return an API key with its client. White space around a value is no part of it (RFC 9110 §5.5).

    The bytes of a key that is not ASCII are UTF-8 as a rule, and some senders use ISO 8859-1, which is how servers
    give them to us (PEP 3333). Both readings are tried.
    """
    client_id, key = client_id.strip(" \t"), key.strip(" \t")
    if key.isascii():
        return PresentedCredential(client_id, key)
    try:
        return PresentedCredential(client_id, key.encode("latin-1").decode("utf-8"), otherwise=key)
    except ValueError:
        return PresentedCredential(client_id, key)


def may_hold_form(method: str, content_type: str, content_length: int) -> bool:
    """Return whether a request's body is a form that is short enough to be searched for credentials."""
    kind = content_type.partition(";")[0].strip().lower()
    return method == "POST" and kind == FORM and 0 < content_length <= FORM_LIMIT_BYTES


def _read_authorization(header: str) -> PresentedCredential:
    scheme, value = split_authorization(header)
    if scheme == "bearer":
        # "-" is never a token: an empty bearer credential must be refused as a token, and not pass for none at all.
        return PresentedCredential(bearer=value or "-")
    basic = parse_basic(header)
    if basic is None:
        return PresentedCredential()
    return PresentedCredential(basic.client_id, basic.secret, otherwise=basic.raw_secret)


def _read_fields(form: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(form.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return dict(pairs) if len(dict(pairs)) == len(pairs) else {}
