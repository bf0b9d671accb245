"""OAuth2 over HTTP: tokens (RFC 6749), introspection (RFC 7662), revocation (RFC 7009), and metadata (RFC 8414)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from keyturn.domain.errors import InvalidRequest, RateLimited
from keyturn.domain.model import ClientKind
from keyturn.entry.http.client_authentication import RESOURCE, authenticate, read_form
from keyturn.entry.http.oauth_errors import OAuthError, bad_form, error_answer, limited, unavailable
from keyturn.entry.http.problems import UNAVAILABLE
from keyturn.entry.http.responses import json_answer
from keyturn.verifier.middleware.response_headers import deprecation_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import flask

    from keyturn.verifier.tokens import TokenChecker, TokenIssuer
    from keyturn.verifier.verifier import Verifier


def token_answer(request: flask.Request, verifier: Verifier, tokens: TokenIssuer) -> flask.Response:
    """Return the response of the token endpoint."""
    return _respond(request, lambda form: _token(request, form, verifier, tokens))


def introspection_answer(request: flask.Request, verifier: Verifier, checker: TokenChecker) -> flask.Response:
    """Return the response of the introspection endpoint (RFC 7662 §2) to an authenticated client.

    Only tokens for an audience that the client serves are active for it.
    """
    return _respond(request, lambda form: _introspection(request, form, verifier, checker))


def revocation_answer(request: flask.Request, verifier: Verifier, checker: TokenChecker) -> flask.Response:
    """Return the response of the revocation endpoint (RFC 7009 §2) to an authenticated client."""
    return _respond(request, lambda form: _revocation(request, form, verifier, checker))


def metadata(issuer: str) -> Mapping[str, object]:
    """Return the authorization server's metadata (RFC 8414 §2)."""
    methods = ["client_secret_basic", "client_secret_post"]
    # Without `response_types_supported`: it would be empty, and an empty list must be omitted (§3.2).
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "introspection_endpoint": f"{issuer}/introspect",
        "revocation_endpoint": f"{issuer}/revoke",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
    }


def _respond(request: flask.Request, endpoint: Callable[[Mapping[str, str]], flask.Response]) -> flask.Response:
    response = _response(request, endpoint)
    response.headers["Pragma"] = "no-cache"  # RFC 6749 §5.1: beside the Cache-Control that every response has
    return response


def _response(request: flask.Request, endpoint: Callable[[Mapping[str, str]], flask.Response]) -> flask.Response:
    try:
        return endpoint(read_form(request))
    except OAuthError as error:
        return error_answer(error)
    except InvalidRequest as error:  # its subclass TooLarge has a status of its own (RFC 9110 §15.5.14)
        return error_answer(bad_form(error.sentence), error.status)
    except RateLimited as error:
        return limited(error)
    except UNAVAILABLE:
        return unavailable()


def _token(request: flask.Request, form: Mapping[str, str], verifier: Verifier, tokens: TokenIssuer) -> flask.Response:
    grant = form.get("grant_type")
    if grant is None:
        raise bad_form("The parameter grant_type is missing.")
    if grant != "client_credentials":
        raise OAuthError("unsupported_grant_type", "The only grant here is client_credentials.")
    verdict = authenticate(request, form, verifier)
    if verdict.kind is not ClientKind.OAUTH2_CLIENT_SECRET:
        raise OAuthError("unauthorized_client", "This client presents an API key, and gets no tokens.")
    requested_scope = form.get("scope", "")
    scopes = verdict.terms.granted(requested_scope)
    if scopes is None:
        raise OAuthError("invalid_scope", "The client may not have every scope that it asks for.")
    if RESOURCE in form and {*form[RESOURCE].split(" ")} != {tokens.audience_of(verdict)}:
        # RFC 8707 §2: no token rather than one for another resource
        raise OAuthError("invalid_target", "The resource is not the audience of this client's tokens.")
    token, seconds = tokens.issue(verdict, scopes)
    # RFC 6749 §5.1: the scope is in the response where it differs from the requested one.
    scope = {"scope": " ".join(scopes)} if scopes and not requested_scope.split() else {}
    answer = json_answer({"access_token": token, "token_type": "Bearer", "expires_in": seconds, **scope})
    answer.headers.extend(deprecation_headers(verdict))
    return answer


def _introspection(
    request: flask.Request, form: Mapping[str, str], verifier: Verifier, checker: TokenChecker
) -> flask.Response:
    caller = authenticate(request, form, verifier)
    if "token" not in form:
        raise bad_form("The parameter token is missing.")
    result = checker.check_for(form["token"], caller.terms.introspects)
    if not result.verdict.accepted:
        return json_answer({"active": False})  # RFC 7662 §2.2: nothing more, whatever the reason
    return json_answer({"active": True, "token_type": "Bearer", **result.claims})


def _revocation(
    request: flask.Request, form: Mapping[str, str], verifier: Verifier, checker: TokenChecker
) -> flask.Response:
    caller = authenticate(request, form, verifier)
    if "token" not in form:
        raise bad_form("The parameter token is missing.")
    claims = checker.signed_claims(form["token"])
    expires_at = claims.get("exp")
    if claims.get("client_id", caller.client_id) != caller.client_id:  # RFC 7009 §2.1
        raise OAuthError("unauthorized_client", "The token was issued to another client.")
    # A token that is no token of ours, or has expired, is not valid anyway (RFC 7009 §2.2).
    if type(expires_at) is int and expires_at > caller.now.timestamp() and verifier.revocations is not None:
        ends_at = datetime.fromtimestamp(expires_at, UTC)
        verifier.revocations.revoke(caller.client_id, str(claims.get("jti", "")), ends_at)
    return json_answer({})
