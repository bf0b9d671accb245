"""Requests for a proof that lack a factor or misuse one, one row an attack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from keyturn.domain.encodings import base64url_encode
from keyturn.domain.proofs_policy import Missing
from keyturn.records.admin import AdminStatus

from tests.proving import forgeries
from tests.proving.stage import URL, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.adapters.identity.local_identity import LocalIdentity
    from keyturn.use_cases.admin_proof.factors import ProofRequest

    Make: TypeAlias = "Callable[[Stage], ProofRequest]"


@dataclass(frozen=True)
class Attack:
    """A request, and the user and the missing factors in the record of its refusal (None: an unknown caller)."""

    name: str
    make: Make
    missing: tuple[Missing, ...]
    user: str | None = "alice"


def id_token(forge: Callable[[Stage, str], str]) -> Make:
    return lambda stage: stage.asked(id_token=forge(stage, stage.authority.issue("subject-alice", stage.now)))


def later(seconds: float, **changes: Any) -> Make:  # noqa: ANN401 - the fields of Asked
    """Return a request with parts that are so old, and with a fresh challenge."""

    def make(stage: Stage) -> ProofRequest:
        old = stage.asked(**changes)
        stage.now += timedelta(seconds=seconds)
        fresh = stage.asked()
        return replace(fresh, id_token=old.id_token)

    return make


def about(**changes: str) -> Make:
    """Return a request with a device's assertion for another act than the requested one."""
    return lambda stage: replace(stage.asked(), act=stage.act(**changes))


def changed(**changes: Any) -> Make:  # noqa: ANN401 - the fields of Admin
    def make(stage: Stage) -> ProofRequest:
        stage.change_admin(**changes)
        return stage.asked()

    return make


def from_another_authority(stage: Stage, _token: str) -> str:
    return replace(stage.authority, signer=stage.keys.signer).issue("subject-alice", stage.now)


def elsewhere(**changes: str) -> Callable[[Stage, str], str]:
    def forge(stage: Stage, _token: str) -> str:
        authority: LocalIdentity = replace(stage.authority, **changes)  # type: ignore[arg-type]  # issuer or audience
        return authority.issue("subject-alice", stage.now)

    return forge


def issued_ahead(stage: Stage, _token: str) -> str:
    return stage.authority.issue("subject-alice", stage.now + timedelta(minutes=5))


def used_step(stage: Stage) -> ProofRequest:
    stage.prover()(stage.asked())
    return stage.asked()


def step_before(stage: Stage) -> ProofRequest:
    """Return a request with the code before the one that was used: the window alone would take it."""
    stage.prover()(stage.asked())
    return stage.asked(totp=stage.people["alice"].code(stage.now - timedelta(seconds=30)))


def code(shift: float = 0, user: str = "alice") -> Make:
    return lambda stage: stage.asked(totp=stage.people[user].code(stage.now + timedelta(seconds=shift)))


def full_width(stage: Stage) -> ProofRequest:
    digits = stage.people["alice"].code(stage.now)
    return stage.asked(totp="".join(chr(ord(digit) - ord("0") + 0xFF10) for digit in digits))


def old_assertion(stage: Stage) -> ProofRequest:
    return replace(stage.asked(), evidence=stage.asked().evidence)


def bobs_device(stage: Stage) -> ProofRequest:
    bob = stage.people["bob"].registered().device_id
    return replace(stage.with_counter(stage.asked(), by="bob"), device_id=bob)


IDENTITY, DEVICE, PRESENCE = (Missing.IDENTITY,), (Missing.DEVICE,), (Missing.PRESENCE,)
STANDING, POLICY = (Missing.STANDING,), (Missing.POLICY,)
NOBODY = (Missing.IDENTITY, Missing.STANDING, Missing.DEVICE)
ATTACKS = [
    Attack("no ID token", lambda stage: stage.asked(id_token=""), IDENTITY),
    Attack("junk for an ID token", lambda stage: stage.asked(id_token="a.b.c"), IDENTITY),
    Attack("huge ID token", lambda stage: stage.asked(id_token="e30." + "A" * 8192 + ".AA"), IDENTITY),
    Attack("ID token that expired", later(3611), IDENTITY),
    Attack("ID token of another user", id_token(lambda s, _: s.authority.issue("subject-bob", s.now)), IDENTITY),
    Attack("ID token of another authority, same key id", id_token(from_another_authority), IDENTITY),
    Attack("ID token without a signature, alg none", id_token(forgeries.unsigned), IDENTITY),
    Attack("ID token by HS256 with the public key", id_token(forgeries.by_hmac_of_the_public_key), IDENTITY),
    Attack("ID token with a key of its own", id_token(forgeries.with_its_own_key), IDENTITY),
    Attack("ID token for another audience", id_token(elsewhere(audience="https://other.example")), IDENTITY),
    Attack("ID token of another issuer", id_token(elsewhere(issuer="https://other.example")), IDENTITY),
    Attack("ID token issued in the future", id_token(issued_ahead), IDENTITY),
    Attack("a proof for an ID token", lambda stage: stage.asked(id_token=stage.proof()), IDENTITY),
    Attack("no device assertion", lambda stage: replace(stage.asked(), evidence={}), DEVICE),
    Attack("junk for an assertion", lambda stage: replace(stage.asked(), evidence={"signature": "!"}), DEVICE),
    Attack("device that is not registered", lambda stage: replace(stage.asked(), device_id="A" * 43), DEVICE),
    Attack("another admin's device", bobs_device, DEVICE),
    Attack("another device's signature", lambda stage: stage.with_counter(stage.asked(), by="mallory"), DEVICE),
    Attack("device of another kind", lambda stage: replace(stage.asked(), device_kind="app_attest"), DEVICE),
    Attack("assertion over another request", about(digest="A" * 43), DEVICE),
    Attack("assertion over another client", about(client_id="globex"), DEVICE),
    Attack("assertion over another group", about(group="others"), DEVICE),
    Attack("assertion of an earlier challenge", old_assertion, DEVICE),
    Attack("unknown key", lambda s: s.asked(act=s.act(npub="ab" * 32)), NOBODY, None),
    Attack(
        "key of another member", lambda s: s.asked(act=s.act(npub=s.people["bob"].npub)), (*IDENTITY, *DEVICE), "bob"
    ),
    Attack("suspended admin", changed(status=AdminStatus.SUSPENDED), STANDING),
    Attack("removed admin", changed(status=AdminStatus.REMOVED), STANDING),
    Attack("admin without devices", changed(devices=()), DEVICE),
    Attack("wrong code", lambda stage: stage.asked(totp="000000"), PRESENCE),
    Attack("no code", lambda stage: stage.asked(totp=""), PRESENCE),
    Attack("letters for a code", lambda stage: stage.asked(totp="abcdef"), PRESENCE),
    Attack("digits of another alphabet", full_width, PRESENCE),
    Attack("code of another admin", code(user="bob"), PRESENCE),
    Attack("code of a minute ago", code(-60), PRESENCE),
    Attack("code of a minute ahead", code(60), PRESENCE),
    Attack("code used already, inside its window", used_step, PRESENCE),
    Attack("code of the step before one that was used", step_before, PRESENCE),
]
CHALLENGES: dict[str, Make] = {
    "forged": lambda stage: stage.asked(challenge=base64url_encode(bytes(56))),
    "dated anew": lambda stage: stage.asked(challenge=_redated(stage)),
    "cut short": lambda stage: stage.asked(challenge=str(stage.challenges().issue(stage.now)["challenge"])[:-4]),
    "no base64url": lambda stage: stage.asked(challenge="="),
    "of another service": lambda stage: stage.asked(challenge=_challenge(stage, service="https://other.example")),
    "ended": lambda stage: stage.asked(challenge=_challenge(stage, seconds=-120)),
    "from the future": lambda stage: stage.asked(challenge=_challenge(stage, seconds=6)),
    "of a key that is disabled": lambda stage: stage.asked(challenge=_of_a_disabled_key(stage)),
}


def _challenge(stage: Stage, service: str = URL, seconds: float = 0) -> str:
    return str(stage.challenges(service).issue(stage.now + timedelta(seconds=seconds))["challenge"])


def _redated(stage: Stage) -> str:
    old, new = (_challenge(stage, seconds=seconds) for seconds in (-200, 0))
    return new[:8] + old[8:]


def _of_a_disabled_key(stage: Stage) -> str:
    challenge, name = _challenge(stage), stage.keys.mac.current()
    stage.keys.add_version("mac")
    stage.keys.disable(name)
    return challenge
