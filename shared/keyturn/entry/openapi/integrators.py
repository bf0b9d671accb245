"""The routes of `client_token` (docs/http.md)."""

from __future__ import annotations

from typing import Final

from keyturn.entry.openapi.forms import (
    BASE64URL,
    COUNT,
    ID,
    JWT,
    OPEN,
    ROTATION_ID,
    TEXT,
    TIME,
    ULID,
    fields,
    maybe,
    one_of,
    ref,
)
from keyturn.entry.openapi.operations import CLIENT, OAUTH_ERROR, Operations, header, operation, query

_OAUTH: Final = {"4XX": OAUTH_ERROR, "5XX": OAUTH_ERROR}
_CREDENTIALS: Final = {"client_id": TEXT, "client_secret": TEXT}
_REFUSED: Final = {
    "description": "not accepted, without a reason",
    "content": {"application/json": {"schema": fields({"accepted": {"const": False}, "reason": {"const": "refused"}})}},
}
_DENIED: Final = {
    "description": "not accepted, or impossible now",
    "content": {"application/json": {"schema": fields({"error": TEXT})}},
}
_KEY_HEADERS: Final = (header("X-Client-Id"), header("X-API-Key"))

CLIENT_TOKEN: Final[Operations] = {
    ("POST", "/token"): operation(
        "Issue an access token (RFC 6749 §4.4)",
        fields({"access_token": JWT, "token_type": {"const": "Bearer"}, "expires_in": COUNT}, {"scope": TEXT}),
        form=fields({"grant_type": {"const": "client_credentials"}}, {**_CREDENTIALS, "scope": TEXT}),
        signed=CLIENT,
        errors=_OAUTH,
    ),
    ("POST", "/introspect"): operation(
        "Introspect a token (RFC 7662)",
        fields({"active": {"type": "boolean"}}, {"client_id": ID, "client_version_id": ULID}),
        form=fields({"token": TEXT}, _CREDENTIALS),
        signed=CLIENT,
        errors=_OAUTH,
    ),
    ("POST", "/revoke"): operation(
        "Revoke a token (RFC 7009)",
        OPEN,
        form=fields({"token": TEXT}, {**_CREDENTIALS, "token_type_hint": TEXT}),
        signed=CLIENT,
        errors=_OAUTH,
    ),
    ("GET", "/check"): operation(
        "Check a credential for a proxy, and answer in headers",
        None,
        parameters=(*_KEY_HEADERS, query("audience", TEXT, "the service's audience, if it is not the deployment's")),
        signed=CLIENT,
        errors={"4XX": _DENIED, "5XX": _DENIED},
    ),
    ("POST", "/check"): operation(
        "Check a credential",
        fields(
            {
                "accepted": {"const": True},
                "client_id": ID,
                "version_id": ULID,
                "state": one_of("current", "grace"),
                "not_after": maybe(TIME),
                "now": TIME,
            }
        ),
        parameters=_KEY_HEADERS,
        signed=CLIENT,
        errors={"401": _REFUSED},
    ),
    ("POST", "/canary/challenge"): operation(
        "Request a nonce, to prove possession of a new secret",
        fields({"nonce": BASE64URL, "expires_at": TIME}),
        takes=fields({"client_id": ID}),
    ),
    ("POST", "/canary"): operation(
        "Prove that an instance holds the new secret",
        fields({"rotation_id": ROTATION_ID, "version_id": ULID, "canaries": COUNT, "canaries_required": COUNT}),
        takes=fields(
            {
                "rotation_id": ROTATION_ID,
                "client_id": ID,
                "version_id": ULID,
                "instance_id": {"type": "string", "minLength": 1, "maxLength": 128},
                "nonce": BASE64URL,
                "signature": BASE64URL,
            }
        ),
    ),
    ("GET", "/.well-known/oauth-authorization-server"): operation(
        "Fetch the authorization server's metadata (RFC 8414)",
        fields({"issuer": TEXT, "token_endpoint": TEXT, "jwks_uri": TEXT}),
    ),
    ("GET", "/.well-known/openid-configuration"): operation(
        "Fetch the same metadata where clients of OpenID Connect look for it",
        fields({"issuer": TEXT, "token_endpoint": TEXT, "jwks_uri": TEXT}),
    ),
    ("GET", "/.well-known/jwks.json"): operation("Fetch the keys that tokens verify with", ref("Keys")),
}
