from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.device.core.signed_events import (
    EventSigner,
    RotationRequest,
    ack_event,
    key_package_event,
    rotation_event,
    service_event,
)
from keyturn.device.groups.inbox import Notice
from keyturn.domain.encodings import base64url_encode, to_milliseconds
from keyturn.proofs.nostr import Event, open_event, public_key
from keyturn.proofs.receipts import AckStatement, receipt_key, verify_receipt

from tests.world import START

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = b"\x07" * 32
ROTATION, VERSION = "01JNM0000000000000000000A1", "01JNM0000000000000000000B1"
SECRET = "s" * 43
SIGNER = EventSigner(KEY, lambda: START, os.urandom)
REQUEST = RotationRequest(
    client_id="acme", rotation_id=ROTATION, reason="routine", group="ops", grace_milliseconds=60_000
)
NOTICE = Notice(
    rotation_id=ROTATION,
    client_id="acme",
    version_id=VERSION,
    group="ops",
    secret=SECRET,
    secret_hash=base64url_encode(b"h" * 32),
    mac_key_ref="mac/1",
    not_before=1,
    grace_until=None,
    sender="00" * 32,
    received_at=1,
)
ACK = NOTICE.acknowledgement(public_key(KEY), START)


def reread(event: Event) -> tuple[Event, dict[str, Any]]:
    again = open_event(event.to_json())
    return again, json.loads(again.content)


def with_changes(**changes: Any) -> RotationRequest:  # noqa: ANN401 - any field of the request
    fields = {name: getattr(REQUEST, name) for name in REQUEST.__slots__}
    return RotationRequest(**{**fields, **changes})


def assert_tags_agree(event: Event, content: Mapping[str, Any], named: Mapping[str, str]) -> None:
    for tag, name in named.items():
        assert event.tag_count(tag) == 1
        assert event.tag(tag) == content[name]


def test_a_rotation_request_says_the_same_in_tags_and_content() -> None:
    event, content = reread(rotation_event(SIGNER, REQUEST))
    named = {"client": "client_id", "mls": "mls_group", "rotation": "rotation_id", "reason": "rotation_reason"}
    assert_tags_agree(event, content, named)
    assert (event.kind, event.pubkey, event.created_at) == (40901, public_key(KEY), int(START.timestamp()))
    assert event.tag("nip-kr") == "0.1.0"
    assert content["grace_duration_ms"] == 60_000
    assert content["jwt_proof"] == ""


def test_options_that_are_not_set_are_not_in_the_request() -> None:
    _, content = reread(rotation_event(SIGNER, REQUEST))
    assert not {"not_before", "supersede"} & set(content)


def test_options_that_are_set_are_in_the_request() -> None:
    _, content = reread(rotation_event(SIGNER, with_changes(not_before=123, supersede=True)))
    assert (content["not_before"], content["supersede"]) == (123, True)


def test_an_emergency_is_a_service_request_with_the_same_params() -> None:
    event, content = reread(rotation_event(SIGNER, with_changes(emergency=True)))
    _, planned = reread(rotation_event(SIGNER, REQUEST))
    assert event.kind == 40910
    assert_tags_agree(event, content, {"service": "action_type", "action": "action_id", "client": "client_id"})
    assert (content["action_type"], content["action_id"]) == ("emergency", ROTATION)
    assert all(planned[name] == value for name, value in content["params"].items() if name != "reason")
    assert content["params"]["reason"] == "routine"


def test_a_service_request_says_the_same_in_tags_and_content() -> None:
    event, content = reread(
        service_event(
            SIGNER, action_type="retire", action_id="a1", client_id="acme", group="ops", params={"version_id": VERSION}
        )
    )
    named = {"service": "action_type", "action": "action_id", "client": "client_id", "profile": "profile"}
    assert_tags_agree(event, content, named)
    assert (event.kind, event.tag("mls"), event.tag("nip-service")) == (40910, "ops", "0.1.0")
    assert content["profile"] == "nip-kr/0.1.0"
    assert content["params"] == {"version_id": VERSION}


def test_an_ack_carries_a_receipt_that_verifies() -> None:
    event, content = reread(ack_event(SIGNER, ACK, SECRET))
    assert_tags_agree(event, content, {"rotation": "rotation_id", "client": "client_id", "version": "version_id"})
    assert (event.kind, content["ack_by"], content["ack_at"]) == (40902, public_key(KEY), to_milliseconds(START))
    receipt = content.pop("receipt")
    key = receipt_key(SECRET, client_id="acme", version_id=VERSION, rotation_id=ROTATION)
    assert verify_receipt(key, receipt, AckStatement(**content))


@pytest.mark.parametrize("name", ["rotation_id", "client_id", "version_id", "ack_by", "secret_hash", "mac_key_ref"])
def test_a_receipt_is_for_its_ack_only(name: str) -> None:
    _, content = reread(ack_event(SIGNER, ACK, SECRET))
    receipt = content.pop("receipt")
    key = receipt_key(SECRET, client_id="acme", version_id=VERSION, rotation_id=ROTATION)
    assert not verify_receipt(key, receipt, AckStatement(**{**content, name: "another"}))


def test_an_ack_does_not_carry_the_secret() -> None:
    assert SECRET not in ack_event(SIGNER, ACK, SECRET).to_json()


def test_a_key_package_travels_as_kind_443() -> None:
    event = open_event(key_package_event(SIGNER, b"package").to_dict())
    assert (event.kind, event.content) == (443, base64url_encode(b"package"))


def test_a_signer_does_not_show_its_key() -> None:
    assert "7" * 4 not in repr(SIGNER)
    assert repr(KEY) not in repr(SIGNER)
