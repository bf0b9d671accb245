"""The device proves each command, to a desk that checks statements, codes and digests for real."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.adapters.attestation.dev_attest import DevAttestation
from keyturn.adapters.attestation.security_key import SecurityKeyAttestation
from keyturn.device.attestation.fido2 import FidoKeys
from keyturn.device.attestation.id_token import read_id_token
from keyturn.device.core.errors import (
    NoCodeError,
    NotEnrolledError,
    NotSignedInError,
    SecurityKeyError,
    ServerRefusedError,
)
from keyturn.device.device import Device
from keyturn.device.home.home import Home
from keyturn.device.security_key import NO_SECURITY_KEYS
from keyturn.domain.encodings import invite_id

from tests.device.attestation.soft_authenticator import MAKER, SoftAuthenticator
from tests.service import LOST, Service
from tests.world import CHEAP, URL, Clock

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.device.api.client import HttpRequest, HttpResponse
    from keyturn.device.security_key import SecurityKeys


pytestmark = pytest.mark.world(founded=False, attested=True)


@dataclass
class Admin:
    """A person with a device and an authenticator that always shows a code not given before."""

    user: str
    server: Service
    clock: Clock
    home: Home
    given: int = -1
    asked: int = 0
    url: str = URL
    security_keys: SecurityKeys = NO_SECURITY_KEYS
    device: Device = field(init=False)

    def __post_init__(self) -> None:
        self.device = Device.open(
            self.home,
            self.url,
            transport=self.server,
            now=self.clock,
            sleep=lambda _seconds: None,
            ask_code=self.code,
            security_keys=self.security_keys,
        )

    def code(self) -> str:
        self.asked += 1
        self.clock.advance(seconds=30)
        return self.server.code(self.user)

    def sign_in(self, user: str | None = None) -> None:
        read_id_token(self.server.id_token(user or self.user)).save(self.home)

    def enrol(self, code: str | None = None, *, security_key: bool = False) -> None:
        code = code or self.server.invite(self.user, "ops")
        self.sign_in()
        assert self.device.register(code, security_key=security_key) is not None
        self.device.confirm(code, self.code())
        self.device.join(code)
        self.asked = 0


@pytest.fixture
def alice(tmp_path: Path, server: Service, clock: Clock) -> Admin:
    assert server.world.attested
    home = Home.create(tmp_path / "alice", "laptop", "passphrase", cost=CHEAP)
    return Admin("alice", server, clock, home)


@pytest.fixture
def enrolled(alice: Admin) -> Admin:
    alice.enrol()
    return alice


# --- registering


def test_registering_shows_the_authenticators_secret_once_and_keeps_it_nowhere(alice: Admin, tmp_path: Path) -> None:
    code = alice.server.invite("alice", "ops")
    alice.sign_in()
    registered = alice.device.register(code)
    assert registered is not None
    assert (registered.user, registered.purpose) == ("alice", "join")
    assert registered.otpauth is not None
    assert registered.otpauth.startswith("otpauth://totp/")
    assert registered.otpauth not in repr(registered)
    secret = registered.otpauth.split("secret=")[1].split("&")[0].encode()
    records = [
        alice.home.load(kind, name) or b"" for kind in ("sign_in", "registration") for name in alice.home.ids(kind)
    ]
    assert [record for record in records if secret in record] == []
    assert [path for path in tmp_path.rglob("*") if path.is_file() and secret in path.read_bytes()] == []


def test_a_registration_cut_short_begins_again_and_a_confirmed_one_does_not(alice: Admin) -> None:
    code = alice.server.invite("alice", "ops")
    alice.sign_in()
    assert alice.device.register(code) is not None
    assert alice.device.register(code) is not None
    alice.device.confirm(code, alice.code())
    assert alice.device.register(code) is None
    assert alice.device.join(code).group_id == "ops"
    assert alice.home.ids("registration") == ()


def test_a_registered_device_joins_a_further_group_without_registering_again(enrolled: Admin) -> None:
    enrolled.server.create_group("others")
    code = enrolled.server.invite("alice", "others")
    assert enrolled.device.register(code) is None
    assert enrolled.device.join(code).group_id == "others"
    assert enrolled.asked == 0


def test_a_confirmation_whose_answer_was_lost_is_no_dead_end(alice: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    code = alice.server.invite("alice", "ops")
    alice.sign_in()
    assert alice.device.register(code) is not None
    with monkeypatch.context() as lost:
        lost.setattr(Home, "save_all", _die)
        with pytest.raises(RuntimeError, match="dies"):
            alice.device.confirm(code, alice.code())
    assert alice.device.register(code) is None
    assert alice.device.join(code).group_id == "ops"


def _die(*_: object) -> None:
    raise RuntimeError("the device dies here")


def test_registering_requires_a_sign_in(alice: Admin) -> None:
    with pytest.raises(NotSignedInError):
        alice.device.register(alice.server.invite("alice", "ops"))


def test_registering_as_another_user_is_refused(alice: Admin) -> None:
    alice.sign_in("mallory")
    with pytest.raises(ServerRefusedError) as refused:
        alice.device.register(alice.server.invite("alice", "ops"))
    assert refused.value.reason == "proof_refused"


def test_a_new_phone_goes_on_with_the_authenticator_that_there_is(
    enrolled: Admin, tmp_path: Path, server: Service, clock: Clock
) -> None:
    phone = Admin("alice", server, clock, Home.create(tmp_path / "phone", "phone", "passphrase", cost=CHEAP))
    code = server.invite("alice", "ops", purpose="device")
    phone.sign_in()
    registered = phone.device.register(code)
    assert registered is not None
    assert registered.otpauth is None
    phone.device.confirm(code, phone.code())
    phone.device.join(code)
    assert {item["npub"] for item in server.devices("alice")} == {enrolled.home.public_key, phone.home.public_key}


def test_a_service_without_proofs_requires_no_registration(alice: Admin) -> None:
    alice.server.require_proofs(required=False)
    code = alice.server.invite("alice", "ops")
    assert alice.device.register(code) is None
    assert alice.device.join(code).user == "alice"


# --- proving


def test_a_rotation_carries_a_proof_for_exactly_this_request(enrolled: Admin) -> None:
    answer = enrolled.device.rotate("acme", "routine")
    assert answer["client_id"] == "acme"
    (asked,) = enrolled.server.proof_requests
    assert (asked["mls_group"], asked["client_id"]) == ("ops", "acme")
    assert enrolled.asked == 1


@pytest.mark.parametrize(
    ("action", "params"),
    [
        ("rollback", {"compromised": True}),
        ("restore", {}),
        ("retire", {"version_id": "01JNM0000000000000000000B1"}),
        ("revoke", {"version_id": "all", "force": True}),
        ("suspend", {}),
        ("resume", {}),
        ("cancel", {"rotation_id": "01JNM0000000000000000000A1"}),
    ],
)
def test_every_other_command_does_too(enrolled: Admin, action: str, params: dict[str, object]) -> None:
    with suppress(ServerRefusedError):  # some need a version in grace or a suspension: the proof goes with them all
        enrolled.device.command(action, "acme", params, "why")
    (asked,) = enrolled.server.proof_requests
    assert (asked["mls_group"], asked["client_id"]) == ("ops", "acme")


def test_an_emergency_does_too(enrolled: Admin) -> None:
    assert enrolled.device.rotate("acme", "leaked", emergency=True)["client_id"] == "acme"
    assert enrolled.server.spent_proofs == 1


def without_ack_proofs(client: dict[str, Any]) -> dict[str, Any]:
    """Return a client as a member sees it, without its asking for proofs of acknowledgements."""
    return {**client, "policy": {**client["policy"], "require_ack_proofs": False}}


def test_an_acknowledgement_carries_one_only_where_policy_says(enrolled: Admin) -> None:
    rotation_id = str(enrolled.device.rotate("acme", "routine")["rotation_id"])
    enrolled.server.set_policy("acme", require_ack_proofs=True)
    enrolled.server.rewrites["/clients/acme"] = without_ack_proofs
    enrolled.device.catch_up()
    with pytest.raises(ServerRefusedError, match="does not authorise"):
        enrolled.device.ack(rotation_id)
    enrolled.server.rewrites.clear()
    assert enrolled.device.ack(rotation_id)["acks"] == 1
    assert "mls_group" not in enrolled.server.proof_requests[-1]


def test_an_acknowledgement_needs_none_otherwise(enrolled: Admin) -> None:
    rotation_id = str(enrolled.device.rotate("acme", "routine")["rotation_id"])
    assert enrolled.device.ack(rotation_id)["acks"] == 1
    assert enrolled.asked == 1


def test_without_a_sign_in_no_code_is_asked_for(enrolled: Admin) -> None:
    enrolled.clock.advance(hours=2)
    with pytest.raises(NotSignedInError, match="expired"):
        enrolled.device.rotate("acme", "routine")
    assert enrolled.asked == 0


def test_without_a_user_to_ask_a_code_gives_an_error(enrolled: Admin) -> None:
    alone = Device.open(enrolled.home, URL, transport=enrolled.server, now=enrolled.clock)
    with pytest.raises(NoCodeError):
        alone.rotate("acme", "routine")


def test_a_refused_challenge_is_answered_with_another_and_the_same_code(enrolled: Admin) -> None:
    enrolled.server.refuse_challenges = 1
    assert enrolled.device.rotate("acme", "routine")["client_id"] == "acme"
    assert enrolled.asked == 1
    assert len({asked["challenge"] for asked in enrolled.server.proof_requests}) == 2
    assert len({asked["totp"] for asked in enrolled.server.proof_requests}) == 1


def test_challenges_that_are_always_refused_end_it(enrolled: Admin) -> None:
    enrolled.server.refuse_challenges = 5
    with pytest.raises(ServerRefusedError) as refused:
        enrolled.device.rotate("acme", "routine")
    assert refused.value.reason == "challenge_refused"


def test_a_wrong_code_is_sent_once(enrolled: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enrolled.server, "code", lambda _user: "000000")
    with pytest.raises(ServerRefusedError) as refused:
        enrolled.device.rotate("acme", "routine")
    assert refused.value.reason == "proof_refused"
    assert "keyturn login" in refused.value.hint
    assert len(enrolled.server.proof_requests) == 1


def test_a_command_that_is_sent_again_needs_no_second_code(enrolled: Admin) -> None:
    group = enrolled.server.groups["ops"]
    enrolled.server.before_envelope.append(lambda: enrolled.server.update("ops"))
    assert enrolled.device.rotate("acme", "routine")["client_id"] == "acme"
    assert group.mls.epoch > 1
    assert enrolled.asked == 1


def test_a_lost_answer_is_asked_for_again_without_a_second_code(
    enrolled: Admin, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, lost = Service.send, iter([True, False])

    def lose_the_first(server: Service, call: HttpRequest) -> HttpResponse:
        answer = send(server, call)
        if call.url.endswith("/rotate_request/") and next(lost, False):
            return LOST
        return answer

    monkeypatch.setattr(Service, "send", lose_the_first)
    assert enrolled.device.rotate("acme", "routine")["client_id"] == "acme"
    assert enrolled.asked == 1


# --- approving


def test_an_approval_names_user_and_purpose_and_carries_a_proof(enrolled: Admin) -> None:
    invite = invite_id(enrolled.server.invite("bob", "ops"))
    answer = enrolled.device.approve(invite, "bob", "join")
    assert answer == {"invite": invite, "approvals": 1, "needed": 1}
    (approval,) = enrolled.server.approvals
    content, tags = json.loads(approval["content"]), {tag[0]: tag[1] for tag in approval["tags"]}
    assert content["params"] == {"invite": invite, "user": "bob", "purpose": "join"}
    assert content["client_id"] == ""
    assert (tags["service"], tags["mls"]) == ("approve", "ops")
    assert "client" not in tags
    (asked,) = enrolled.server.proof_requests
    assert "client_id" not in asked


def test_a_device_in_no_group_can_not_approve(alice: Admin) -> None:
    with pytest.raises(NotEnrolledError):
        alice.device.approve("f" * 64, "bob", "join")


# --- a security key


@pytest.fixture
def keyed(tmp_path: Path, server: Service, clock: Clock) -> tuple[Admin, SoftAuthenticator]:
    """Give an admin in front of a service that takes security keys, too."""
    plugged, service = SoftAuthenticator(), "https://keyturn.example"
    kind = SecurityKeyAttestation("keyturn.example", (service,), {"packed": [MAKER.pem]})
    server.serve_at(service, {"dev_attest": DevAttestation(), "webauthn": kind})
    home = Home.create(tmp_path / "keyed", "laptop", "passphrase", cost=CHEAP)
    keys = FidoKeys(lambda: "", lambda _sentence: None, lambda: [plugged])
    return Admin("alice", server, clock, home, url=service, security_keys=keys), plugged


def test_a_security_key_is_the_authenticator_from_its_registration_on(keyed: tuple[Admin, SoftAuthenticator]) -> None:
    alice, plugged = keyed
    alice.enrol(security_key=True)
    assert alice.device.rotate("acme", "routine")["client_id"] == "acme"
    assert {item["kind"] for item in alice.server.devices("alice")} == {"webauthn"}
    assert alice.server.proof_requests[0]["device"]["kind"] == "webauthn"
    assert plugged.touched == 2


def test_until_it_is_confirmed_the_software_key_goes_on(keyed: tuple[Admin, SoftAuthenticator]) -> None:
    alice, plugged = keyed
    alice.enrol()
    code = alice.server.invite("alice", "ops", purpose="device")
    assert alice.device.register(code, security_key=True) is not None
    assert alice.device.rotate("acme", "routine")["client_id"] == "acme"
    assert alice.server.proof_requests[0]["device"]["kind"] == "dev_attest"
    assert plugged.touched == 1


def test_a_new_authenticator_app_is_registered_with_the_same_security_key(
    keyed: tuple[Admin, SoftAuthenticator],
) -> None:
    alice, plugged = keyed
    alice.enrol(security_key=True)
    code = alice.server.invite("alice", "ops", purpose="totp")
    registered = alice.device.register(code)
    assert registered is not None
    assert registered.purpose == "totp"
    assert len(plugged.credentials) == 1


def test_a_proof_needs_the_key_to_be_there(keyed: tuple[Admin, SoftAuthenticator]) -> None:
    alice, plugged = keyed
    alice.enrol(security_key=True)
    plugged.credentials.clear()
    with pytest.raises(SecurityKeyError, match="not the registered one"):
        alice.device.rotate("acme", "routine")
    assert alice.server.proof_requests == []


def test_a_registration_that_is_begun_again_without_the_key_forgets_it(keyed: tuple[Admin, SoftAuthenticator]) -> None:
    alice, _ = keyed
    code = alice.server.invite("alice", "ops")
    alice.sign_in()
    assert alice.device.register(code, security_key=True) is not None
    assert alice.device.register(code) is not None
    alice.device.confirm(code, alice.code())
    alice.device.join(code)
    assert alice.home.ids("attestation") == ("dev_attest",)
