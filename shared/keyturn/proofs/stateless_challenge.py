"""Challenges without state: the service stores nothing for a question that any caller may ask.

A challenge is base64url of time (8 bytes, milliseconds), nonce (16 bytes) and tag. The tag proves that the service made
the challenge, the time that it is recent. What the tag is made with, and over which further fields, the caller decides:
each use has a label of its own, so that a challenge of one never passes for one of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_encode, milliseconds, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

CHALLENGE_LIFETIME = timedelta(seconds=120)
CLOCK_SKEW = timedelta(seconds=5)
"""How far ahead a challenge may seem: two processes read the time from two databases."""
_TIME_BYTES = 8
_NONCE_BYTES = 16
_DATED_BYTES = _TIME_BYTES + _NONCE_BYTES


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge's text, and when it ends in milliseconds."""

    text: str
    expires_at: int


def issue_challenge(now: datetime, random: Callable[[int], bytes], tag: Callable[[str], bytes]) -> Challenge:
    """Return a new challenge; `tag` makes the tag over the dated nonce (base64url, 32 characters)."""
    dated = to_milliseconds(now).to_bytes(_TIME_BYTES, "big") + random(_NONCE_BYTES)
    text = base64url_encode(dated + tag(base64url_encode(dated)))
    return Challenge(text, to_milliseconds(now + CHALLENGE_LIFETIME))


def dated_nonce(challenge: bytes, now: datetime, verify_tag: Callable[[str, bytes], bool]) -> str | None:
    """Return the dated nonce (base64url, 32 characters) of a valid challenge; None for one that is forged or has ended.

    `verify_tag` compares in constant time. It is called last: a challenge that is too old costs no call to a key.
    """
    if len(challenge) <= _DATED_BYTES:
        return None
    age = to_milliseconds(now) - int.from_bytes(challenge[:_TIME_BYTES], "big")
    if not -milliseconds(CLOCK_SKEW) <= age < milliseconds(CHALLENGE_LIFETIME):
        return None
    dated = base64url_encode(challenge[:_DATED_BYTES])
    return dated if verify_tag(dated, challenge[_DATED_BYTES:]) else None
