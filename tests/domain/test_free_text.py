"""Reasons: bounded, kept as they are, and refused with any word in the form of a secret."""

from __future__ import annotations

import pytest
from keyturn.domain.encodings import new_secret
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.free_text import MAX_REASON, checked_reason, likely_secrets, optional_reason
from keyturn.domain.request_fields import Fields
from keyturn.domain.secret_format import scannable_secret

PLAIN = new_secret(bytes(range(32)))
SCANNABLE = scannable_secret(bytes(range(32)), "01KJMMKJ6RASMS75C7BGS0GDCF")


@pytest.mark.parametrize("reason", ["x", "x" * MAX_REASON, "because it is time", "a\u200cb", "👩\u200d🔧", "a\nb"])
def test_a_reason_is_kept_as_it_is(reason: str) -> None:
    assert checked_reason(reason) == reason


@pytest.mark.parametrize("reason", ["", " ", "\t\n", "x" * (MAX_REASON + 1), "a\udcff"])
def test_a_reason_has_1_to_512_characters(reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_reason(reason)
    assert refused.value.reason == "bad_reason"


@pytest.mark.parametrize("secret", [PLAIN, SCANNABLE], ids=["plain", "scannable"])
@pytest.mark.parametrize(
    "around", ["{}", "leaked: {}", "{} leaked", "({})", "key={},", '"{}"', "https://x.example/{}", "a\n{}\nb"]
)
def test_a_word_in_the_form_of_a_secret_is_refused(around: str, secret: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked_reason(around.format(secret))
    assert refused.value.reason == "secret_in_text"
    assert secret not in str(refused.value)


def test_the_scannable_form_is_found_within_a_word() -> None:
    with pytest.raises(InvalidRequest):
        checked_reason(f"old_{SCANNABLE}_x")


@pytest.mark.parametrize("word", ["0" * 40, "0" * 64, "a-long-word-of-a-ticket-system-PROJECT-12345"])
def test_digests_and_long_words_are_no_secrets(word: str) -> None:
    assert checked_reason(f"see {word}") == f"see {word}"


def test_a_reason_that_may_be_absent_is_checked_where_it_is_present() -> None:
    assert optional_reason(Fields({})) == ""
    assert optional_reason(Fields({"reason": "why"})) == "why"
    for reason in ("", PLAIN, 1):
        with pytest.raises(InvalidRequest):
            optional_reason(Fields({"reason": reason}))


def test_the_longest_words_are_the_likeliest_secrets() -> None:
    assert likely_secrets("the password (hunter22-of-acme), again hunter22-of-acme or Tr0ub4dor&3!") == [
        "hunter22-of-acme",
        "Tr0ub4dor&3",
    ]
    assert likely_secrets("it is time now") == []
