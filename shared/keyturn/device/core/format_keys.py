"""Users and public keys of the server's answers, formatted for people."""

from __future__ import annotations

import re

from keyturn.proofs.npub import encode_npub

_KEY_HEX = re.compile(r"[0-9a-f]{64}\Z")


def key(value: object) -> object:
    """Return a public key of 64 hex digits as an npub (NIP-19), and any other value unchanged."""
    return encode_npub(value) if isinstance(value, str) and _KEY_HEX.match(value) else value


def person(value: object) -> object:
    """Return an object with a user and a key as one text, and any other value as `key` does."""
    if not isinstance(value, dict):
        return key(value)
    return " ".join(str(part) for part in (value.get("user"), key(value.get("npub"))) if part)
