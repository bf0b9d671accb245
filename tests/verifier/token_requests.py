"""Requests to the token endpoint, and the claims of the tokens that it issues."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import KeySet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from werkzeug.test import TestResponse

    from tests.world import World


FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}


def post(
    world: World, form: Mapping[str, str] | bytes, basic: tuple[str, str] | str | None = None, kind: str = FORM
) -> TestResponse:
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    headers = {"Content-Type": kind}
    if basic is not None:
        pair = basic if isinstance(basic, str) else base64.b64encode(":".join(basic).encode()).decode()
        headers["Authorization"] = f"Basic {pair}"
    return world.call("POST", "/client_token/token", body, headers)


def claims_of(world: World, answer: TestResponse) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    keys = KeySet.import_key_set(cast("Any", world.call("GET", "/client_token/.well-known/jwks.json").json))
    token = jwt.decode(cast("Any", answer.json)["access_token"], keys, algorithms=["ES256"])
    assert token.header["typ"] == "at+jwt"
    return token.claims


def oauth_error(answer: TestResponse) -> tuple[int, str]:
    """Return status and code of an error, which has a sentence within the alphabet of RFC 6749 §5.2."""
    said = cast("Any", answer.json)
    assert set(said) == {"error", "error_description"}
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", said["error_description"])
    return answer.status_code, said["error"]
