"""Challenges, without state: a MAC over time and nonce; only that one was used is ever stored (protocol.md §7).

A challenge is base64url of time (8 bytes, milliseconds), nonce (16 bytes) and MAC (32 bytes). The current MAC key
makes and checks it: when that key changes, those on their way are refused, and asked for again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_decode, base64url_encode, length_prefixed, milliseconds, to_milliseconds
from keyturn.domain.errors import InvalidRequest, Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.effects import Random
    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Data

CHALLENGE_LIFETIME = timedelta(seconds=120)
_NONCE_BYTES = 16
_DATED_BYTES = 8 + _NONCE_BYTES
_BYTES = _DATED_BYTES + 32


@dataclass(frozen=True, slots=True)
class ChallengeIssuer:
    """Makes and checks the challenges of one service, known by its base URL."""

    mac_key: MacKey
    random: Random
    service: str

    def issue(self, now: datetime) -> Data:
        """Return a challenge and when it ends."""
        dated = to_milliseconds(now).to_bytes(8, "big") + self.random(_NONCE_BYTES)
        tag = self.mac_key.sign(self.mac_key.current(), self._input(dated))
        return {"challenge": base64url_encode(dated + tag), "expires_at": to_milliseconds(now + CHALLENGE_LIFETIME)}

    def nonce(self, challenge: str, now: datetime) -> str:
        """Return the nonce (32 characters, with its time) of a challenge of ours that has not ended.

        `Unauthenticated` otherwise. The time is looked at first: what is too old costs no call to the key.
        """
        data = _decoded(challenge)
        age = to_milliseconds(now) - int.from_bytes(data[:8], "big")
        young = -milliseconds(SKEW) <= age < milliseconds(CHALLENGE_LIFETIME)
        if len(data) != _BYTES or not young or not self._made(data):
            raise challenge_refused()
        return base64url_encode(data[:_DATED_BYTES])

    def _made(self, data: bytes) -> bool:
        return self.mac_key.verify(self.mac_key.current(), self._input(data[:_DATED_BYTES]), data[_DATED_BYTES:])

    def _input(self, dated: bytes) -> bytes:
        # Two fields more than a version's canonical input and another first one: no MAC can stand for the other.
        return length_prefixed("keyturn/challenge/v1", self.service, base64url_encode(dated), "", "")


SKEW = timedelta(seconds=5)
"""How far ahead a challenge may seem: two processes read the time from two databases."""


def challenge_refused() -> Unauthenticated:
    """Return the refusal of a challenge: it says nothing of anybody, and the way on is another challenge."""
    return Unauthenticated("challenge_refused", "The challenge is not one of ours, was used, or has ended.")


def _decoded(challenge: str) -> bytes:
    try:
        return base64url_decode(challenge)
    except InvalidRequest:
        raise challenge_refused() from None
