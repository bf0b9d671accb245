"""A phone with a signature counter (App Attest): from its registration on the counter rises and never falls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain.encodings import base64url_encode, invite_id
from keyturn.entry.config.proof_settings import ProofSettings
from keyturn.proofs.statement import RegistrationStatement, Statement
from keyturn.records.admin import Admin
from keyturn.records.codec import from_data

from tests.adapters.attestation.apple_phone import KIND, Phone
from tests.functions.attested import Person, body, invite, refusal
from tests.functions.phone_registrations import REGISTRATIONS
from tests.world import CLIENT, GROUP, URL

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

    from tests.world import World

pytestmark = pytest.mark.world(attested=True)


@dataclass
class OnAPhone(Person):
    """A user whose device is a phone with a Secure Enclave."""

    phone: Phone = field(default_factory=Phone)

    @property
    def device_id(self) -> str:
        return base64url_encode(self.phone.key_id)

    def asked(self, code: str, *, known: bool = False, **changes: Any) -> dict[str, object]:  # noqa: ANN401 - parts of a registration
        challenge = self.challenge()
        statement = RegistrationStatement(service=URL, challenge=challenge, npub=self.npub, invite=invite_id(code))
        make = self.phone.assertion if known else self.phone.registration
        device = {"kind": "app_attest", "device_id": self.device_id, **make(statement.to_bytes(), **changes)}
        return self.registration(code, challenge=challenge, device=device)

    def prove_by(self, phone: Phone) -> TestResponse:
        challenge = self.challenge()
        about = {"npub": self.npub, "group": GROUP, "client_id": CLIENT, "digest": "A" * 43}
        evidence = phone.assertion(Statement(service=URL, challenge=challenge, **about).to_bytes())
        device = {"kind": "app_attest", "device_id": self.device_id, **evidence}
        return self.prove("A" * 43, client_id=CLIENT, challenge=challenge, device=device)


@pytest.fixture
def world(world: World) -> World:
    """Count phones as devices, and nothing else."""
    settings = ProofSettings(identity="local_identity", attestations=("app_attest",))
    world.serve(proof_settings=settings, attestations={"app_attest": KIND})  # the root of the tests, not Apple's
    return world


@pytest.fixture
def alice(world: World) -> OnAPhone:
    alice = OnAPhone(world, "alice")
    code = invite(world, "alice")["code"]
    answer = alice.signed("/enrol/registration", alice.asked(code))
    assert answer.status_code == 200, answer.text
    alice.secret = secret_of(answer)
    assert alice.confirm(code).status_code == 200
    return alice


def secret_of(answer: TestResponse) -> str:
    import pyotp

    return str(pyotp.parse_uri(body(answer)["totp"]).secret)


def counter(world: World) -> int:
    data: Any = world.auth.inner.get(["admins/alice"])["admins/alice"].data
    return from_data(Admin, data).devices[0].key.counter


def test_each_proof_raises_the_counter_and_a_copy_of_the_phone_is_refused(world: World, alice: OnAPhone) -> None:
    copy = replace(alice.phone)
    assert alice.prove_by(alice.phone).status_code == 200
    assert counter(world) == 1
    assert refusal(alice.prove_by(copy)) == (401, "proof_refused")
    assert alice.prove_by(alice.phone).status_code == 200
    assert counter(world) == 2


def test_a_new_totp_is_asked_for_by_an_assertion_that_counts_confirmed_or_not(world: World, alice: OnAPhone) -> None:
    code = invite(world, "alice", purpose="totp")["code"]
    copy = replace(alice.phone)
    answer = alice.signed("/enrol/registration", alice.asked(code, known=True))
    assert answer.status_code == 200, answer.text
    assert counter(world) == 1
    assert refusal(alice.prove_by(copy)) == (401, "proof_refused")
    alice.secret = secret_of(answer)
    assert alice.confirm(code).status_code == 200
    assert alice.prove_by(alice.phone).status_code == 200


@pytest.mark.parametrize("name", REGISTRATIONS)
def test_a_phone_that_no_maker_vouches_for_is_refused_and_kept_as_evidence(world: World, name: str) -> None:
    alice = OnAPhone(world, "alice")
    code = invite(world, "alice")["code"]
    answer = alice.signed("/enrol/registration", alice.asked(code, **REGISTRATIONS[name]))
    assert (refusal(answer), evidence(world)) == ((401, "proof_refused"), [("alice", ["device"])])


def test_a_phone_with_another_app_is_refused_and_kept_as_evidence(world: World) -> None:
    alice = OnAPhone(world, "alice", phone=Phone(app="TEAM123456.com.example.other"))
    code = invite(world, "alice")["code"]
    answer = alice.signed("/enrol/registration", alice.asked(code))
    assert (refusal(answer), evidence(world)) == ((401, "proof_refused"), [("alice", ["device"])])


def evidence(world: World) -> list[tuple[str, list[str]]]:
    found: list[Any] = [
        data for path, (_, data) in world.documents(world.usage).items() if path.startswith("refusals/")
    ]
    return [(entry["user"], list(entry["missing"])) for data in found for entry in data["entries"]]


def test_an_attestation_of_another_invite_or_another_maker_registers_nothing(world: World) -> None:
    alice = OnAPhone(world, "alice")
    code, other = invite(world, "alice")["code"], invite(world, "alice")["code"]
    sent = {**alice.asked(other), "code": code}
    assert refusal(alice.signed("/enrol/registration", sent)) == (401, "proof_refused")
    software = Person(world, "alice")
    assert refusal(software.register(code)) == (401, "proof_refused")
    assert alice.signed("/enrol/registration", alice.asked(code)).status_code == 200
