"""Credentials as requests carry them, and what a response says about them: the same under WSGI, ASGI and FastAPI.

Taken: `Authorization: Bearer` (RFC 6750 §2.1), `Authorization: Basic` (RFC 7617; id and secret form-encoded, RFC 6749
§2.3.1), `X-Client-Id` with `X-API-Key`, and a form's `client_id` with `client_secret`. A request that carries two of
them is refused: nobody may guess which one counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from keyturn.domain.errors import RateLimited, Refusal
from keyturn.ports.keys import KeyRefused, KeyUnavailable
from keyturn.ports.store import StoreError
from keyturn.proofs.basic_credentials import parse_basic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from keyturn.verifier.tokens import TokenChecker
    from keyturn.verifier.verdict import Verdict
    from keyturn.verifier.verifier import Verifier

FORM: Final = "application/x-www-form-urlencoded"
FORM_LIMIT_BYTES: Final = 16 * 1024
"""How much of a form is read in search of credentials; a longer one has none."""
_MOST_FIELDS = 100


@dataclass(frozen=True, slots=True)
class Presented:
    """What a request carries: a client's id and secret, or a token (`bearer`)."""

    client_id: str = ""
    secret: str = field(default="", repr=False)
    bearer: str = field(default="", repr=False)
    as_sent: str = field(default="", repr=False)
    """The secret as it was sent, where that is another one: most clients don't form-encode it, imported ones may be
    changed by decoding.
    """


@dataclass(frozen=True, slots=True)
class Denied:
    """Why a request goes no further: status, headers of the answer, and the one word in its body."""

    status: int
    error: str
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides on requests: `verifier` for credentials, `tokens` for bearer tokens where they are taken."""

    verifier: Verifier
    tokens: TokenChecker | None = None
    realm: str = "keyturn"
    tag: Callable[[str, str], str] | None = None
    """Makes the tag under which telemetry knows a caller, from source and User-Agent (`Callers.tag`)."""
    scopes: Sequence[str] = ()
    """What a token, or a client that presents its own credential, must be for; who is not gets 403."""

    def decide(self, headers: Mapping[str, str], form: bytes = b"", source: str = "") -> Verdict | Denied:
        """Return the verdict on an accepted request, or why it is denied; `headers` by lower-case name."""
        found = presented(headers, form)
        if len(found) != 1:
            return self._unauthorized("")
        try:
            checked = self._checked(found[0], source, headers.get("user-agent", ""))
        except RateLimited as error:
            return Denied(429, "rate_limited", (("Retry-After", str(error.retry_after_seconds)),))
        except (StoreError, KeyUnavailable, KeyRefused, Refusal):
            return Denied(503, "unavailable")
        if checked is None or not checked[0].accepted:
            return self._unauthorized("invalid_token" if found[0].bearer else "")
        return checked[0] if checked[1].issuperset(self.scopes) else self._insufficient()

    def _checked(self, found: Presented, source: str, agent: str) -> tuple[Verdict, frozenset[str]] | None:
        """Return the verdict on a credential and the scopes that come with it."""
        if found.bearer:
            checked = self.tokens.check(found.bearer, source=source) if self.tokens is not None else None
            return (checked.verdict, checked.scopes) if checked is not None else None
        caller = self.tag(source, agent) if self.tag is not None else ""
        who = (found.client_id, found.secret)
        verdict = self.verifier.check(*who, source=source, caller=caller, otherwise=found.as_sent)
        return verdict, frozenset(verdict.terms.scopes)

    def _insufficient(self) -> Denied:
        said = f'Bearer realm="{self.realm}", error="insufficient_scope", scope="{" ".join(self.scopes)}"'
        return Denied(403, "insufficient_scope", (("WWW-Authenticate", said),))

    def _unauthorized(self, error: str) -> Denied:
        """Return the refusal; `error` says of a token that it is none (RFC 6750 §3.1)."""
        offered = [f'Basic realm="{self.realm}"']
        if self.tokens is not None:
            offered.append(f'Bearer realm="{self.realm}"' + (f', error="{error}"' if error else ""))
        return Denied(401, "unauthorized_request", tuple(("WWW-Authenticate", one) for one in offered))


def presented(headers: Mapping[str, str], form: bytes = b"") -> list[Presented]:
    """Return every credential that a request carries; what can't be read counts as an empty one."""
    found = [_authorization(headers["authorization"])] if "authorization" in headers else []
    if "x-api-key" in headers:
        found.append(Presented(headers.get("x-client-id", ""), headers["x-api-key"]))
    fields = _fields(form)
    if "client_secret" in fields:
        found.append(Presented(fields.get("client_id", ""), fields["client_secret"]))
    return found


def takes_form(method: str, content_type: str, content_length: int) -> bool:
    """Return whether credentials may stand in a request's body."""
    kind = content_type.partition(";")[0].strip().lower()
    return method == "POST" and kind == FORM and 0 < content_length <= FORM_LIMIT_BYTES


def _authorization(header: str) -> Presented:
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return Presented(bearer=value.strip() or "-")
    basic = parse_basic(header)
    return Presented(basic.client_id, basic.secret, as_sent=basic.raw_secret) if basic else Presented()


def _fields(form: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(form.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return dict(pairs) if len(dict(pairs)) == len(pairs) else {}
