"""A security key at the command line's device, and the service's own doors: registered, proving, refused elsewhere."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pyotp
import pytest
from keyturn.device.attestation.fido2 import FidoKeys
from keyturn.device.attestation.id_token import read_id_token
from keyturn.device.core.errors import SecurityKeyError, ServerRefusedError
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from keyturn.proofs.jws import read_unverified

from tests.device.attestation.soft_authenticator import MAKER, SoftAuthenticator
from tests.world import CHEAP, CLIENT, GROUP, URL, World, WorldTransport

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.device.api.client import HttpRequest, HttpResponse

pytestmark = pytest.mark.world(attested=True)

SERVED = "https://keyturn.example"


class Listening(WorldTransport):
    """Keeps the proofs that are answered."""

    def __init__(self) -> None:
        self.proofs: list[str] = []

    def send(self, call: HttpRequest) -> HttpResponse:
        answer = super().send(call)
        if call.url.endswith("/admin_proof/proof") and answer.status == 200:
            self.proofs.append(str(json.loads(answer.body)["jwt_proof"]))
        return answer


@dataclass
class Served:
    """Security keys as they are at the address that people reach the service by; a test's own is an IP address."""

    plugged: SoftAuthenticator = field(default_factory=SoftAuthenticator)
    origin: str = SERVED

    def _keys(self) -> FidoKeys:
        return FidoKeys(lambda: "", lambda _sentence: None, lambda: [self.plugged])

    def create(self, origin: str, name: str, challenge: bytes) -> dict[str, object]:
        assert origin == URL
        return self._keys().create(self.origin, name, challenge)

    def get(self, origin: str, credential: str, challenge: bytes) -> dict[str, object]:
        assert origin == URL
        return self._keys().get(self.origin, credential, challenge)


@dataclass
class Alice:
    """The deployment's first admin."""

    world: World
    keys: Served = field(default_factory=Served)
    wire: Listening = field(default_factory=Listening)
    authenticator: pyotp.OTP | None = None

    def __post_init__(self) -> None:
        home = Home.create(self.world.folder / "alice", "laptop", "passphrase", cost=CHEAP)
        token = self.world.operator("/id_tokens", {"user": "alice"}).json
        read_id_token(token["id_token"]).save(home)  # type: ignore[index]  # an object
        self.device = Device.open(
            home,
            URL,
            transport=self.wire,
            now=self.world.clock,
            random=os.urandom,
            sleep=lambda _seconds: None,
            ask_code=self.code,
            security_keys=self.keys,
        )

    def code(self) -> str:
        assert isinstance(self.authenticator, pyotp.TOTP)
        self.world.clock.advance(seconds=30)
        return self.authenticator.at(int(self.world.clock.now.timestamp()))

    def enrol(self) -> None:
        code = self.world.invite("alice")
        registered = self.device.register(code, security_key=True)
        assert registered is not None
        assert registered.otpauth is not None
        self.authenticator = pyotp.parse_uri(registered.otpauth)
        self.device.confirm(code, self.code())
        self.device.join(code)


@pytest.fixture(autouse=True)
def security_keys_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = tmp_path / "roots"
    roots.mkdir()
    (roots / "packed.pem").write_bytes(MAKER.pem)
    monkeypatch.setenv("KEYTURN_ATTESTATIONS", "webauthn")
    monkeypatch.setenv("KEYTURN_WEBAUTHN_RP_ID", "keyturn.example")
    monkeypatch.setenv("KEYTURN_WEBAUTHN_ORIGINS", SERVED)
    monkeypatch.setenv("KEYTURN_WEBAUTHN_ROOTS", str(roots))


def test_a_security_key_registers_and_proves(world: World) -> None:
    alice = Alice(world)
    alice.enrol()
    assert alice.device.rotate(CLIENT, "first issue")["client_id"] == CLIENT
    (proof,) = alice.wire.proofs
    claims = read_unverified(proof).claims
    assert (claims["sub"], claims["amr"], claims["mls_group"]) == ("alice", ["hwk", "pop", "totp"], GROUP)
    assert alice.keys.plugged.counter == 1


def test_a_software_key_is_nothing_where_only_security_keys_count(world: World) -> None:
    alice = Alice(world)
    with pytest.raises(ServerRefusedError) as refused:
        alice.device.register(world.invite("alice"))
    assert refused.value.reason == "proof_refused"


def test_at_another_address_the_key_does_nothing(world: World) -> None:
    alice = Alice(world)
    alice.enrol()
    alice.keys.origin = "https://lure.keyturn.example"
    with pytest.raises(SecurityKeyError, match="not the registered one"):
        alice.device.rotate(CLIENT, "first issue")
    assert alice.wire.proofs == []


def test_a_counter_that_went_back_is_a_copied_key(world: World) -> None:
    alice = Alice(world)
    alice.enrol()
    alice.keys.plugged.counter = 7
    assert alice.device.rotate(CLIENT, "first issue")["client_id"] == CLIENT
    alice.keys.plugged.counter = 3
    with pytest.raises(ServerRefusedError) as refused:
        alice.device.rotate(CLIENT, "again", emergency=True)
    assert refused.value.reason == "proof_refused"


def test_however_long_somebody_types_the_lead_counts_from_the_request(world: World) -> None:
    alice = Alice(world)  # who takes half a minute for a code
    alice.enrol()
    answer = alice.device.rotate(CLIENT, "first issue", not_before=timedelta(seconds=10))
    assert answer["not_before"] == world.milliseconds(seconds=10)
