"""OAuth2 as HTTP: client authentication (RFC 6749 §2.3.1), tokens and errors (§5.1, §5.2), introspection (RFC 7662)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

from keyturn.domain.errors import InvalidRequest, RateLimited
from keyturn.domain.model import ClientKind
from keyturn.entry.composition.suite import current
from keyturn.entry.http.problems import UNAVAILABLE
from keyturn.entry.http.routing import body_of, json_answer
from keyturn.verifier.failure_limits import source_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import flask

    from keyturn.verifier.tokens import TokenChecker, Tokens
    from keyturn.verifier.verifier import Verdict, Verifier


_FORM = "application/x-www-form-urlencoded"


class OAuthError(Exception):
    """An error of RFC 6749 §5.2, by its code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def token_answer(request: flask.Request, verifier: Verifier, tokens: Tokens) -> flask.Response:
    """Return the answer of the token endpoint."""
    return _answered(request, lambda form: _token(request, form, verifier, tokens))


def introspection_answer(request: flask.Request, verifier: Verifier, checker: TokenChecker) -> flask.Response:
    """Return the answer of the introspection endpoint (RFC 7662 §2) to a client with a good credential.

    It learns something of tokens whose audience it is a resource server for, and of no others.
    """
    return _answered(request, lambda form: _introspection(request, form, verifier, checker))


def metadata(issuer: str) -> Mapping[str, object]:
    """Return what the authorization server says of itself (RFC 8414 §2)."""
    methods = ["client_secret_basic", "client_secret_post"]
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "introspection_endpoint": f"{issuer}/introspect",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
    }


def _answered(request: flask.Request, answer: Callable[[Mapping[str, str]], Mapping[str, object]]) -> flask.Response:
    answered = _tried(request, answer)
    answered.headers["Pragma"] = "no-cache"  # RFC 6749 §5.1: beside the Cache-Control that every answer has
    return answered


def _tried(request: flask.Request, answer: Callable[[Mapping[str, str]], Mapping[str, object]]) -> flask.Response:
    try:
        return json_answer(answer(_form(request)))
    except OAuthError as error:
        return _error(error.code, request)
    except InvalidRequest as error:  # an oversized body is one, too, with its own status (RFC 9110 §15.5.14)
        return _error("invalid_request", request, error.status)
    except RateLimited as error:
        return _limited(error)
    except UNAVAILABLE:
        return json_answer({"error": "temporarily_unavailable"}, 503)


def _token(request: flask.Request, form: Mapping[str, str], verifier: Verifier, tokens: Tokens) -> Mapping[str, object]:
    if form.get("grant_type") != "client_credentials":
        raise OAuthError("unsupported_grant_type" if form.get("grant_type") else "invalid_request")
    verdict = _authenticated(request, form, verifier)
    if verdict.kind is not ClientKind.OAUTH2_CLIENT_SECRET:
        raise OAuthError("unauthorized_client")
    asked = form.get("scope", "")
    scopes = verdict.terms.granted(asked)
    if scopes is None:
        raise OAuthError("invalid_scope")
    if form.get("resource", tokens.audience_of(verdict)) != tokens.audience_of(verdict):
        raise OAuthError("invalid_target")  # RFC 8707 §2: better none than one for somebody else
    token, seconds = tokens.issue(verdict, scopes)
    said = {"scope": " ".join(scopes)} if scopes and not asked else {}  # RFC 6749 §5.1: where it is not what was asked
    return {"access_token": token, "token_type": "Bearer", "expires_in": seconds, **said}


def _introspection(
    request: flask.Request, form: Mapping[str, str], verifier: Verifier, checker: TokenChecker
) -> Mapping[str, object]:
    caller = _authenticated(request, form, verifier)
    if "token" not in form:
        raise OAuthError("invalid_request")
    checked = checker.check_for(form["token"], caller.terms.introspects)
    if not checked.verdict.accepted:
        return {"active": False}  # RFC 7662 §2.2: and nothing more, whatever the reason
    return {"active": True, "token_type": "Bearer", **checked.claims}


def source(request: flask.Request) -> str:
    """Return whose failure budget a request is charged to: the address that it came from."""
    if current().settings.cloud is None:
        return source_of(request.remote_addr)
    # Google's front end appends the caller's address; whatever stands before it the caller wrote.
    return source_of(request.headers.get("X-Forwarded-For", "").rpartition(",")[2])


def caller(request: flask.Request, source: str) -> str:
    """Return the tag under which telemetry knows whoever asks: a keyed hash of network and product."""
    return current().verification.callers.tag(source, request.environ.get("HTTP_USER_AGENT", ""))


def _authenticated(request: flask.Request, form: Mapping[str, str], verifier: Verifier) -> Verdict:
    asking = source(request)
    client_id, secret, otherwise = _credentials(request, form)
    tag = caller(request, asking)
    verdict = verifier.check(client_id, secret, source=asking, caller=tag, otherwise=otherwise)
    if not verdict.accepted:
        raise OAuthError("invalid_client")
    return verdict


def _form(request: flask.Request) -> Mapping[str, str]:
    kind = request.content_type  # without parameters, as a rule: then they need not be looked for
    if (kind if kind == _FORM else request.mimetype) != _FORM:
        raise OAuthError("invalid_request")
    pairs: list[tuple[str, str]] = []
    try:
        pairs = parse_qsl(body_of(request).decode("utf-8"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        pairs = [("", ""), ("", "")]  # refused below, where no text of the body hangs on the error
    form = dict(pairs)
    if len(form) != len(pairs):  # RFC 6749 §3.2: parameters must not be included more than once
        raise OAuthError("invalid_request")
    return {name: value for name, value in form.items() if value}  # RFC 6749 §3.2: one without a value is omitted


def _credentials(request: flask.Request, form: Mapping[str, str]) -> tuple[str, str, str]:
    """Return id and secret, and the secret as it was sent where that may be meant, too (`_basic`)."""
    header: str | None = request.environ.get("HTTP_AUTHORIZATION")
    if header is None:
        return form.get("client_id", ""), form.get("client_secret", ""), ""
    if "client_secret" in form:  # RFC 6749 §2.3: not more than one method in a request
        raise OAuthError("invalid_request")
    client_id, secret, as_sent = _basic(header)
    if form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request")
    return client_id, secret, as_sent


def _basic(header: str) -> tuple[str, str, str]:
    # RFC 6749 §2.3.1 wants both form-encoded, and most clients send them as they are: for secrets of ours that is the
    # same. An imported one may hold "+" or "%": both readings are tried.
    scheme, _, encoded = header.partition(" ")
    decoded = ""
    try:
        decoded = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        decoded = ""
    client_id, colon, secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise OAuthError("invalid_client")
    meant = unquote_plus(secret)
    return unquote_plus(client_id), meant, secret if secret != meant else ""


def _limited(error: RateLimited) -> flask.Response:
    # RFC 6749 has no code for it; RFC 6585 §4 has the status, and Retry-After says when.
    answer = json_answer({"error": "temporarily_unavailable"}, 429)
    answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def _error(code: str, request: flask.Request, status: int = 400) -> flask.Response:
    status = 401 if code == "invalid_client" else status
    answer = json_answer({"error": code}, status)
    if status == 401 and "Authorization" in request.headers:  # noqa: PLR2004 - RFC 6749 §5.2: answer the scheme that was used
        answer.headers["WWW-Authenticate"] = 'Basic realm="keyturn"'
    return answer
