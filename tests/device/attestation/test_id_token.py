from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from keyturn.device.attestation.id_token import SignIn, read_id_token, require_sign_in
from keyturn.device.core.errors import NotSignedInError, UsageError
from keyturn.device.home.home import Home
from keyturn.domain.encodings import base64url_encode

from tests.world import CHEAP, START

if TYPE_CHECKING:
    from pathlib import Path

ENDS = int((START + timedelta(hours=1)).timestamp())


def token(**claims: object) -> str:
    return ".".join(base64url_encode(json.dumps(part).encode()) for part in ({"alg": "RS256"}, claims, "signed"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.create(tmp_path / "home", "laptop", "passphrase", cost=CHEAP)


def test_a_token_says_when_it_ends(home: Home) -> None:
    kept = read_id_token(token(sub="alice", exp=ENDS))
    kept.save(home)
    assert kept.ends_at == ENDS * 1000
    assert require_sign_in(home, START) == kept


def test_its_repr_shows_no_token() -> None:
    assert token(exp=1) not in repr(SignIn(token(exp=1), 1000))


def test_without_a_sign_in_the_hint_names_the_command(home: Home) -> None:
    with pytest.raises(NotSignedInError, match="no sign-in") as told:
        require_sign_in(home, START)
    assert "keyturn login" in told.value.hint


@pytest.mark.parametrize(("seconds", "good"), [(3599, True), (3600, False), (3601, False)])
def test_a_sign_in_ends(home: Home, seconds: int, *, good: bool) -> None:
    read_id_token(token(exp=ENDS)).save(home)
    now = START.replace(microsecond=0) + timedelta(seconds=seconds)
    if good:
        assert require_sign_in(home, now).ends_at == ENDS * 1000
    else:
        with pytest.raises(NotSignedInError, match="expired"):
            require_sign_in(home, now)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not a token",
        "a.b",
        "a.b.c.d",
        "a.%%%.c",
        token(sub="alice"),
        token(exp="soon"),
        token(exp=True),
        "a." * 3000,
    ],
)
def test_input_that_is_no_token_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(UsageError) as told:
        read_id_token(text)
    assert str(told.value) == "The input is not an ID token."
