from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from keyturn.domain.encodings import base64url_decode
from keyturn.local.demo.authenticator import Authenticator
from keyturn.proofs.totp import matching_step, provisioning_uri

SEED = bytes(range(20))
AT = 1_772_366_400.0  # a step begins


@dataclass
class Clock:
    """A clock that only waiting moves."""

    time: float
    waited: list[float] = field(default_factory=list)

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.time += seconds


def authenticator(clock: Clock) -> Authenticator:
    return Authenticator(provisioning_uri(SEED, "alice", "keyturn"), clock.wait, lambda: clock.time)


@pytest.mark.parametrize("into_the_step", [0.0, 1.0, 14.9, 24.9, 25.1, 29.9])
def test_every_code_is_good_when_it_is_given_and_none_is_given_twice(into_the_step: float) -> None:
    clock = Clock(AT + into_the_step)
    codes, last = authenticator(clock), -1
    for _ in range(8):
        step = matching_step(SEED, codes(), datetime.fromtimestamp(clock.time, UTC), last)
        assert step is not None
        last = step


def test_there_are_three_at_a_time_and_then_it_waits_for_the_next_step() -> None:
    clock = Clock(AT + 10)
    codes = authenticator(clock)
    assert len({codes() for _ in range(3)}) == 3
    assert clock.waited == []
    codes()
    assert clock.waited == [20.0]


def test_what_must_stand_in_no_file_is_the_seed() -> None:
    text, raw = authenticator(Clock(AT)).secrets
    assert base64.b32decode(text) == base64url_decode(raw) == SEED


def test_its_repr_shows_no_seed() -> None:
    codes = authenticator(Clock(AT))
    assert codes.secrets[0] not in repr(codes)


def test_what_counts_instead_of_keeping_time_is_refused() -> None:
    with pytest.raises(TypeError, match="time-based"):
        Authenticator("otpauth://hotp/keyturn:alice?secret=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&counter=0")()
