"""Credentials of HTTP Basic (RFC 7617) as OAuth2 clients send them: id and secret form-encoded (RFC 6749 §2.3.1)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from keyturn.proofs.authorization_header import split_authorization

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """A client's id and secret, form-decoded.

    Most clients send both without form-encoding. For secrets that the suite issued the two readings are the same. An
    imported secret may hold "+" or "%": `raw_secret` is its other reading, empty where there is none.
    """

    client_id: str
    secret: str = field(repr=False)
    raw_secret: str = field(default="", repr=False)


def parse_basic(header: str) -> BasicCredentials | None:
    """Return the credentials in the value of an Authorization header, or None if it carries no well-formed ones."""
    scheme, encoded = split_authorization(header)
    if scheme != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    client_id, colon, raw_secret = decoded.partition(":")
    if not colon or _CONTROL.search(decoded):  # RFC 7617 §2: neither part contains control characters
        return None
    secret = unquote_plus(raw_secret)
    return BasicCredentials(unquote_plus(client_id), secret, raw_secret if raw_secret != secret else "")
