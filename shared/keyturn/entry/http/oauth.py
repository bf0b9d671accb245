"""OAuth2 over HTTP: client authentication (RFC 6749 §2.3.1), tokens (§5.1), errors (§5.2), introspection (RFC 7662)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from keyturn.domain.errors import InvalidRequest, RateLimited
from keyturn.domain.model import ClientKind
from keyturn.entry.composition.suite import current
from keyturn.entry.http.problems import UNAVAILABLE
from keyturn.entry.http.requests import body_of, source
from keyturn.entry.http.responses import json_answer
from keyturn.proofs.basic_credentials import BasicCredentials, parse_basic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import flask

    from keyturn.verifier.tokens import TokenChecker, TokenIssuer
    from keyturn.verifier.verdict import Verdict
    from keyturn.verifier.verifier import Verifier


_FORM = "application/x-www-form-urlencoded"


class OAuthError(Exception):
    """An error of RFC 6749 §5.2, by its code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def token_answer(request: flask.Request, verifier: Verifier, tokens: TokenIssuer) -> flask.Response:
    """Return the response of the token endpoint."""
    return _respond(request, lambda form: _token(request, form, verifier, tokens))


def introspection_answer(request: flask.Request, verifier: Verifier, checker: TokenChecker) -> flask.Response:
    """Return the response of the introspection endpoint (RFC 7662 §2) to an authenticated client.

    Only tokens for an audience that the client serves are active for it.
    """
    return _respond(request, lambda form: _introspection(request, form, verifier, checker))


def metadata(issuer: str) -> Mapping[str, object]:
    """Return the authorization server's metadata (RFC 8414 §2)."""
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


def _respond(request: flask.Request, endpoint: Callable[[Mapping[str, str]], Mapping[str, object]]) -> flask.Response:
    response = _response(request, endpoint)
    response.headers["Pragma"] = "no-cache"  # RFC 6749 §5.1: beside the Cache-Control that every response has
    return response


def _response(request: flask.Request, endpoint: Callable[[Mapping[str, str]], Mapping[str, object]]) -> flask.Response:
    try:
        return json_answer(endpoint(_form(request)))
    except OAuthError as error:
        return _error(error.code, request)
    except InvalidRequest as error:  # its subclass TooLarge has a status of its own (RFC 9110 §15.5.14)
        return _error("invalid_request", request, error.status)
    except RateLimited as error:
        return _limited(error)
    except UNAVAILABLE:
        return json_answer({"error": "temporarily_unavailable"}, 503)


def _token(
    request: flask.Request, form: Mapping[str, str], verifier: Verifier, tokens: TokenIssuer
) -> Mapping[str, object]:
    if form.get("grant_type") != "client_credentials":
        raise OAuthError("unsupported_grant_type" if form.get("grant_type") else "invalid_request")
    verdict = _authenticate(request, form, verifier)
    if verdict.kind is not ClientKind.OAUTH2_CLIENT_SECRET:
        raise OAuthError("unauthorized_client")
    requested_scope = form.get("scope", "")
    scopes = verdict.terms.granted(requested_scope)
    if scopes is None:
        raise OAuthError("invalid_scope")
    if form.get("resource", tokens.audience_of(verdict)) != tokens.audience_of(verdict):
        raise OAuthError("invalid_target")  # RFC 8707 §2: no token rather than one for another resource
    token, seconds = tokens.issue(verdict, scopes)
    # RFC 6749 §5.1: the scope is in the response where it differs from the requested one.
    scope = {"scope": " ".join(scopes)} if scopes and not requested_scope else {}
    return {"access_token": token, "token_type": "Bearer", "expires_in": seconds, **scope}


def _introspection(
    request: flask.Request, form: Mapping[str, str], verifier: Verifier, checker: TokenChecker
) -> Mapping[str, object]:
    caller = _authenticate(request, form, verifier)
    if "token" not in form:
        raise OAuthError("invalid_request")
    result = checker.check_for(form["token"], caller.terms.introspects)
    if not result.verdict.accepted:
        return {"active": False}  # RFC 7662 §2.2: nothing more, whatever the reason
    return {"active": True, "token_type": "Bearer", **result.claims}


def caller_tag(request: flask.Request, source: str) -> str:
    """Return the tag under which telemetry counts a caller: a keyed hash of its source and its User-Agent's product."""
    return current().verification.callers.tag(source, request.environ.get("HTTP_USER_AGENT", ""))


def _authenticate(request: flask.Request, form: Mapping[str, str], verifier: Verifier) -> Verdict:
    origin = source(request)
    credentials = _credentials(request, form)
    verdict = verifier.check(
        credentials.client_id,
        credentials.secret,
        source=origin,
        caller=caller_tag(request, origin),
        otherwise=credentials.raw_secret,
    )
    if not verdict.accepted:
        raise OAuthError("invalid_client")
    return verdict


def _form(request: flask.Request) -> Mapping[str, str]:
    kind = request.content_type  # as a rule without parameters: then `mimetype`, which parses them, is not needed
    if (kind if kind == _FORM else request.mimetype) != _FORM:
        raise OAuthError("invalid_request")
    pairs: list[tuple[str, str]] = []
    try:
        pairs = parse_qsl(body_of(request).decode("utf-8"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        pairs = [
            ("", ""),
            ("", ""),
        ]  # refused below: this error holds text of the body, and must not be chained to ours
    form = dict(pairs)
    if len(form) != len(pairs):  # RFC 6749 §3.2: parameters must not be included more than once
        raise OAuthError("invalid_request")
    return {name: value for name, value in form.items() if value}  # RFC 6749 §3.2: one without a value is omitted


def _credentials(request: flask.Request, form: Mapping[str, str]) -> BasicCredentials:
    header: str | None = request.environ.get("HTTP_AUTHORIZATION")
    if header is None:
        return BasicCredentials(form.get("client_id", ""), form.get("client_secret", ""))
    if "client_secret" in form:  # RFC 6749 §2.3: not more than one method per request
        raise OAuthError("invalid_request")
    basic = parse_basic(header)
    if basic is None:
        raise OAuthError("invalid_client")
    if form.get("client_id", basic.client_id) != basic.client_id:
        raise OAuthError("invalid_request")
    return basic


def _limited(error: RateLimited) -> flask.Response:
    # RFC 6749 has no code for rate limits. RFC 6585 §4 has the status; Retry-After says when to try again.
    answer = json_answer({"error": "temporarily_unavailable"}, 429)
    answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def _error(code: str, request: flask.Request, status: int = 400) -> flask.Response:
    status = 401 if code == "invalid_client" else status
    answer = json_answer({"error": code}, status)
    if status == 401 and "Authorization" in request.headers:  # noqa: PLR2004 - RFC 6749 §5.2: answer the scheme that was used
        answer.headers["WWW-Authenticate"] = 'Basic realm="keyturn"'
    return answer
