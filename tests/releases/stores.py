"""One deployment with documents of every kind, copied for each case, and what its other clients must still do.

victim          the client whose documents a case changes: two live versions and an open rotation
due, waiting,   clients of the same group: one is due to be promoted by time, one waits for its distribution, one
acked, asked    for its acknowledgement, and one for its request
elsewhere       a client of another group, which waits for its distribution
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from keyturn.domain.encodings import base64url_encode
from keyturn.domain.errors import Refusal
from keyturn.domain.policy import Policy
from keyturn.ports.effects import Environment
from keyturn.ports.relay import PublishResult
from keyturn.ports.store import Create
from keyturn.records.schema import KINDS, kind_of

from tests.releases.samples import SAMPLES
from tests.use_cases.groups.answering_relays import Answering
from tests.world import GROUP, World, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from keyturn.ports.store import Data, Document
    from keyturn.proofs.nostr import Event
    from keyturn.records.schema import DocumentKind

    from tests.memory_store import MemoryStore

VICTIM, STUCK, OTHER_GROUP = "victim", "stuck", "sales-team"
POLICY = Policy(minimum_not_before_seconds=0, minimum_interval_seconds=0, requests_per_hour_per_requester=1000)
DATABASES = ("control", "auth", "usage")
WAIT_SECONDS = 60
"""How long after the last change a case runs: the rotation of `due` is promoted then."""


@dataclass
class Built:
    """The deployment before each case: its documents, and signed events that wait to be sent."""

    world: World
    documents: dict[str, Mapping[str, Document]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    rotations: dict[str, str] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    slept: list[float] = field(default_factory=list)
    """The pauses that the suite has taken since this list was cleared, in seconds."""

    def restore(self, changes: Mapping[tuple[str, str], Data] | None = None) -> None:
        """Put every database back, with some documents replaced, and serve it by a new suite."""
        for name in DATABASES:
            documents = dict(self.documents[name])
            for (database, path), data in (changes or {}).items():
                if database == name:
                    documents[path] = type(documents[path])(path, data, documents[path].version)
            cast("MemoryStore", getattr(self.world, name).inner).restore(documents, 1_000_000)
        self.world.queue.clear()
        self.world.serve(environment=Environment(os.urandom, self.slept.append))

    def create(self, database: str, path: str, data: Data) -> None:
        getattr(self.world, database).inner.commit([Create(path, data)])

    def try_to_distribute(self, client_id: str) -> bool:
        try:
            return self.world.suite.distribution.distribute(client_id, self.rotations[client_id])
        except Refusal:
            return False

    def find(self, kind: DocumentKind, client_id: str = VICTIM) -> tuple[str, Document]:
        """Return the database and the document of a kind which belongs to a client or to bob, or else any."""
        found = [
            (name, document)
            for name in DATABASES
            for path, document in self.documents[name].items()
            if kind_of(path) is kind
        ]
        client = cast("Mapping[str, Any]", self.documents["control"][f"oauth2_clients/{client_id}"].data)
        pending = client["live"]["pending"]
        marks = (client_id, self.rotations[client_id], pending["version_id"], client["current_version"], "bob", GROUP)
        return next((item for mark in marks for item in found if mark in item[1].path), found[0])


@contextlib.contextmanager
def built(folder: Path) -> Iterator[Built]:
    """Serve the deployment while the context lasts."""
    with running(folder, policy=POLICY, overrides=overrides()) as world:
        built = Built(world)
        tell_story(built)
        built.documents = {name: dict(cast("MemoryStore", getattr(world, name).inner)._documents) for name in DATABASES}
        yield built


def overrides() -> dict[str, object]:
    """Return the parts of the deployment: relays that never answer, so that posts wait in the outbox."""
    return {"relays": Answering({"wss://relay.example": PublishResult.UNKNOWN})}


def tell_story(built: Built, begin: Callable[[Built], None] = lambda _built: None) -> None:
    """Write documents of every kind, up to the state in which each case begins. `begin` may add clients first."""
    world = built.world
    for group in (GROUP, OTHER_GROUP):
        assert world.operator("/groups", {"group_id": group}).status_code == 200
    for user in ("alice", "bob"):
        for group in (GROUP, OTHER_GROUP):
            world.join(user, group)
    begin(built)
    for client_id in (VICTIM, STUCK, "due", "waiting", "acked", "asked", "elsewhere"):
        groups = [OTHER_GROUP] if client_id == "elsewhere" else [GROUP]
        world.add_client(client_id, groups)
        built.secrets[client_id] = world.issue("alice", "bob", client_id=client_id, group=groups[0])
        world.clock.advance(seconds=1)
    # The victim has two live versions, and an acknowledged rotation that waits for a canary.
    built.secrets["victim's previous"] = built.secrets[VICTIM]
    built.secrets[VICTIM] = world.issue("bob", "alice", client_id=VICTIM)
    assert world.operator(f"/clients/{VICTIM}/policy", {"policy": {"canaries": 1, "quorum": 1}}).status_code == 200
    open_rotation(built, VICTIM, "bob", supersede=True)
    assert world.send(world.admins["alice"].ack(built.rotations[VICTIM])).status_code == 200
    open_rotation(built, "due", "alice", not_before=world.milliseconds(seconds=WAIT_SECONDS))
    assert world.send(world.admins["alice"].ack(built.rotations["due"])).status_code == 200
    built.secrets["due's next"] = world.admins["alice"].secret(built.rotations["due"])
    open_rotation(built, "acked", "alice")
    built.secrets["acked's next"] = world.admins["alice"].secret(built.rotations["acked"])
    world.sweep()
    for client_id, user, group in (
        (STUCK, "bob", GROUP),
        ("waiting", "alice", GROUP),
        ("elsewhere", "alice", OTHER_GROUP),
    ):
        event = world.admins[user].rotation(client_id=client_id, group=group)
        built.rotations[client_id] = str(cast("Any", world.send(event).json)["rotation_id"])
        world.queue.clear()
        world.clock.advance(seconds=1)
    world.invite("carol")
    _add_samples(built)
    world.clock.advance(seconds=WAIT_SECONDS)
    built.events = {
        "ack": world.admins["alice"].ack(built.rotations["acked"]),
        "request": world.admins["alice"].rotation(client_id="asked"),
    }
    world.clock.advance(seconds=1)


def open_rotation(built: Built, client_id: str, requester: str, **changes: object) -> None:
    """Request a rotation and deliver its secret. It is not acknowledged."""
    event = built.world.admins[requester].rotation(client_id=client_id, **changes)
    answer = built.world.send(event)
    assert answer.status_code == 200, answer.text
    built.world.pump()
    built.rotations[client_id] = str(cast("Any", answer.json)["rotation_id"])


def _add_samples(built: Built) -> None:
    """Write a document of each kind that the story above does not write. They belong to the victim where they can."""
    world = built.world
    kinds = (kind_of(path) for name in DATABASES for path in world.documents(getattr(world, name)))
    present = {kind.pattern for kind in kinds if kind}
    client = world.document(f"oauth2_clients/{VICTIM}")
    names = {
        "client_id": VICTIM,
        "version_id": client["current_version"],
        "rotation_id": client["active_rotation"],
        "npub": world.admins["bob"].signer.public_key,
        "id": base64url_encode(bytes(16)),
    }
    for kind in KINDS:
        if kind.pattern not in present and kind.pattern in SAMPLES:
            database, path, data = SAMPLES[kind.pattern](names, world.clock.now)
            getattr(world, database).inner.commit([Create(path, data)])
