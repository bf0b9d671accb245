"""Imported credentials: which hashes are taken, and what may be presented for them."""

from __future__ import annotations

import bcrypt
import pytest
from keyturn.domain.imported_secret import is_bcrypt_hash, presentable

SALT, REST = "abcdefghijklmnopqrstuO", "B" * 30 + "C"
GOOD = f"$2b$12${SALT}{REST}"


@pytest.mark.parametrize("kind", ["2a", "2b", "2y"])
@pytest.mark.parametrize("cost", ["04", "10", "14"])
def test_a_hash_of_a_known_kind_and_cost_is_taken(kind: str, cost: str) -> None:
    assert is_bcrypt_hash(f"${kind}${cost}${SALT}{REST}")


def test_what_the_library_makes_is_taken() -> None:
    for _ in range(20):
        assert is_bcrypt_hash(bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode("ascii"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD[:-1],
        GOOD + ".",
        GOOD + "\n",
        GOOD.replace("2b", "2x"),
        GOOD.replace("12", "03"),
        GOOD.replace("12", "15"),
        GOOD.replace("12", "4"),
        f"$2b$12${SALT[:-1]}b{REST}",
        "$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA",
        "plain",
    ],
)
def test_no_other_hash_is_taken(text: str) -> None:
    assert not is_bcrypt_hash(text)


@pytest.mark.parametrize(
    ("value", "may"),
    [
        ("x", True),
        ("pass phrase of old", True),
        ("p\u00e4ss", True),
        ("x" * 512, True),
        ("", False),
        ("x" * 513, False),
        ("a\0b", False),
        ("a\nb", False),
        ("\ud800", False),
    ],
)
def test_what_may_be_presented(value: str, may: bool) -> None:  # noqa: FBT001 - a parametrised expectation
    assert presentable(value) is may
