"""Errors of the OAuth2 endpoints, in the form of RFC 6749 §5.2: a code, and a sentence for the client's developer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.entry.http.responses import json_answer
from keyturn.verifier.middleware.challenges import basic_challenge

if TYPE_CHECKING:
    import flask

    from keyturn.domain.errors import RateLimited

_UNAUTHORIZED = 401


class OAuthError(Exception):
    """An error of RFC 6749 §5.2. `description` is a constant sentence: it repeats nothing of the request."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(code)
        self.code = code
        self.description = description


def bad_form(description: str) -> OAuthError:
    """Return the error for a request that cannot be read."""
    return OAuthError("invalid_request", description)


def bad_credentials() -> OAuthError:
    """Return the error for a client that is not authenticated. It is the same whatever is wrong."""
    return OAuthError("invalid_client", "The client's credentials are missing, malformed or not valid.")


def error_answer(error: OAuthError, status: int = 400) -> flask.Response:
    """Return the response to an error."""
    status = _UNAUTHORIZED if error.code == "invalid_client" else status
    answer = _answer(error.code, error.description, status)
    if status == _UNAUTHORIZED:  # RFC 9110 §15.5.2: always, although RFC 6749 §5.2 only asks for it after a header
        answer.headers["WWW-Authenticate"] = basic_challenge()
    return answer


def limited(error: RateLimited) -> flask.Response:
    """Return the response to a source that has caused too many refusals."""
    # RFC 6749 has no code for rate limits. RFC 6585 §4 has the status; Retry-After says when to try again.
    answer = _answer("temporarily_unavailable", "Too many refused credentials. Wait for Retry-After.", 429)
    answer.headers["Retry-After"] = str(error.retry_after_seconds)
    return answer


def unavailable() -> flask.Response:
    """Return the response while a backend does not answer."""
    return _answer("temporarily_unavailable", "The service cannot answer now. Try again.", 503)


def _answer(code: str, description: str, status: int) -> flask.Response:
    return json_answer({"error": code, "error_description": description}, status)
