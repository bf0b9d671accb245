"""Authentication of OAuth2 clients (RFC 6749 §2.3.1): by HTTP Basic, or by two parameters of the form."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from keyturn.entry.composition.suite import current
from keyturn.entry.http.oauth_errors import bad_credentials, bad_form
from keyturn.entry.http.requests import body_of, source
from keyturn.proofs.basic_credentials import BasicCredentials, parse_basic

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

    from keyturn.verifier.verdict import Verdict
    from keyturn.verifier.verifier import Verifier

_FORM = "application/x-www-form-urlencoded"
RESOURCE = "resource"


def authenticate(request: flask.Request, form: Mapping[str, str], verifier: Verifier) -> Verdict:
    """Return the verdict on the client of a request. `OAuthError` if it is not authenticated."""
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
        raise bad_credentials()
    return verdict


def caller_tag(request: flask.Request, source: str) -> str:
    """Return the tag under which telemetry counts a caller: a keyed hash of its source and its User-Agent's product."""
    return current().verification.callers.tag(source, request.environ.get("HTTP_USER_AGENT", ""))


def read_form(request: flask.Request) -> Mapping[str, str]:
    """Return the parameters of the form in a request's body. `OAuthError` if there is none."""
    kind = request.content_type  # as a rule without parameters: then `mimetype`, which parses them, is not needed
    if (kind if kind == _FORM else request.mimetype) != _FORM:
        raise bad_form("The body is not of the type application/x-www-form-urlencoded.")
    pairs = _pairs(body_of(request))
    if pairs is None:
        raise bad_form("The form is malformed, or has too many parameters.")
    form = dict(pairs)
    if len(form) != len(pairs):  # RFC 6749 §3.2: parameters must not be included more than once
        form = _with_all_resources(pairs)
    return {name: value for name, value in form.items() if value}  # RFC 6749 §3.2: one without a value is omitted


def _with_all_resources(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Return the form with all its resources in one text, separated by spaces. `OAuthError` for other repetitions."""
    others = [(name, value) for name, value in pairs if name != RESOURCE]
    if len(dict(others)) != len(others):
        raise bad_form("A parameter is repeated.")
    # RFC 8707 §2: the one parameter that may be repeated. A resource is a URI, which contains no space.
    return {**dict(others), RESOURCE: " ".join(value for name, value in pairs if name == RESOURCE)}


def _pairs(body: bytes) -> list[tuple[str, str]] | None:
    try:
        return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=20)
    except ValueError:  # it holds text of the body, and must not be chained to our error
        return None


def _credentials(request: flask.Request, form: Mapping[str, str]) -> BasicCredentials:
    header: str | None = request.environ.get("HTTP_AUTHORIZATION")
    if header is None:
        return BasicCredentials(form.get("client_id", ""), form.get("client_secret", ""))
    if "client_secret" in form:  # RFC 6749 §2.3: not more than one method per request
        raise bad_form("The request authenticates its client in two ways.")
    basic = parse_basic(header)
    if basic is None:
        raise bad_credentials()
    if form.get("client_id", basic.client_id) != basic.client_id:
        raise bad_form("The request names two clients.")
    return basic
