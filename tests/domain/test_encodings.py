from __future__ import annotations

import hmac
import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyturn.domain.encodings import (
    SECRET_LENGTH,
    base64url_decode,
    base64url_encode,
    canonical_input,
    canonical_json,
    digest,
    due_shard,
    flat_json,
    from_milliseconds,
    identifier,
    length_prefixed,
    new_secret,
    npub_identifier,
    rotation_identifier,
    to_milliseconds,
    ulid,
    version_identifier,
)
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.model import ClientKind

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "canonical_mac.json").read_text("utf-8"))
ULID = "01JM8VEZAMG2DK6T4S9N7TT1C8"
UUID = "0188d0c2-5f3e-7a41-9b0c-0123456789ab"


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda vector: ascii(vector["client_id"])[:24])
def test_published_macs(vector: dict[str, str]) -> None:
    data = canonical_input(vector["client_id"], vector["version_id"], vector["secret"])
    mac = hmac.digest(bytes.fromhex(VECTORS["key_hex"]), data, "sha256")
    assert data.hex() == vector["canonical_input_hex"]
    assert base64url_encode(mac) == vector["secret_hash"]


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_length_prefixed_tells_all_field_lists_apart(one: list[str], other: list[str]) -> None:
    assert (length_prefixed(*one) == length_prefixed(*other)) == (one == other)


def test_length_prefixed_refuses_half_a_surrogate_pair() -> None:
    with pytest.raises(InvalidRequest) as caught:
        length_prefixed("a", "\ud800")
    assert caught.value.reason == "not_unicode"


# --- base64url -------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=80))
def test_base64url_round_trip(data: bytes) -> None:
    assert base64url_decode(base64url_encode(data)) == data


@given(st.text(alphabet="Aa0-_=+/\n é", max_size=8))
def test_base64url_has_one_text_for_each_value(text: str) -> None:
    with suppress(InvalidRequest):
        assert base64url_encode(base64url_decode(text)) == text


@pytest.mark.parametrize(
    "text",
    ["TQ==", "TQ=", "=", "TR", "TWF", "T", "+/+/", "TW Fu", "TWFu\n", "\nTWFu", "TWFü", "\ud800", "TWFu\x00"],
    ids=ascii,
)
def test_base64url_refuses_padding_foreign_characters_and_trailing_bits(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        base64url_decode(text)
    assert caught.value.reason == "not_base64url"
    assert text.strip() not in caught.value.sentence


# --- canonical JSON --------------------------------------------------------------------------------------------------

CANONICAL = {
    "no space": ({"b": [1, True, None, "x"], "a": {}}, b'{"a":{},"b":[1,true,null,"x"]}'),
    # RFC 8785 §3.2.3: sorted by UTF-16 code units, so the surrogate pair comes before U+FB33.
    "keys by UTF-16": (
        {
            "\u20ac": "Euro Sign",
            "\r": "Carriage Return",
            "\ufb33": "Hebrew Letter Dalet With Dagesh",
            "1": "One",
            "\U0001f600": "Emoji: Grinning Face",
            "\u0080": "Control",
            "\u00f6": "Latin Small Letter O With Diaeresis",
        },
        (
            '{"\\r":"Carriage Return","1":"One","\u0080":"Control","ö":"Latin Small Letter O With Diaeresis",'
            '"€":"Euro Sign","\U0001f600":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}'
        ).encode(),
    ),
    # RFC 8785 §3.2.2.2: short escapes where JSON has them, lower-case \\u00xx for other controls, all else as it is.
    "strings": ("\u20ac$\u000f\u000aA'\u0042\u0022\u005c\"/\x7f", '"€$\\u000f\\nA\'B\\"\\\\\\"/\x7f"'.encode()),
    "largest integer": (2**53 - 1, b"9007199254740991"),
    "tuples are lists": ((1, (2,)), b"[1,[2]]"),
}


@pytest.mark.parametrize(("value", "expected"), CANONICAL.values(), ids=CANONICAL)
def test_canonical_json(value: object, expected: bytes) -> None:
    assert canonical_json(value) == expected


def _nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


NOT_CANONICAL = {
    "float": (1.0, "not_canonical"),
    "nan": (float("nan"), "not_canonical"),
    "float inside": ({"a": [0.5]}, "not_canonical"),
    "beyond 53 bits": (2**53, "not_canonical"),
    "beyond 53 bits, negative": (-(2**53), "not_canonical"),
    "nested absurdly": (_nested(5000), "not_canonical"),
    "half a surrogate pair": ({"a": "\ud800"}, "not_unicode"),
    "half a surrogate pair in a key": ({"\udc00": 1, "a": 2}, "not_unicode"),
}


@pytest.mark.parametrize(("value", "reason"), NOT_CANONICAL.values(), ids=NOT_CANONICAL)
def test_canonical_json_refuses(value: object, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        canonical_json(value)
    assert caught.value.reason == reason


@given(st.dictionaries(st.text(max_size=3), st.integers(-(2**53) + 1, 2**53 - 1), max_size=5))
def test_canonical_json_does_not_depend_on_order(value: dict[str, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert canonical_json(backwards) == canonical_json(value)
    assert json.loads(canonical_json(value)) == value
    assert digest(backwards) == digest(value)


# --- times -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 253_402_300_799_999))
def test_milliseconds_round_trip(milliseconds: int) -> None:
    moment = from_milliseconds(milliseconds)
    assert to_milliseconds(moment) == milliseconds
    assert moment.utcoffset() == timedelta(0)


def test_milliseconds_are_rounded_down() -> None:
    assert to_milliseconds(datetime(1970, 1, 1, 0, 0, 1, 1999, tzinfo=UTC)) == 1001


@pytest.mark.parametrize("milliseconds", [-1, 253_402_300_800_000, 2**63, -(2**63)])
def test_milliseconds_out_of_range(milliseconds: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_milliseconds(milliseconds)
    assert caught.value.reason == "time_out_of_range"


# --- identifiers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["a", "9", "ext-totp-svc", "A.b_c~d-e", "x" * 128])
def test_identifier(text: str) -> None:
    assert identifier(text) == text


NO_IDENTIFIERS = ["", "-a", "_system", ".", "..", "~a", "a/b", "a b", "a|b", "café", "a\n", "\na", "a\x00", "x" * 129]


@pytest.mark.parametrize("text", NO_IDENTIFIERS, ids=ascii)
def test_identifier_refuses(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        identifier(text)
    assert caught.value.reason == "bad_identifier"


@pytest.mark.parametrize("text", [ULID, UUID, "7" + "Z" * 25])
def test_rotation_identifier(text: str) -> None:
    assert rotation_identifier(text) == text


NO_ROTATION_IDENTIFIERS = {
    "empty": "",
    "lower ULID": ULID.lower(),
    "upper UUID": UUID.upper(),
    "ULID, newline": ULID + "\n",
    "UUID, newline": UUID + "\n",
    "ULID, over 128 bits": "8" + ULID[1:],
    "ULID with I": ULID[:-1] + "I",
    "ULID with L": ULID[:-1] + "L",
    "ULID with O": ULID[:-1] + "O",
    "ULID with U": ULID[:-1] + "U",
    "ULID, short": ULID[:-1],
    "ULID, long": ULID + "0",
    "ULID, foreign digits": "\u0660" + ULID[1:],
    "UUID without hyphens": UUID.replace("-", ""),
    "UUID in braces": f"{{{UUID}}}",
}


@pytest.mark.parametrize("text", NO_ROTATION_IDENTIFIERS.values(), ids=NO_ROTATION_IDENTIFIERS)
def test_rotation_identifier_refuses(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        rotation_identifier(text)
    assert caught.value.reason == "bad_rotation_id"


@pytest.mark.parametrize("text", [UUID, ULID.lower(), ULID + "\n", ""])
def test_version_identifier_refuses(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        version_identifier(text)
    assert caught.value.reason == "bad_version_id"


# The example of the ULID specification: 1469918176385 ms begin with 01ARYZ6S41.
def test_ulid_of_known_bits() -> None:
    assert ulid(from_milliseconds(1469918176385), b"\x00" * 10) == "01ARYZ6S410000000000000000"
    assert ulid(from_milliseconds(1469918176385), b"\xff" * 10) == "01ARYZ6S41ZZZZZZZZZZZZZZZZ"


@given(st.integers(0, 2**47), st.binary(min_size=10, max_size=16), st.integers(0, 2**47))
def test_ulid_sorts_by_time(milliseconds: int, randomness: bytes, other: int) -> None:
    one, two = (ulid(from_milliseconds(at), randomness) for at in (milliseconds, other))
    assert version_identifier(one) == one
    assert (one < two) == (milliseconds < other)


def test_too_little_randomness_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        ulid(datetime(2026, 1, 1, tzinfo=UTC), b"123456789")
    with pytest.raises(ValueError, match="32 random bytes"):
        new_secret(b"\x00" * 31)


def test_new_secret_is_43_characters_of_its_bytes() -> None:
    secret = new_secret(bytes(range(32)))
    assert len(secret) == SECRET_LENGTH
    assert base64url_decode(secret) == bytes(range(32))


@given(st.text(max_size=20))
def test_due_shard_is_one_of_sixteen(client_id: str) -> None:
    assert 0 <= due_shard(client_id) < 16


def test_due_shard_of_a_known_digest() -> None:
    # SHA-256("abc") begins with 0xba (FIPS 180-4).
    assert due_shard("abc") == 0xBA % 16


def test_a_key_is_64_hex_digits() -> None:
    assert npub_identifier("0f" * 32) == "0f" * 32
    for wrong in ("", "0F" * 32, "0f" * 31, "0f" * 32 + "\n", "../" * 21 + "x"):
        with pytest.raises(InvalidRequest) as refused:
            npub_identifier(wrong)
        assert refused.value.reason == "bad_npub"


@given(st.dictionaries(st.text(), st.text() | st.integers()))
def test_flat_json_is_what_the_library_reads(fields: dict[str, str | int]) -> None:
    written = flat_json(fields)
    assert written is not None
    assert json.loads(written) == fields
    assert written == json.dumps(fields, separators=(",", ":"))


@pytest.mark.parametrize("value", [None, True, 1.5, [], {}, ClientKind.X_API_KEY])
def test_flat_json_leaves_the_rest_to_the_library(value: object) -> None:
    assert flat_json({"name": "text", "other": value}) is None
