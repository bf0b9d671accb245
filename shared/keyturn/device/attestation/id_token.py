"""Who is at this device: an identity provider's ID token, kept sealed in the home until it ends."""

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
    from keyturn.device.home.state import Key

_RECORD: Key = ("sign_in", "id_token")
_PARTS = 3


@dataclass(frozen=True, slots=True)
class SignIn:
    """An ID token, and when it ends (Unix milliseconds)."""

    id_token: str = field(repr=False)
    ends_at: int

    def keep(self, home: Home) -> None:
        """Keep it in the home, in place of an earlier one."""
        record = json.dumps({"id_token": self.id_token, "ends_at": self.ends_at})
        home.save(*_RECORD, record.encode("ascii"))


def read_id_token(text: str) -> SignIn:
    """Return the sign-in that a token says it is: whether that is so, the service judges.

    `UsageError` if it has not the form of one (OpenID Connect Core §2: a JWT with an end).
    """
    parts = text.split(".") if text.isascii() and len(text) <= MAX_TOKEN else []
    try:
        ends = load_object(base64url_decode(parts[1])).get("exp") if len(parts) == _PARTS else None
    except Refusal:
        ends = None
    if not isinstance(ends, int) or isinstance(ends, bool):
        raise UsageError("What came is no ID token.", "Pipe in the token as your identity provider gave it.")
    return SignIn(text, ends * 1000)


def signed_in(home: Home, now: datetime) -> SignIn:
    """Return the sign-in that the home keeps; `NotSignedInError` if there is none, or it has ended."""
    record = home.load(*_RECORD)
    if record is None:
        raise NotSignedInError("Nobody is signed in at this device.", "Sign in first: `keyturn login`.")
    fields = load_object(record)
    kept = SignIn(str(fields["id_token"]), int(str(fields["ends_at"])))
    if kept.ends_at <= to_milliseconds(now):
        raise NotSignedInError("The sign-in at this device has ended.", "Sign in again: `keyturn login`.")
    return kept
