from __future__ import annotations

import os

import pytest
from keyturn.device.home.errors import DamagedError
from keyturn.device.home.sealed_files import HomeState, _associated_data, open_state, seal, seal_state

DATA_KEY = bytes(range(32))
PUBKEY = "ab" * 32
STATE = HomeState(7, b"\x03" * 32, {("group", "admins"): b"state", ("inbox", "\u20ac \x00"): b""})


def sealed(plaintext: bytes) -> bytes:
    return b"keyturn-state\x01" + seal(DATA_KEY, plaintext, _associated_data(PUBKEY), os.urandom)


def test_a_sealed_state_comes_back_whatever_its_ids_are() -> None:
    assert open_state(seal_state(STATE, DATA_KEY, PUBKEY, os.urandom), DATA_KEY, PUBKEY) == STATE


def test_a_change_leaves_the_state_before_it_as_it_was() -> None:
    later = STATE.with_changes({("group", "admins"): None, ("cursor", "admins"): b"9"})
    assert later.counter == 8
    assert dict(later.records) == {("cursor", "admins"): b"9", ("inbox", "\u20ac \x00"): b""}
    assert STATE.records[("group", "admins")] == b"state"


@pytest.mark.parametrize(("data_key", "pubkey"), [(bytes(32), PUBKEY), (DATA_KEY, "cd" * 32)], ids=["key", "device"])
def test_a_state_opens_under_its_key_for_its_device_only(data_key: bytes, pubkey: str) -> None:
    with pytest.raises(DamagedError):
        open_state(seal_state(STATE, DATA_KEY, PUBKEY, os.urandom), data_key, pubkey)


SEALED_BUT_WRONG = {
    "no JSON": b"state",
    "no counter": b'{"private_key":"","records":[]}',
    "counter as text": b'{"counter":"1","private_key":"","records":[]}',
    "key as null": b'{"counter":1,"private_key":null,"records":[]}',
    "key not base64url": b'{"counter":1,"private_key":"=","records":[]}',
    "records as object": b'{"counter":1,"private_key":"","records":{}}',
    "record too short": b'{"counter":1,"private_key":"","records":[["group","admins"]]}',
    "record no list": b'{"counter":1,"private_key":"","records":[1]}',
    "record without text": b'{"counter":1,"private_key":"","records":[["group","admins",null]]}',
    "record not base64url": b'{"counter":1,"private_key":"","records":[["group","admins","%"]]}',
    "record of a list": b'{"counter":1,"private_key":"","records":[[[],"admins",""]]}',
}


@pytest.mark.parametrize("plaintext", SEALED_BUT_WRONG.values(), ids=SEALED_BUT_WRONG.keys())
def test_a_well_sealed_file_of_another_form_is_damaged(plaintext: bytes) -> None:
    with pytest.raises(DamagedError):
        open_state(sealed(plaintext), DATA_KEY, PUBKEY)


def test_the_right_form_is_accepted() -> None:
    plaintext = b'{"counter":1,"private_key":"","records":[["group","admins","YQ"]]}'
    assert open_state(sealed(plaintext), DATA_KEY, PUBKEY) == HomeState(1, b"", {("group", "admins"): b"a"})
