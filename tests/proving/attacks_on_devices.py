"""Forged device evidence, one row an attack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from keyturn.adapters.attestation.app_check import AppCheckAttestation
from keyturn.adapters.authorisation.jwks import TrustedKeys
from keyturn.records.admin import AdminDevice
from keyturn.use_cases.admin_proof.factors import CheckFactors

from tests.adapters.attestation import app_check_tokens as app_check
from tests.adapters.attestation import apple_phone as app_attest
from tests.adapters.attestation import webauthn_key as webauthn
from tests.proving.stage import URL, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.ports.attestation import Attestation, DeviceKey
    from keyturn.use_cases.admin_proof.prove import ProveAdmin

    Evidence: TypeAlias = Mapping[str, object]
    Forge: TypeAlias = Callable[["Scene", bytes], Evidence]


COUNTER = 5
"""What every device that counts has counted to already."""


@dataclass
class Scene:
    """Alice with one device of each kind, and the parts that judge them."""

    stage: Stage

    def __post_init__(self) -> None:
        self.phone = app_attest.Phone()
        self.key = webauthn.SecurityKey()
        self.registered: dict[str, DeviceKey] = {
            "app_attest": app_attest.registered(self.phone),
            "webauthn": webauthn.registered(self.key),
            "app_check": app_check.DEVICE,
        }
        self.phone.counter = self.key.counter = COUNTER
        npub = self.stage.people["alice"].npub
        counted = [replace(key, counter=0 if kind == "app_check" else COUNTER) for kind, key in self.registered.items()]
        self.stage.change_admin(devices=tuple(AdminDevice(npub, key) for key in counted))

    def prover(self) -> ProveAdmin:
        keys = TrustedKeys(app_check.jwks, lambda: 0.0, pause_seconds=0)
        kinds: dict[str, Attestation] = {
            "app_attest": app_attest.KIND,
            "webauthn": webauthn.KIND,
            "app_check": AppCheckAttestation(keys, app_check.PROJECT, frozenset({app_check.APP})),
        }
        return self.stage.prover(factors=CheckFactors(self.stage.authority, kinds, URL))

    def prove(self, kind: str, forge: Forge) -> Mapping[str, Any]:
        asked = self.stage.asked()
        evidence = forge(self, asked.statement(URL))
        device = self.registered[kind].device_id
        return self.prover()(replace(asked, device_kind=kind, device_id=device, evidence=evidence))

    def counters(self) -> list[int]:
        return [device.key.counter for device in self.stage.admin().devices]


def token(**changes: Any) -> Forge:  # noqa: ANN401 - claims of an App Check token
    """Return what presents an App Check token, good at the stage's time but for `changes`."""

    def make(scene: Scene, _statement: bytes) -> Evidence:
        seconds = int(scene.stage.now.timestamp())
        return {"token": app_check.token(**{"iat": seconds, "exp": seconds + 3600, **changes})}

    return make


def old(claim: str, seconds: int) -> Forge:
    return lambda scene, statement: token(**{claim: int(scene.stage.now.timestamp()) + seconds})(scene, statement)


def phone(**changes: Any) -> Forge:  # noqa: ANN401 - fields of a phone
    return lambda scene, statement: replace(scene.phone, **changes).assertion(statement)


def key(**changes: Any) -> Forge:  # noqa: ANN401 - fields of a security key
    return lambda scene, statement: replace(scene.key, **changes).assertion(statement)


OTHER = b"a statement for another device"
ATTACKS: dict[str, tuple[str, Forge]] = {
    "App Attest counter that was rolled back": ("app_attest", phone(counter=COUNTER - 3)),
    "App Attest counter that stands": ("app_attest", phone(counter=COUNTER - 1)),
    "App Attest assertion of another app": ("app_attest", phone(app="TEAM123456.com.example.other")),
    "App Attest assertion by another phone's key": (
        "app_attest",
        lambda scene, statement: scene.phone.assertion(statement, by=app_attest.Phone()),
    ),
    "App Attest assertion over another request": ("app_attest", lambda scene, _: scene.phone.assertion(OTHER)),
    "App Attest registration for an assertion": (
        "app_attest",
        lambda scene, statement: scene.phone.registration(statement),
    ),
    "security key's counter that was rolled back": ("webauthn", key(counter=COUNTER - 3)),
    "security key's assertion for another domain": ("webauthn", key(rp="other.example")),
    "security key's assertion from another origin": ("webauthn", key(origin="https://other.example")),
    "security key's assertion without user verification": ("webauthn", key(flags=webauthn.PRESENT)),
    "security key's assertion over another request": ("webauthn", lambda scene, _: scene.key.assertion(OTHER)),
    "another security key": ("webauthn", lambda _, statement: webauthn.SecurityKey().assertion(statement)),
    "App Check token of another app": ("app_check", token(sub="1:1234567890:web:fedcba")),
    "App Check token for another project": ("app_check", token(aud=["projects/999"])),
    "App Check token of another issuer": ("app_check", token(iss="https://other.example/1234567890")),
    "App Check token that expired": ("app_check", old("exp", -10)),
    "App Check token from the future": ("app_check", old("iat", 60)),
    "App Check token signed by another key": ("app_check", token(key=app_check.OTHER)),
    "App Check token by HS256 with the public key": ("app_check", lambda *_: {"token": app_check.by_hmac()}),
    "phone's assertion as a security key's": ("webauthn", phone()),
}
