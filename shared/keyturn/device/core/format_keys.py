"""People and keys as the server names them, written for people."""

from __future__ import annotations

import re

from keyturn.proofs.npub import encode_npub

_KEY_HEX = re.compile(r"[0-9a-f]{64}\Z")


def key(value: object) -> object:
    """Return a public key of 64 hex digits as an npub (NIP-19), anything else as it is."""
    return encode_npub(value) if isinstance(value, str) and _KEY_HEX.match(value) else value


def person(value: object) -> object:
    """Return an object with a user and a key as one text, anything else as a key."""
    if not isinstance(value, dict):
        return key(value)
    return " ".join(str(part) for part in (value.get("user"), key(value.get("npub"))) if part)
