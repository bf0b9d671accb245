"""Challenges of `admin_proof` and `enrol` (docs/protocol.md §7), tagged by the deployment's MAC key.

Only the nonce of a used challenge is ever stored. The current MAC key makes and checks the tag: when that key changes,
outstanding challenges are refused, and devices ask for another.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from keyturn.domain.encodings import base64url_decode, length_prefixed
from keyturn.domain.errors import InvalidRequest, Unauthenticated
from keyturn.ports.store import Create
from keyturn.proofs.stateless_challenge import CHALLENGE_LIFETIME, dated_nonce, issue_challenge
from keyturn.records.admin import challenge_path

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.effects import Random
    from keyturn.ports.keys import MacKey
    from keyturn.ports.store import Data

_TAG_BYTES = 32


@dataclass(frozen=True, slots=True)
class ChallengeIssuer:
    """Issues and checks the challenges of one service, known by its base URL."""

    mac_key: MacKey
    random: Random
    service: str

    def issue(self, now: datetime) -> Data:
        """Return a challenge and when it ends."""
        challenge = issue_challenge(now, self.random, partial(self._tag, self.mac_key.current()))
        return {"challenge": challenge.text, "expires_at": challenge.expires_at}

    def nonce(self, challenge: str, now: datetime) -> str:
        """Return the dated nonce (32 characters) of a valid challenge. Raise `Unauthenticated` otherwise."""
        nonce = dated_nonce(_decoded(challenge), now, self._verify_tag)
        if nonce is None:
            raise challenge_refused()
        return nonce

    def _tag(self, key_name: str, dated: str) -> bytes:
        return self.mac_key.sign(key_name, self._input(dated))

    def _verify_tag(self, dated: str, tag: bytes) -> bool:
        return len(tag) == _TAG_BYTES and self.mac_key.verify(self.mac_key.current(), self._input(dated), tag)

    def _input(self, dated: str) -> bytes:
        # Two fields more than a version's canonical input, and another first one: no MAC can stand for the other.
        return length_prefixed("keyturn/challenge/v1", self.service, dated, "", "")


def use_challenge(nonce: str, user: str, act: str, now: datetime) -> Create:
    """Return the write that uses a challenge up, for the commit of what it authorised. `act` is the attempt's id."""
    # Kept twice as long as a challenge is valid, since two databases' clocks may differ.
    return Create(challenge_path(nonce), {"user": user, "act": act, "expires_at": now + CHALLENGE_LIFETIME * 2})


def challenge_refused() -> Unauthenticated:
    """Return the refusal of a challenge. It names no reason: the way on is always another challenge."""
    return Unauthenticated("challenge_refused", "The challenge is not one of ours, was used, or has ended.")


def _decoded(challenge: str) -> bytes:
    try:
        return base64url_decode(challenge)
    except InvalidRequest:
        raise challenge_refused() from None
