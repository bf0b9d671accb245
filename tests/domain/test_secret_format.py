"""The scannable form: its parts, its checksum, and that it takes nothing from the random bits."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyturn.domain.encodings import base64url_decode, new_secret, ulid
from keyturn.domain.secret_format import (
    PATTERN,
    SCANNABLE_LENGTH,
    checksum_holds,
    hint_of,
    scannable_secret,
    secrets_in,
    well_formed,
)

from tests.domain.scene import START

VERSION = ulid(START, b"0123456789")
RANDOMNESS = st.binary(min_size=32, max_size=32)
SECRET = scannable_secret(bytes(range(32)), VERSION)


@given(RANDOMNESS, st.binary(min_size=10, max_size=10))
def test_every_scannable_secret_is_of_its_form(randomness: bytes, rest: bytes) -> None:
    version_id = ulid(START, rest)
    secret = scannable_secret(randomness, version_id)
    assert re.fullmatch(PATTERN, secret)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", secret)
    assert (len(secret), hint_of(secret)) == (SCANNABLE_LENGTH, version_id[-8:])
    assert base64url_decode(secret[17:60]) == randomness
    assert well_formed(secret)
    assert checksum_holds(secret)
    assert secrets_in(f'password = "{secret}"') == [secret]


def test_the_format_does_not_change() -> None:
    assert SECRET.split("_") == ["keyturn", "6MV3EE1S", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8u6fydg"]


@given(st.integers(8, SCANNABLE_LENGTH - 7), st.sampled_from("ABCXYZabcxyz0189_-"))
def test_a_changed_character_breaks_the_checksum(place: int, other: str) -> None:
    changed = SECRET[:place] + other + SECRET[place + 1 :]
    assert checksum_holds(changed) == (changed == SECRET)


@pytest.mark.parametrize(
    "value",
    [
        *("", "keyturn_", "A" * 42, "A" * 66, "A" * 43 + "\n"),
        *(SECRET[:-1], SECRET + "A", SECRET.upper(), "K" + SECRET[1:], SECRET[:-1] + "B", SECRET[:-1] + "\n"),
        *(SECRET[:8] + "IIIIIIII" + SECRET[16:], SECRET[:16] + "-" + SECRET[17:]),
    ],
)
def test_what_is_of_no_form(value: str) -> None:
    assert (well_formed(value), hint_of(value)) == (False, None)


def test_the_plain_form_goes_on() -> None:
    plain = new_secret(bytes(32))
    assert (well_formed(plain), hint_of(plain), secrets_in(f"({plain})")) == (True, None, [plain])


def test_what_is_part_of_something_longer_is_not_sighted() -> None:
    assert secrets_in(f"x{SECRET} {SECRET}x {'A' * 44}") == []
