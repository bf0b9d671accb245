from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyturn.proofs.errors import Malformed, ProofError, Unproven
from keyturn.proofs.nip98 import check_authorization, sign_authorization
from keyturn.proofs.nostr import Event, public_key, sign_event

KEY = bytes(31) + b"\x03"
NOW = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC)
URL = "https://keyturn.example/status?after=000000000001"


def zeros(count: int) -> bytes:
    return bytes(count)


def header_of(event: Event) -> str:
    return "Nostr " + base64.b64encode(event.to_json().encode()).decode()


def authorization(body: bytes | None = None, **changes: Any) -> str:  # noqa: ANN401 - any argument of the call
    request: dict[str, Any] = {"url": URL, "method": "POST" if body else "GET", "body": body, "now": NOW}
    return sign_authorization(KEY, **{**request, **changes}, random=zeros)


def check(header: str, body: bytes | None = None, **changes: Any) -> Event:  # noqa: ANN401 - any argument of the call
    request: dict[str, Any] = {"url": URL, "method": "POST" if body else "GET", "body": body, "now": NOW}
    return check_authorization(header, **{**request, **changes})


@pytest.mark.parametrize("body", [None, b"", b"{}", b"\x00" * 5000], ids=["none", "empty", "short", "long"])
def test_a_signed_request_is_accepted(body: bytes | None) -> None:
    event = check(authorization(body), body)
    assert event.pubkey == public_key(KEY)
    assert event.kind == 27235
    assert event.content == ""
    assert event.tag("u") == URL
    assert event.tag("payload") == (hashlib.sha256(body).hexdigest() if body else None)


def test_the_schemes_case_does_not_matter() -> None:
    assert check(authorization().replace("Nostr", "nostr")).tag("u") == URL


def test_the_published_example_has_no_u_tag_and_is_refused() -> None:
    # NIP-98's base64 names its URL in a tag "url"; the text requires "u".
    fields = {
        "id": "fe964e758903360f28d8424d092da8494ed207cba823110be3a57dfe4b578734",
        "pubkey": "63fe6318dc58583cfe16810f86dd09e18bfd76aabc24a0081ce2856f330504ed",
        "content": "",
        "kind": 27235,
        "created_at": 1682327852,
        "tags": [["url", "https://api.snort.social/api/v1/n5sp/list"], ["method", "GET"]],
        "sig": "5ed9d8ec958bc854f997bdc24ac337d005af372324747efe4a00e24f4c30437f"
        "f4dd8308684bed467d9d6be3e5a517bb43b1732cc7d33949a3aaf86705c22184",
    }
    header = "Nostr " + base64.b64encode(json.dumps(fields, separators=(",", ":")).encode()).decode()
    with pytest.raises(Unproven) as caught:
        check(header, url="https://api.snort.social/api/v1/n5sp/list", now=datetime.fromtimestamp(1682327852, UTC))
    assert caught.value.reason == "wrong_url"


OTHER_REQUESTS: dict[str, tuple[dict[str, Any], str]] = {
    "other path": ({"url": "https://keyturn.example/enrol?after=000000000001"}, "wrong_url"),
    "no query": ({"url": "https://keyturn.example/status"}, "wrong_url"),
    "other scheme": ({"url": URL.replace("https", "http")}, "wrong_url"),
    "trailing slash": ({"url": URL + "/"}, "wrong_url"),
    "other case": ({"url": URL.upper()}, "wrong_url"),
    "other method": ({"method": "DELETE"}, "wrong_method"),
    "method in lower case": ({"method": "post"}, "wrong_method"),
    "other body": ({"body": b"{} "}, "wrong_payload"),
    "no body": ({"body": None}, "wrong_payload"),
    "too late": ({"now": NOW + timedelta(seconds=61)}, "wrong_time"),
    "too early": ({"now": NOW - timedelta(seconds=61)}, "wrong_time"),
    "late by the tolerance given": ({"now": NOW + timedelta(seconds=6), "tolerance_seconds": 5}, "wrong_time"),
}


@pytest.mark.parametrize(("changes", "reason"), OTHER_REQUESTS.values(), ids=OTHER_REQUESTS.keys())
def test_another_request_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unproven) as caught:
        check(authorization(b"{}"), **{"body": b"{}", "method": "POST", **changes})
    assert caught.value.reason == reason


@pytest.mark.parametrize("seconds", [-60, 0, 60])
def test_the_tolerance_is_inclusive(seconds: int) -> None:
    assert check(authorization(), now=NOW + timedelta(seconds=seconds)).kind == 27235


PAYLOAD = hashlib.sha256(b"{}").hexdigest()
OTHER_EVENTS: dict[str, tuple[dict[str, Any], str]] = {
    "other kind": ({"kind": 22242}, "wrong_kind"),
    "no u": ({"tags": [["method", "POST"], ["payload", PAYLOAD]]}, "wrong_url"),
    "two u": ({"tags": [["u", URL], ["u", URL], ["method", "POST"], ["payload", PAYLOAD]]}, "wrong_url"),
    "u without value": ({"tags": [["u"], ["method", "POST"], ["payload", PAYLOAD]]}, "wrong_url"),
    "no method": ({"tags": [["u", URL], ["payload", PAYLOAD]]}, "wrong_method"),
    "two methods": (
        {"tags": [["u", URL], ["method", "POST"], ["method", "GET"], ["payload", PAYLOAD]]},
        "wrong_method",
    ),
    "no payload": ({"tags": [["u", URL], ["method", "POST"]]}, "wrong_payload"),
    "two payloads": ({"tags": [["u", URL], ["method", "POST"], *[["payload", PAYLOAD]] * 2]}, "wrong_payload"),
    "payload upper case": ({"tags": [["u", URL], ["method", "POST"], ["payload", PAYLOAD.upper()]]}, "wrong_payload"),
    "payload not ASCII": ({"tags": [["u", URL], ["method", "POST"], ["payload", "é"]]}, "wrong_payload"),
}


@pytest.mark.parametrize(("changes", "reason"), OTHER_EVENTS.values(), ids=OTHER_EVENTS.keys())
def test_an_event_that_says_too_little_or_too_much_is_refused(changes: dict[str, Any], reason: str) -> None:
    tags = [["u", URL], ["method", "POST"], ["payload", PAYLOAD]]
    fields: dict[str, Any] = {"kind": 27235, "tags": tags, "content": "", "created_at": int(NOW.timestamp())}
    with pytest.raises(Unproven) as caught:
        check(header_of(sign_event(KEY, **{**fields, **changes}, random=zeros)), b"{}")
    assert caught.value.reason == reason


TOKEN = authorization().removeprefix("Nostr ")
HEADERS = {
    "nothing": "",
    "scheme only": "Nostr",
    "no token": "Nostr ",
    "no scheme": TOKEN,
    "other scheme": f"Bearer {TOKEN}",
    "line end": f"Nostr {TOKEN}\n",
    "no padding": f"Nostr {TOKEN.rstrip('=')}" if TOKEN.endswith("=") else f"Nostr {TOKEN}=",
    "more padding": f"Nostr {TOKEN}====",
    "not ASCII": f"Nostr é{TOKEN}",
    "base64url": "Nostr " + base64.urlsafe_b64encode(b"\xfb\xff\xfe").decode(),
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_without_an_event_is_refused(header: str) -> None:
    with pytest.raises(Malformed) as caught:
        check(header)
    assert caught.value.reason == "malformed_authorization"


@pytest.mark.parametrize("header", [f"Nostr  {TOKEN}", f"nostr {TOKEN} ", f"\tNOSTR {TOKEN}"])
def test_spaces_and_case_of_the_scheme_do_not_matter(header: str) -> None:
    assert check(header).tag("method") == "GET"


def test_a_changed_event_is_refused() -> None:
    fields = json.loads(base64.b64decode(TOKEN))
    fields["created_at"] += 1
    with pytest.raises(Unproven) as caught:
        check("Nostr " + base64.b64encode(json.dumps(fields).encode()).decode())
    assert caught.value.reason == "wrong_event_id"


@settings(max_examples=100, deadline=None)
@given(
    header=st.one_of(
        st.text(max_size=80), st.binary(max_size=80).map(lambda b: "Nostr " + base64.b64encode(b).decode())
    )
)
def test_junk_is_refused_and_never_breaks(header: str) -> None:
    with pytest.raises(ProofError):
        check(header)


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=100), other=st.binary(max_size=100))
def test_only_the_signed_body_passes(body: bytes, other: bytes) -> None:
    header = authorization(body, method="POST")
    assert check(header, body, method="POST").kind == 27235
    if other != body:
        with pytest.raises(Unproven):
            check(header, other, method="POST")
