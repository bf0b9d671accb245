"""The function `client_token`: integrators' credentials in, an access token or a verdict out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from keyturn.entry.composition.suite import current
from keyturn.entry.http.credential_check import gate_answer, verdict_answer
from keyturn.entry.http.oauth import introspection_answer, metadata, revocation_answer, token_answer
from keyturn.entry.http.requests import charge, fields_of
from keyturn.entry.http.responses import public_document
from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


_log = logging.getLogger("keyturn")
_SIGN_KEY_FILE = "KEYTURN_SIGN_KEY_FILE"


def open_sign_key(environment: Mapping[str, str]) -> None:
    """Read the key file that signs tokens, if the settings name one, and log why it is refused. Called at the start.

    A refusal does not end the process: it still checks credentials, and no integrator that presents a secret may be
    locked out by a key that only tokens need. Tokens are answered with 503 until the file is right.
    """
    if not environment.get(_SIGN_KEY_FILE):
        return
    from keyturn.adapters.key_file.file import KeyFile
    from keyturn.ports.keys import KeyUnavailable

    try:
        KeyFile(Path(environment[_SIGN_KEY_FILE]), mounted=True).read()
    except KeyUnavailable as error:  # its text has the cause and nothing of the file (key_file/file.py, rule 4)
        _log.error("%s: %s", _SIGN_KEY_FILE, error)


def issue_token(request: flask.Request) -> flask.Response:
    """Issue an access token (RFC 6749 §4.4)."""
    suite = current().verification
    return token_answer(request, suite.verifier, suite.tokens)


def introspect(request: flask.Request) -> flask.Response:
    """Introspect an access token (RFC 7662)."""
    suite = current().verification
    return introspection_answer(request, suite.verifier, suite.token_checker)


def revoke(request: flask.Request) -> flask.Response:
    """Revoke an access token (RFC 7009)."""
    suite = current().verification
    return revocation_answer(request, suite.verifier, suite.token_checker)


def check(request: flask.Request) -> flask.Response:
    """Return the verdict on a credential: 200 if it is accepted, else 401."""
    return verdict_answer(request, current().verification.guard)


def gate(request: flask.Request) -> flask.Response:
    """Return the verdict on a credential in status and headers, for a proxy."""
    return gate_answer(request, current().verification.guard)


def canary_challenge(request: flask.Request) -> Mapping[str, Any]:
    """Issue a nonce for an instance that will prove possession of a pending secret."""
    suite = current().verification
    charge(request, suite.canary_limits)  # no credential protects this route, and each request costs a read
    return suite.canary.challenge(fields_of(request).text("client_id"))


def canary_proof(request: flask.Request) -> Mapping[str, Any]:
    """Take an instance's proof that it holds the pending secret."""
    suite = current().verification
    charge(request, suite.canary_limits)
    return suite.canary.prove(fields_of(request))


def server_metadata(_request: flask.Request) -> flask.Response:
    """Return the authorization server's metadata (RFC 8414)."""
    return public_document(metadata(current().verification.tokens.issuer))


def jwks(_request: flask.Request) -> flask.Response:
    """Return the public keys of access tokens."""
    return public_document(current().verification.tokens.jwks())


ROUTES: Final = Routes("client_token", {
    ("POST", "/token"): issue_token,
    ("POST", "/check"): check,
    ("GET", "/check"): gate,
    ("POST", "/canary/challenge"): canary_challenge,
    ("POST", "/canary"): canary_proof,
    ("POST", "/introspect"): introspect,
    ("POST", "/revoke"): revoke,
    ("GET", "/.well-known/oauth-authorization-server"): server_metadata,
    ("GET", "/.well-known/openid-configuration"): server_metadata,
    ("GET", "/.well-known/jwks.json"): jwks,
})  # fmt: skip
