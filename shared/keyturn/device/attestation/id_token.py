"""The sign-in of the user at this device: an identity provider's ID token, sealed in the home until it expires."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.device.core.errors import NotSignedInError, UsageError
from keyturn.domain.encodings import base64url_decode, to_milliseconds
from keyturn.domain.errors import Refusal
from keyturn.proofs.jws import MAX_TOKEN
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.device.home.home import Home
    from keyturn.device.home.sealed_files import RecordKey

_RECORD: RecordKey = ("sign_in", "id_token")
_JWT_PARTS = 3


@dataclass(frozen=True, slots=True)
class SignIn:
    """An ID token, and when it expires (Unix milliseconds)."""

    id_token: str = field(repr=False)
    ends_at: int

    def save(self, home: Home) -> None:
        """Save it in the home, in place of an earlier one."""
        record = json.dumps({"id_token": self.id_token, "ends_at": self.ends_at})
        home.save(*_RECORD, record.encode("ascii"))


def read_id_token(text: str) -> SignIn:
    """Return the sign-in of an ID token. Only the service verifies the token: the device reads its expiry.

    `UsageError` unless it is a JWT with an expiry (OpenID Connect Core §2).
    """
    parts = text.split(".") if text.isascii() and len(text) <= MAX_TOKEN else []
    try:
        expiry = load_object(base64url_decode(parts[1])).get("exp") if len(parts) == _JWT_PARTS else None
    except Refusal:
        expiry = None
    # `True` is an int in Python, and not a time.
    if not isinstance(expiry, int) or isinstance(expiry, bool):
        raise UsageError(
            "The input is not an ID token.", "Pipe in the token exactly as your identity provider issued it."
        )
    return SignIn(text, expiry * 1000)


def require_sign_in(home: Home, now: datetime) -> SignIn:
    """Return the sign-in of the home; `NotSignedInError` if there is none, or it has expired."""
    record = home.load(*_RECORD)
    if record is None:
        raise NotSignedInError("There is no sign-in at this device.", "Sign in first: `keyturn login`.")
    fields = load_object(record)
    sign_in = SignIn(str(fields["id_token"]), int(str(fields["ends_at"])))
    if sign_in.ends_at <= to_milliseconds(now):
        raise NotSignedInError("The sign-in at this device has expired.", "Sign in again: `keyturn login`.")
    return sign_in
