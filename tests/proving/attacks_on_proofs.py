"""Forged, stolen and expired proofs, one row an attack."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from keyturn.domain.proofs_policy import Missing
from keyturn.proofs.statement import jti_of
from keyturn.records import paths
from keyturn.records.codec import to_data
from keyturn.records.roster import Roster, RosterMember
from keyturn.use_cases.commands.parse import read_intent

from tests.proving import forgeries
from tests.proving.forgeries import with_claims, with_header
from tests.proving.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.proofs.nostr import Event

    Forge: TypeAlias = "Callable[[Stage, str], str]"


SECONDS = int(Stage.__init__.__globals__["START"].timestamp())


@dataclass(frozen=True)
class Attack:
    """How an honest proof is turned into what is presented, and what the evidence says of it."""

    name: str
    forge: Forge
    missing: Missing


def used(stage: Stage, proof: str) -> str:
    stage.door()(stage.event(proof=proof).to_json().encode())
    return proof


def asked_for(**changes: str) -> Forge:
    """Return an honest proof for another act of the same admin."""
    return lambda stage, _proof: stage.proof(act=stage.act(**changes))


def of_bob(stage: Stage, _proof: str) -> str:
    return stage.proof("bob", act=stage.act("bob", digest=stage.act().digest))


def for_globex(stage: Stage, proof: str) -> str:
    return with_claims(client_id="globex")(stage, proof)


def late(seconds: float) -> Forge:
    def wait(stage: Stage, proof: str) -> str:
        stage.now += timedelta(seconds=seconds)
        return proof

    return wait


def retired_key(stage: Stage, proof: str) -> str:
    retired = stage.keys.current("sign").name
    stage.keys.add_version("sign")
    stage.keys.disable(retired)
    return proof


def swapped_set(stage: Stage, proof: str) -> str:
    """Two keys of one id: a key that is added to the set under a known id is not trusted, and neither is the first."""
    jwks = stage.issuer.jwks()
    stage.fetch = lambda: json.dumps({"keys": [*jwks["keys"], {**jwks["keys"][0], "x": "AA"}]}).encode()
    return proof


def symmetric_set(stage: Stage, proof: str) -> str:
    kid = stage.keys.signer.current()
    stage.fetch = lambda: json.dumps({"keys": [{"kty": "oct", "kid": kid, "k": "AA"}]}).encode()
    return proof


def other_nonce(stage: Stage, proof: str) -> str:
    return with_claims(nonce="another")(stage, proof)


def other_signature(stage: Stage, proof: str) -> str:
    return proof.rpartition(".")[0] + "." + stage.proof().rpartition(".")[2]


def access_token(stage: Stage, proof: str) -> str:
    return forgeries.signed(stage, forgeries.claims_of(proof), typ="at+jwt")


def local_id_token(stage: Stage, _proof: str) -> str:
    return stage.authority.issue("subject-alice", stage.now)


ATTACKS = [
    Attack("no proof", lambda _stage, _proof: "", Missing.FORM),
    Attack("junk", lambda _stage, _proof: "not.a.proof", Missing.FORM),
    Attack("two parts", lambda _stage, proof: proof.rpartition(".")[0], Missing.FORM),
    Attack("padded", lambda _stage, proof: proof + "=", Missing.SIGNATURE),
    Attack("a claim twice", forgeries.said_twice, Missing.FORM),
    Attack("alg none", forgeries.unsigned, Missing.SIGNATURE),
    Attack("alg none under ES256's name", lambda _stage, proof: proof.rpartition(".")[0] + ".", Missing.SIGNATURE),
    Attack("HS256 with the public key", forgeries.by_hmac_of_the_public_key, Missing.SIGNATURE),
    Attack("signed by another key", forgeries.by_another_key, Missing.SIGNATURE),
    Attack("a key of its own in the header", forgeries.with_its_own_key, Missing.FORM),
    Attack("the address of a key in the header", with_header(jku="https://other.example/jwks"), Missing.FORM),
    Attack("a certificate in the header", with_header(x5c=["AA"]), Missing.FORM),
    Attack("critical extension", with_header(crit=["b64"], b64=False), Missing.FORM),
    Attack("unknown key id", with_header(kid="local/sign/99"), Missing.SIGNATURE),
    Attack("key id of another purpose", with_header(kid="local/mac/1"), Missing.SIGNATURE),
    Attack("key id that is a path", with_header(kid="../../keys.json"), Missing.SIGNATURE),
    Attack("another proof's signature", other_signature, Missing.SIGNATURE),
    Attack("an access token of ours", access_token, Missing.SIGNATURE),
    Attack("an ID token", local_id_token, Missing.SIGNATURE),
    Attack("retired key", retired_key, Missing.SIGNATURE),
    Attack("a second key of the same id in the set", swapped_set, Missing.SIGNATURE),
    Attack("a symmetric key in the set", symmetric_set, Missing.SIGNATURE),
    Attack("wrong issuer", with_claims(iss="https://other.example/admin_proof"), Missing.ISSUER),
    Attack("no issuer", with_claims(iss=None), Missing.ISSUER),
    Attack("wrong audience", with_claims(aud="https://other.example/rotate_request"), Missing.AUDIENCE),
    Attack("several audiences", with_claims(aud=["https://keyturn.example/rotate_request", "x"]), Missing.AUDIENCE),
    Attack("expired", late(300), Missing.TIME),
    Attack("issued in the future", with_claims(iat=SECONDS + 60, exp=SECONDS + 300), Missing.TIME),
    Attack("good for longer than allowed", with_claims(exp=SECONDS + 301), Missing.LIFETIME),
    Attack("good for ever", with_claims(exp=None), Missing.LIFETIME),
    Attack("without an issue time", with_claims(iat=None), Missing.LIFETIME),
    Attack("ends before it begins", with_claims(exp=SECONDS - 1), Missing.LIFETIME),
    Attack("times as text", with_claims(exp=str(SECONDS + 300)), Missing.LIFETIME),
    Attack("times as booleans", with_claims(iat=True), Missing.LIFETIME),
    Attack("another admin's proof for the same request", of_bob, Missing.NPUB),
    Attack("no key", with_claims(npub=None), Missing.NPUB),
    Attack("another group", with_claims(mls_group="others"), Missing.GROUP),
    Attack("another client", for_globex, Missing.CLIENT),
    Attack("another request", asked_for(digest="A" * 43), Missing.REQUEST),
    Attack("no request", with_claims(request_digest=None), Missing.REQUEST),
    Attack("without presence", with_claims(amr=["dev_attest", "pop"]), Missing.METHOD),
    Attack("without possession", with_claims(amr=["dev_attest", "totp"]), Missing.METHOD),
    Attack("without a device", with_claims(amr=["pop", "totp"]), Missing.METHOD),
    Attack("device of a kind that does not count", with_claims(amr=["hwk", "pop", "totp"]), Missing.METHOD),
    Attack("methods as text", with_claims(amr="dev_attest pop totp"), Missing.METHOD),
    Attack("used already", used, Missing.UNUSED),
    Attack("another nonce with a known id", other_nonce, Missing.FORM),
    Attack("another id with a known nonce", with_claims(jti=jti_of("another")), Missing.FORM),
    Attack("no id", with_claims(jti=None), Missing.FORM),
    Attack("an id that is a path", with_claims(jti="../events/x"), Missing.FORM),
]


def left(stage: Stage) -> Event:
    """Return a request by a user that was a member in the epoch before."""
    proof = stage.proof()
    stage.remove("alice")
    return stage.event(proof=proof)


def for_another(client_id: str = "acme", group: str = "ops") -> Callable[[Stage], Event]:
    """Return an honest request with a proof of its own, for a client or in a group that is not the signer's."""

    def make(stage: Stage) -> Event:
        named: dict[str, Any] = {"client_id": client_id, "mls_group": group}
        digest = read_intent(stage.event(**named)).digest
        proof = stage.proof(act=stage.act(client_id=client_id, group=group, digest=digest))
        return stage.event(proof=proof, **named)

    return make


def key_passed_on(stage: Stage) -> Event:
    """Return a request by a key that sits in the group for one person, and is registered as another's."""
    bob, alice = stage.people["bob"], stage.people["alice"]
    path = paths.roster("ops")
    members = (RosterMember("bob", alice.npub, 1, "", stage.now), RosterMember("alice", bob.npub, 2, "", stage.now))
    stage.change(stage.databases.control, path, to_data(Roster("ops", members)))
    return stage.event(proof=stage.proof())


UNSEATED: dict[str, Callable[[Stage], Event]] = {
    "member of a previous epoch": left,
    "client of another group": for_another(client_id="globex"),
    "group that is not the signer's": for_another(client_id="globex", group="others"),
    "group that is not the client's": for_another(group="others"),
    "group that there is not": for_another(group="nowhere"),
    "key of another member": key_passed_on,
}
