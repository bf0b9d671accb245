from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyturn.domain.errors import InvalidRequest, Unauthenticated
from keyturn.proofs.errors import Malformed, ProofError, Unproven
from keyturn.proofs.nostr import Event, canonical, open_event, parse_event, public_key, sign_digest, sign_event
from keyturn.proofs.nostr import verify_signature as verify

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = bytes(31) + b"\x03"
CURVE_ORDER = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def zeros(count: int) -> bytes:
    return bytes(count)


def signed(**fields: Any) -> Event:  # noqa: ANN401 - any field, right or wrong
    defaults: dict[str, Any] = {
        "kind": 40901,
        "tags": [["client", "acme"]],
        "content": "hello",
        "created_at": 1_700_000_000,
    }
    return sign_event(KEY, **{**defaults, **fields}, random=zeros)


# --- known answers


# BIP-340 test vectors 0 and 1 (secret key, public key, auxiliary randomness, message, signature).
BIP_340 = {
    "vector 0": (
        "0000000000000000000000000000000000000000000000000000000000000003",
        "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000000",
        (
            "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
            "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0"
        ),
    ),
    "vector 1": (
        "b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        "0000000000000000000000000000000000000000000000000000000000000001",
        "243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89",
        (
            "6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de3341"
            "8906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a"
        ),
    ),
}


@pytest.mark.parametrize("vector", BIP_340.values(), ids=BIP_340.keys())
def test_bip_340_vectors_sign_and_verify(vector: tuple[str, ...]) -> None:
    key, public, aux, message, signature = (bytes.fromhex(part) for part in vector)
    assert public_key(key) == public.hex()
    assert sign_digest(key, message, lambda _count: aux) == signature
    assert verify(public.hex(), message, signature)


# BIP-340 test vectors that must fail: public key, message, signature.
BIP_340_REFUSED = {
    "5: public key not on the curve": (
        "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34",
        (
            "7036d6bfe1837ae919631039a2cf652a295dfac9a8bbb0806014b2f48dd7c807"
            "941607b563abba414287f374a332ba3636de009ee1ef551a17796b72b68b8a24"
        ),
    ),
    "9: sG - eP is infinite": (
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        (
            "0000000000000000000000000000000000000000000000000000000000000000"
            "9915ee59f07f9dbbaedc31bfcc9b34ad49de669cd24773bced77dda36d073ec8"
        ),
    ),
    "11: r is not on the curve": (
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        (
            "4a298dacae57395a15d0795ddbfd1dcb564da82b0f269bc70a74f8220429ba1d"
            "941607b563abba414287f374a332ba3636de009ee1ef551a17796b72b68b8a24"
        ),
    ),
    "12: r is the field size": (
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        (
            "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"
            "941607b563abba414287f374a332ba3636de009ee1ef551a17796b72b68b8a24"
        ),
    ),
    "13: s is the curve order": (
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
        (
            "7036d6bfe1837ae919631039a2cf652a295dfac9a8bbb0806014b2f48dd7c807"
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
        ),
    ),
    "14: public key exceeds the field": (
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc30",
        (
            "7036d6bfe1837ae919631039a2cf652a295dfac9a8bbb0806014b2f48dd7c807"
            "941607b563abba414287f374a332ba3636de009ee1ef551a17796b72b68b8a24"
        ),
    ),
}


@pytest.mark.parametrize("vector", BIP_340_REFUSED.values(), ids=BIP_340_REFUSED.keys())
def test_bip_340_vectors_that_must_fail(vector: tuple[str, str]) -> None:
    message = bytes.fromhex("243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89")
    assert not verify(vector[0], message, bytes.fromhex(vector[1]))


# Signed by other programs: nak, and the example that NIP-98 has in base64.
FOREIGN = {
    "nak": {
        "kind": 1,
        "id": "693fe0c19b0498f428adfe65182bfe135d34dd9efc39905887d5c5efa528d044",
        "pubkey": "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
        "created_at": 1700000000,
        "tags": [],
        "content": "hello tclnostr",
        "sig": "30a6bcca9a2f1342d47a9949317e22a0c34e01fd94d38b7bc34d93030e783941"
        "2592ff31cb1980e092ff7162e3f6d80a8d0ee25e586893fa99c8d33ee88b892b",
    },
    "nip-98": {
        "id": "fe964e758903360f28d8424d092da8494ed207cba823110be3a57dfe4b578734",
        "pubkey": "63fe6318dc58583cfe16810f86dd09e18bfd76aabc24a0081ce2856f330504ed",
        "content": "",
        "kind": 27235,
        "created_at": 1682327852,
        "tags": [["url", "https://api.snort.social/api/v1/n5sp/list"], ["method", "GET"]],
        "sig": "5ed9d8ec958bc854f997bdc24ac337d005af372324747efe4a00e24f4c30437f"
        "f4dd8308684bed467d9d6be3e5a517bb43b1732cc7d33949a3aaf86705c22184",
    },
}


@pytest.mark.parametrize("fields", FOREIGN.values(), ids=FOREIGN.keys())
def test_events_of_other_programs_open(fields: dict[str, Any]) -> None:
    event = open_event(json.dumps(fields))
    assert event.id == fields["id"]
    assert event.to_dict() == fields


def test_canonical_form_escapes_seven_characters_and_no_other() -> None:
    event = signed(content='\n"\\\r\t\b\f\x01\x7f/é\u2028😀', tags=[['a"b', "\t"]], created_at=5, kind=1)
    assert canonical(event) == (
        f'[0,"{event.pubkey}",5,1,[["a\\"b","\\t"]],"\\n\\"\\\\\\r\\t\\b\\f\x01\x7f/é\u2028😀"]'.encode()
    )
    assert event.id == hashlib.sha256(canonical(event)).hexdigest()


# --- mutations


def put(name: str, value: object) -> Callable[[dict[str, Any]], None]:
    return lambda fields: fields.__setitem__(name, value)


def drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda fields: fields.__delitem__(name)


def flip(name: str, place: int) -> Callable[[dict[str, Any]], None]:
    def change(fields: dict[str, Any]) -> None:
        text = fields[name]
        digit = "1" if text[place] == "0" else "0"
        fields[name] = text[:place] + digit + text[place + 1 :]

    return change


MALFORMED: dict[str, Callable[[dict[str, Any]], None]] = {
    **{f"without {name}": drop(name) for name in ("id", "pubkey", "created_at", "kind", "tags", "content", "sig")},
    **{f"null {name}": put(name, None) for name in ("id", "pubkey", "created_at", "kind", "tags", "content", "sig")},
    "id too short": put("id", "a" * 63),
    "id too long": put("id", "a" * 65),
    "id with a line end": put("id", "a" * 64 + "\n"),
    "id upper case": lambda fields: put("id", fields["id"].upper())(fields),
    "id of other digits": put("id", "\N{ARABIC-INDIC DIGIT ONE}" * 64),
    "id not hex": put("id", "g" * 64),
    "id a number": put("id", 1),
    "pubkey compressed": lambda fields: put("pubkey", "02" + fields["pubkey"])(fields),
    "pubkey upper case": lambda fields: put("pubkey", fields["pubkey"].upper())(fields),
    "sig too short": lambda fields: put("sig", fields["sig"][:-1])(fields),
    "sig upper case": lambda fields: put("sig", fields["sig"].upper())(fields),
    "sig with 0x": lambda fields: put("sig", "0x" + fields["sig"][2:])(fields),
    "created_at a float": put("created_at", 1700000000.0),
    "created_at text": put("created_at", "1700000000"),
    "created_at true": put("created_at", value=True),
    "created_at negative": put("created_at", -1),
    "created_at beyond 53 bits": put("created_at", 2**53),
    "kind true": put("kind", value=True),
    "kind a float": put("kind", 40901.0),
    "kind negative": put("kind", -1),
    "kind beyond 16 bits": put("kind", 65536),
    "tags an object": put("tags", {}),
    "tags text": put("tags", "client"),
    "tag not a list": put("tags", ["client"]),
    "tag an object": put("tags", [{"client": "acme"}]),
    "tag empty": put("tags", [[]]),
    "tag with a number": put("tags", [["client", 1]]),
    "tag with null": put("tags", [["client", None]]),
    "tag nested": put("tags", [["client", ["acme"]]]),
    "tag with a lone surrogate": put("tags", [["client", "\ud800"]]),
    "content a number": put("content", 1),
    "content an object": put("content", {}),
    "content with a lone surrogate": put("content", "a\udfff"),
}

UNPROVEN = {
    "id changed first": (flip("id", 0), "wrong_event_id"),
    "id changed last": (flip("id", 63), "wrong_event_id"),
    "pubkey changed": (flip("pubkey", 10), "wrong_event_id"),
    "created_at changed": (put("created_at", 1_700_000_001), "wrong_event_id"),
    "kind changed": (put("kind", 40902), "wrong_event_id"),
    "content changed": (put("content", "hello "), "wrong_event_id"),
    "tag changed": (put("tags", [["client", "acme2"]]), "wrong_event_id"),
    "tag longer": (put("tags", [["client", "acme", ""]]), "wrong_event_id"),
    "tag added": (put("tags", [["client", "acme"], ["client", "acme"]]), "wrong_event_id"),
    "tags gone": (put("tags", []), "wrong_event_id"),
    "tag split": (put("tags", [["client"], ["acme"]]), "wrong_event_id"),
    "sig changed in r": (flip("sig", 0), "bad_signature"),
    "sig changed in s": (flip("sig", 127), "bad_signature"),
    "sig zero": (put("sig", "0" * 128), "bad_signature"),
    "sig of ones": (put("sig", "f" * 128), "bad_signature"),
}


def check_refused(data: bytes | str | dict[str, Any], reason: str) -> ProofError:
    with pytest.raises(ProofError) as caught:
        open_event(data)
    assert caught.value.reason == reason
    return caught.value


@pytest.mark.parametrize("mutation", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_event_is_refused_as_object_and_as_text(mutation: Callable[[dict[str, Any]], None]) -> None:
    fields = signed().to_dict()
    mutation(fields)
    assert isinstance(check_refused(fields, "malformed_event"), InvalidRequest)
    # A text with a lone surrogate is no JSON that can be read in one way, whatever is in it.
    check_refused(json.dumps(fields), "malformed_json" if "\\ud" in json.dumps(fields) else "malformed_event")


@pytest.mark.parametrize(("mutation", "reason"), UNPROVEN.values(), ids=UNPROVEN.keys())
def test_a_changed_event_is_refused(mutation: Callable[[dict[str, Any]], None], reason: str) -> None:
    fields = copy.deepcopy(signed().to_dict())
    mutation(fields)
    assert isinstance(check_refused(fields, reason), Unauthenticated)


@pytest.mark.parametrize(
    "pubkey", ["0" * 64, "f" * 64, "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34"]
)
def test_a_right_id_under_a_key_that_is_no_point_is_refused(pubkey: str) -> None:
    fields = {**signed().to_dict(), "pubkey": pubkey}
    fields["id"] = hashlib.sha256(canonical(parse_event(fields))).hexdigest()
    check_refused(fields, "bad_signature")


def test_another_keys_signature_is_refused() -> None:
    fields = signed().to_dict()
    fields["sig"] = sign_digest(bytes(31) + b"\x04", bytes.fromhex(str(fields["id"])), zeros).hex()
    check_refused(fields, "bad_signature")


TEXTS = {
    "nothing": b"",
    "an array": b"[]",
    "null": b"null",
    "cut short": signed().to_json().encode()[:-1],
    "two objects": signed().to_json().encode() * 2,
    "byte order mark": b"\xef\xbb\xbf" + signed().to_json().encode(),
    "UTF-16": signed().to_json().encode("utf-16"),
    "not UTF-8": signed(content="é").to_json().encode("latin-1"),
    "a name twice": signed().to_json().replace('"kind"', '"kind":1,"kind"').encode(),
    "a name twice, deep in an extra": signed().to_json().replace("{", '{"x":[{"a":1,"a":1}],', 1).encode(),
    "NaN in an extra": signed().to_json().replace("{", '{"x":NaN,', 1).encode(),
    "infinity in an extra": signed().to_json().replace("{", '{"x":-Infinity,', 1).encode(),
    "a number without end": signed().to_json().replace("1700000000", "1" * 5000).encode(),
    "nesting without end": b'{"tags":' + b"[" * 200_000,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_text_with_no_single_reading_is_refused(text: bytes) -> None:
    check_refused(text, "malformed_json")


# --- use


def test_keys_that_nip_01_does_not_name_are_ignored() -> None:
    assert open_event({**signed().to_dict(), "relay": "wss://example.org"}) == signed()


def test_bytes_text_and_object_are_the_same_event() -> None:
    event = signed(content="é😀")
    assert open_event(event.to_json()) == open_event(event.to_json().encode()) == open_event(event.to_dict()) == event


def test_tags_by_name() -> None:
    event = signed(tags=[["client", "acme"], ["mls"], ["client", "other", "more"]])
    assert (event.tag("client"), event.tag("mls"), event.tag("h")) == ("acme", None, None)
    assert (event.tag_count("client"), event.tag_count("mls"), event.tag_count("h")) == (2, 1, 0)


def test_signing_takes_its_randomness_from_the_argument() -> None:
    asked: list[int] = []

    def random(count: int) -> bytes:
        asked.append(count)
        return b"\x07" * count

    event = sign_event(KEY, kind=1, tags=[], content="", created_at=0, random=random)
    assert asked == [32]
    assert event.id == signed(kind=1, tags=[], content="", created_at=0).id
    assert event.sig != signed(kind=1, tags=[], content="", created_at=0).sig


def test_an_event_is_frozen_and_shows_no_content() -> None:
    event = signed(content="a bearer proof")
    with pytest.raises(FrozenInstanceError):
        event.content = "x"  # type: ignore[misc]  # the point of the test
    assert "bearer" not in repr(event)


@pytest.mark.parametrize("fields", [{"kind": 65536}, {"created_at": -1}, {"content": "\ud800"}, {"tags": [[]]}])
def test_nothing_is_signed_that_would_not_be_accepted(fields: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        signed(**fields)


@pytest.mark.parametrize(
    "key",
    [b"", b"\x03", bytes(32), b"\xff" * 32, bytes(33), CURVE_ORDER.to_bytes(32)],
    ids=lambda key: f"{len(key)} bytes",
)
def test_a_private_key_that_is_none_is_our_own_error(key: bytes) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|scalar") as caught:
        public_key(key)
    assert key.hex() == "" or key.hex() not in str(caught.value)


def test_a_refusal_echoes_nothing_and_keeps_no_cause() -> None:
    refusal = check_refused('{"content": "canary-of-the-caller"', "malformed_json")
    assert "canary" not in f"{refusal!r} {refusal.__cause__!r} {refusal.__context__!r}"


# --- properties


@settings(max_examples=60, deadline=None)
@given(content=WORDS, tags=st.lists(st.lists(WORDS, min_size=1, max_size=3), max_size=3), kind=st.integers(0, 65535))
def test_what_is_signed_opens_again(content: str, tags: list[list[str]], kind: int) -> None:
    event = signed(content=content, tags=tags, kind=kind)
    assert open_event(event.to_json().encode("utf-8")) == event
    assert event.tags == tuple(map(tuple, tags))


@settings(max_examples=100, deadline=None)
@given(content=st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters='\n"\\\r\t\b\f'), max_size=40))
def test_canonical_form_is_compact_json(content: str) -> None:
    fields = {**signed().to_dict(), "content": content}
    listed = [0, *(fields[name] for name in ("pubkey", "created_at", "kind", "tags", "content"))]
    assert canonical(parse_event(fields)) == json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode()


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 127), digit=st.sampled_from("0123456789abcdef"))
def test_no_other_signature_of_one_digit_verifies(place: int, digit: str) -> None:
    event = signed()
    sig = event.sig[:place] + digit + event.sig[place + 1 :]
    if sig != event.sig:
        with pytest.raises(Unproven):
            open_event({**event.to_dict(), "sig": sig})


@settings(max_examples=200, deadline=None)
@given(data=st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_junk_is_refused_and_never_breaks(data: bytes | str) -> None:
    with pytest.raises(Malformed):
        open_event(data)


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(["id", "pubkey", "created_at", "kind", "tags", "content", "sig"]),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
)
def test_any_other_value_is_refused_and_never_breaks(name: str, value: object) -> None:
    fields = signed().to_dict()
    if value != fields[name]:
        with pytest.raises(ProofError):
            open_event({**fields, name: value})
