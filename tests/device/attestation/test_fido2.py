"""Security keys, by the real client library, against an authenticator that the service's verifier accepts."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from fido2.ctap import CtapError
from keyturn.adapters.attestation.security_key import SecurityKeyAttestation
from keyturn.device.attestation.fido2 import FidoKeys, plugged_in
from keyturn.device.core.errors import SecurityKeyError
from keyturn.device.security_key import NO_SECURITY_KEYS, SecurityKeyCredential
from keyturn.ports.attestation import AttestationRefused

from tests.adapters.attestation.authorities import NOW
from tests.device.attestation.soft_authenticator import MAKER, SoftAuthenticator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fido2.ctap import CtapDevice

URL, DOMAIN = "https://keyturn.example", "keyturn.example"
KIND = SecurityKeyAttestation(DOMAIN, (URL,), {"packed": [MAKER.pem]})
INVITE, REQUEST = b"an invite", b"a request"


@dataclass
class Desk:
    """What is plugged in, what was said, and the PIN that is typed."""

    devices: list[SoftAuthenticator] = field(default_factory=lambda: [SoftAuthenticator()])
    said: list[str] = field(default_factory=list)
    pins: list[str] = field(default_factory=list)

    def plugged_in(self) -> Iterable[CtapDevice]:
        return self.devices

    @property
    def keys(self) -> FidoKeys:
        return FidoKeys(lambda: self.pins.pop(0) if self.pins else "", self.said.append, self.plugged_in)

    def key(self, url: str = URL, credential: str = "") -> SecurityKeyCredential:
        return SecurityKeyCredential(self.keys, url, "npub1", credential)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_registered_credential_makes_the_later_assertions(desk: Desk) -> None:
    evidence = desk.key().registration(INVITE)
    device = KIND.register(evidence, INVITE, NOW)
    assert (evidence["kind"], evidence["device_id"]) == ("webauthn", device.device_id)
    assertion = desk.key(credential=device.device_id).assertion(REQUEST)
    assert KIND.check(assertion, REQUEST, device, NOW) == 1
    assert desk.said == ["Touch the security key."] * 2
    assert desk.devices[0].touched == 2


def test_an_assertion_is_valid_for_one_statement_only(desk: Desk) -> None:
    device = KIND.register(desk.key().registration(INVITE), INVITE, NOW)
    with pytest.raises(AttestationRefused):
        KIND.check(desk.key(credential=device.device_id).assertion(REQUEST), b"another", device, NOW)


def test_another_services_origin_is_in_what_it_signs(desk: Desk) -> None:
    with pytest.raises(AttestationRefused):
        KIND.register(desk.key("https://other.example").registration(INVITE), INVITE, NOW)


def test_a_key_with_a_pin_wants_it_each_time(desk: Desk) -> None:
    desk.devices, desk.pins = [SoftAuthenticator(pin="1357 and more")], ["1357 and more"] * 2
    device = KIND.register(desk.key().registration(INVITE), INVITE, NOW)
    assert KIND.check(desk.key(credential=device.device_id).assertion(REQUEST), REQUEST, device, NOW) == 1
    assert desk.pins == []


def test_a_wrong_pin_and_a_missing_pin_give_errors(desk: Desk) -> None:
    desk.devices, desk.pins = [SoftAuthenticator(pin="1357")], ["2468"]
    with pytest.raises(SecurityKeyError, match="PIN of the security key is wrong") as told:
        desk.key().registration(INVITE)
    assert "2468" not in str(told.value) + told.value.hint
    with pytest.raises(SecurityKeyError, match="requires its PIN"):
        desk.key().registration(INVITE)
    assert desk.devices[0].touched == 0


def test_an_answer_that_the_library_can_not_read_gives_an_error(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SoftAuthenticator, "_make", lambda _self, _fields: {1: "packed", 2: b"short", 3: {}})
    with pytest.raises(SecurityKeyError, match="refused"):
        desk.key().registration(INVITE)


@pytest.mark.parametrize(("count", "said"), [(0, "No security key"), (2, "More than one")])
def test_there_must_be_exactly_one(desk: Desk, count: int, said: str) -> None:
    desk.devices = [SoftAuthenticator() for _ in range(count)]
    with pytest.raises(SecurityKeyError, match=said):
        desk.key().registration(INVITE)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (CtapError.ERR.USER_ACTION_TIMEOUT, "not touched in time"),
        (CtapError.ERR.PIN_INVALID, "PIN of the security key is wrong"),
        (CtapError.ERR.PIN_BLOCKED, "locked itself"),
        (CtapError.ERR.OPERATION_DENIED, "does not work with this address"),
        (CtapError.ERR.KEY_STORE_FULL, "can't verify its user"),
        (CtapError.ERR.OTHER, "refused"),
    ],
)
def test_refusals_of_a_security_key_give_errors(desk: Desk, status: CtapError.ERR, said: str) -> None:
    desk.devices[0].refuses_with = status
    with pytest.raises(SecurityKeyError, match=said) as told:
        desk.key().registration(INVITE)
    assert told.value.hint


def test_another_security_key_than_the_registered_one_gives_an_error(desk: Desk) -> None:
    evidence = desk.key().registration(INVITE)
    desk.devices = [SoftAuthenticator()]
    with pytest.raises(SecurityKeyError, match="not the registered one"):
        desk.key(credential=str(evidence["device_id"])).assertion(REQUEST)


def test_a_key_that_verifies_nobody_is_not_enough(desk: Desk) -> None:
    desk.devices[0].verifies = False
    with pytest.raises(SecurityKeyError, match="can't verify its user"):
        desk.key().registration(INVITE)


def test_plain_http_is_no_address_for_a_key(desk: Desk) -> None:
    with pytest.raises(SecurityKeyError, match="does not work with this address"):
        desk.key("http://127.0.0.1:8787").registration(INVITE)


def test_a_security_key_without_access_rights_gives_an_error(desk: Desk) -> None:
    def forbidden() -> Iterable[CtapDevice]:
        raise PermissionError

    with pytest.raises(SecurityKeyError, match="can't be used"):
        FidoKeys(lambda: "", desk.said.append, forbidden).create(URL, "npub1", INVITE)


def test_without_the_library_the_hint_tells_how_to_install_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fido2.client", None)
    with pytest.raises(SecurityKeyError, match="not installed") as told:
        desk.key().registration(INVITE)
    assert ".[security-key]" in told.value.hint


def test_a_program_without_access_to_security_keys_gives_an_error() -> None:
    with pytest.raises(SecurityKeyError, match="no access"):
        SecurityKeyCredential(NO_SECURITY_KEYS, URL, "npub1").registration(INVITE)
    with pytest.raises(SecurityKeyError, match="no access"):
        SecurityKeyCredential(NO_SECURITY_KEYS, URL, "npub1", "AAAA").assertion(REQUEST)


def test_this_machines_ports_can_be_looked_at() -> None:
    assert [device for device in plugged_in() if isinstance(device, SoftAuthenticator)] == []
