"""One deployment of proofs, in memory: real keys, people, devices, codes and use cases; a clock that a test moves."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import pyotp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from keyturn.adapters.attestation.dev_attest import DevAttestation
from keyturn.adapters.authorisation.attested import ProofAuthoriser
from keyturn.adapters.authorisation.jwks import TrustedKeys
from keyturn.adapters.identity.local_identity import LocalIdentity
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.domain.encodings import base64url_encode
from keyturn.domain.model import Client, ClientKind, ClientState
from keyturn.domain.policy import Policy
from keyturn.domain.proofs_policy import admin_rule
from keyturn.ports.authorisation import Act
from keyturn.ports.effects import Environment
from keyturn.ports.store import Create, Databases, put
from keyturn.proofs.nostr import public_key, sign_event
from keyturn.records import paths
from keyturn.records.admin import Admin, AdminDevice, AdminStatus, admin_path, seal_seed
from keyturn.records.client_document import client_data
from keyturn.records.codec import from_data, to_data
from keyturn.records.roster import Roster, RosterMember
from keyturn.use_cases.admin_proof.challenge import ChallengeIssuer
from keyturn.use_cases.admin_proof.factors import CheckFactors, ProofRequest
from keyturn.use_cases.admin_proof.proof_token import ProofIssuer
from keyturn.use_cases.admin_proof.prove import ProveAdmin
from keyturn.use_cases.client_repository import Clients
from keyturn.use_cases.commands.execute import AcceptEvent
from keyturn.use_cases.commands.parse import read_intent
from keyturn.use_cases.refusal_log import Refusals

from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TypeAlias

    from keyturn.ports.attestation import DeviceKey
    from keyturn.ports.store import Data, Store
    from keyturn.proofs.nostr import Event

    MakeStore: TypeAlias = Callable[[str, Callable[[], datetime]], Store]

URL = "https://keyturn.example"
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROTATION = "01JNAAAAAAAAAAAAAAAAAAAAAA"


@dataclass(frozen=True)
class Person:
    """An admin as they are on their own device."""

    user: str
    private_key: bytes = field(default_factory=lambda: hashlib.sha256(os.urandom(8)).digest())
    device_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    seed: bytes = field(default_factory=lambda: os.urandom(20))

    @property
    def npub(self) -> str:
        return public_key(self.private_key)

    def registered(self) -> DeviceKey:
        statement = b"a registration"
        evidence = {
            "public_key": base64url_encode(self.device_key.public_key().public_bytes_raw()),
            "signature": base64url_encode(self.device_key.sign(statement)),
        }
        return DevAttestation().register(evidence, statement, START)

    def code(self, at: datetime) -> str:
        return pyotp.TOTP(base32(self.seed)).at(int(at.timestamp()))


def base32(seed: bytes) -> str:
    import base64

    return base64.b32encode(seed).decode("ascii")


class Stage:
    """Alice and Bob are in group `ops` of client `acme`, Bob and Mallory in `others` of `globex`."""

    def __init__(self, folder: Path, store: MakeStore = lambda _name, clock: MemoryStore(clock)) -> None:
        self.now = START
        self.ticks = 0.0
        self.slept: list[float] = []
        self.people = {name: Person(name) for name in ("alice", "bob", "mallory")}
        names = ("control", "auth", "usage")
        self.databases = Databases(*(store(name, lambda: self.now) for name in names))
        self.keys = LocalKeys.open_or_create(folder / "keys.json", os.urandom)
        self.authority_keys = LocalKeys.open_or_create(folder / "authority.json", os.urandom)
        self.authority = LocalIdentity(self.authority_keys.signer, f"{URL}/local_identity", f"{URL}/admin_proof")
        self.issuer = ProofIssuer(self.keys.signer, f"{URL}/admin_proof", f"{URL}/rotate_request")
        self.fetch: Callable[[], bytes] = lambda: json.dumps(self.issuer.jwks()).encode()
        self._write_people()

    def _write_people(self) -> None:
        groups = {"ops": ("alice", "bob"), "others": ("bob", "mallory")}
        for group, users in groups.items():
            members = tuple(RosterMember(user, self.people[user].npub, 1, "", START) for user in users)
            self.databases.control.commit([Create(paths.roster(group), to_data(Roster(group, members)))])
        for client_id, group in (("acme", "ops"), ("globex", "others")):
            client = Client(client_id, ClientKind.OAUTH2_CLIENT_SECRET, (group,), START)
            data = client_data(ClientState(client), Policy())
            self.databases.control.commit([Create(paths.client(client_id), data)])
        for person in self.people.values():
            sealed = seal_seed(self.keys.sealer, person.user, person.seed)
            device = AdminDevice(person.npub, person.registered())
            admin = Admin(person.user, f"subject-{person.user}", AdminStatus.ACTIVE, (device,), sealed)
            key = Create(paths.npub(person.npub), {"user": person.user})
            self.databases.auth.commit([Create(admin_path(person.user), to_data(admin)), key])

    # --- the parts ---------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> Environment:
        return Environment(os.urandom, self.slept.append)

    def challenges(self, service: str = URL) -> ChallengeIssuer:
        return ChallengeIssuer(self.keys.mac, os.urandom, service)

    def prover(self, **changes: Any) -> ProveAdmin:  # noqa: ANN401 - the fields of ProveAdmin
        parts: dict[str, Any] = {
            "databases": self.databases,
            "challenges": self.challenges(),
            "factors": CheckFactors(self.authority, {"dev_attest": DevAttestation()}, URL),
            "sealer": self.keys.sealer,
            "issuer": self.issuer,
            "refusals": Refusals(self.databases.usage, "admin_proof"),
            "environment": self.environment,
            "elapsed": lambda: self.ticks,
        }
        return ProveAdmin(**{**parts, **changes})

    def authoriser(self, methods: tuple[str, ...] = ("dev_attest",)) -> ProofAuthoriser:
        keys = TrustedKeys(self.fetch, lambda: self.ticks, fresh_seconds=0, pause_seconds=0)
        refusals = Refusals(self.databases.usage, "rotate_request")
        return ProofAuthoriser(keys, f"{URL}/admin_proof", f"{URL}/rotate_request", admin_rule(methods), refusals)

    def door(self, **changes: Any) -> AcceptEvent:  # noqa: ANN401 - the fields of AcceptEvent
        parts: dict[str, Any] = {
            "clients": Clients(self.databases.control, Policy()),
            "authoriser": self.authoriser(),
            "environment": self.environment,
        }
        return AcceptEvent(**{**parts, **changes})

    # --- honest requests, and what changes them -----------------------------------------------------------------------

    def act(self, user: str = "alice", **changes: str) -> Act:
        person = self.people[user]
        digest = read_intent(self.event(user)).digest
        return replace(Act(person.npub, "ops", "acme", digest), **changes)

    def asked(self, user: str = "alice", act: Act | None = None, **changes: Any) -> ProofRequest:  # noqa: ANN401 - the fields of Asked
        """Return an honest request; then `changes` are made to it."""
        person = self.people[user]
        challenge = changes.pop("challenge", None) or str(self.challenges().issue(self.now)["challenge"])
        asked = ProofRequest(
            act=act or self.act(user),
            challenge=challenge,
            id_token=self.authority.issue(f"subject-{user}", self.now),
            device_kind="dev_attest",
            device_id=person.registered().device_id,
            evidence={},
            totp=person.code(self.now),
        )
        return replace(self.with_counter(asked, user), **changes)

    def with_counter(self, asked: ProofRequest, by: str) -> ProofRequest:
        """Return the request with a device's assertion over it."""
        signature = self.people[by].device_key.sign(asked.statement(URL))
        return replace(asked, evidence={"signature": base64url_encode(signature)})

    def proof(self, user: str = "alice", act: Act | None = None) -> str:
        """Return a proof that was come by honestly; half a minute passes, so that the next code is a fresh one."""
        proof = str(self.prover()(self.asked(user, act))["jwt_proof"])
        self.now += timedelta(seconds=30)
        return proof

    def event(self, user: str = "alice", proof: str = "", seconds: int = 0, **changes: object) -> Event:
        """Return the request for a rotation as a device signs it; `seconds` shift its created_at."""
        content: dict[str, object] = {
            "client_id": "acme",
            "rotation_id": ROTATION,
            "rotation_reason": "because it is time",
            "mls_group": "ops",
            "jwt_proof": proof,
            **changes,
        }
        names = {"client": "client_id", "mls": "mls_group", "rotation": "rotation_id", "reason": "rotation_reason"}
        tags = [*((tag, str(content[name])) for tag, name in names.items()), ("nip-kr", "0.1.0")]
        return sign_event(
            self.people[user].private_key,
            kind=40901,
            tags=tags,
            content=json.dumps(content),
            created_at=int(self.now.timestamp()) + seconds,
            random=os.urandom,
        )

    # --- what is stored ----------------------------------------------------------------------------------------------

    def admin(self, user: str = "alice") -> Admin:
        path = admin_path(user)
        return from_data(Admin, cast("Data", self.databases.auth.get([path])[path].data))

    def change_admin(self, user: str = "alice", **changes: Any) -> None:  # noqa: ANN401 - the fields of Admin
        self.change(self.databases.auth, admin_path(user), to_data(replace(self.admin(user), **changes)))

    def remove(self, user: str, group: str = "ops") -> None:
        """Remove a member from a group's roster."""
        path = paths.roster(group)
        roster = from_data(Roster, cast("Data", self.databases.control.get([path])[path].data))
        members = tuple(member for member in roster.members if member.user != user)
        self.change(self.databases.control, path, to_data(Roster(group, members)))

    def change(self, store: Store, path: str, data: Data) -> None:
        store.commit([put(store.get([path])[path], data)])

    def evidence(self) -> list[Mapping[str, Any]]:
        """Return every refusal that was kept."""
        usage = cast("MemoryStore", self.databases.usage)
        found = [item.data for path, item in usage._documents.items() if path.startswith("refusals/")]
        return [entry for data in found if data for entry in cast("list[Mapping[str, Any]]", data["entries"])]
