"""No copy of the store with every key, taken before or after a send, opens a notice (docs/protocol.md §4, invariant 9).

The attack has what a thief of the data folder has: the group's sealed state and the key that unseals it, from before
and from after. It plays every member of the group, with all private keys of the dump, and reads every message in order
and by itself. The positive control is the same attack on a message that was sent without the path update before it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import pytest
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.adapters.mls.groups import MlsGroups, MlsSession
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.device.api import response_fields as answers
from keyturn.domain.encodings import base64url_decode
from keyturn.mls import ApplicationReceived, Group, MlsError
from keyturn.records import paths

from tests.scenarios.people import Person
from tests.world import CLIENT, GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from keyturn.adapters.mls.service_identity import ServiceIdentity
    from keyturn.ports.store import Data

    from tests.world import World

ON_DISK = pytest.mark.parametrize("world", ["sqlite"], indirect=True)


@dataclass(frozen=True)
class Dump:
    """A copy of the control database and of the key file."""

    folder: Path

    @classmethod
    def taken(cls, world: World, name: str) -> Dump:
        folder = world.folder / name
        folder.mkdir()
        with (
            closing(sqlite3.connect(world.folder / "control.db")) as source,
            closing(sqlite3.connect(folder / "control.db")) as copy,
        ):
            source.backup(copy)
        (folder / "control.db").chmod(0o600)
        shutil.copy(world.folder / "keys.json", folder / "keys.json")
        return cls(folder)

    def group(self, world: World) -> Group:
        """Unseal the service's state of the group with the dump's own keys."""

        def identity() -> ServiceIdentity:
            raise AssertionError("opening a group needs no identity")

        keys = LocalKeys.open_or_create(self.folder / "keys.json", os.urandom)
        store = SqliteStore(self.folder / "control.db", clock=world.clock)
        document = store.get([paths.group(GROUP)])[paths.group(GROUP)]
        session = MlsGroups(identity, keys.sealer, os.urandom).open(cast("Data", document.data), world.clock())
        assert isinstance(session, MlsSession)
        return session._group


def attack(dump: Group, messages: Sequence[bytes], world: World) -> Iterator[bytes]:
    """Yield the plaintexts that an attacker with the dump can open, as any member: no member opens its own messages."""
    for member in dump.members:
        group = Group(replace(dump.state, own_index=member.leaf_index))
        for message in messages:
            for held in (group, Group(replace(dump.state, own_index=member.leaf_index))):
                try:
                    group, event = held.receive(message, now=world.clock())
                except (MlsError, StopIteration):  # the second: the service's own ratchet is not in what is kept
                    continue
                if isinstance(event, ApplicationReceived):
                    yield event.plaintext
                break


def sent(person: Person, after: int) -> list[tuple[str, bytes]]:
    entries = person.log(after)
    return [
        (str(entry["kind"]), base64url_decode(str(answers.mapping(entry, "event")["content"]))) for entry in entries
    ]


@ON_DISK
def test_dumps_of_store_and_keys_from_before_and_after_a_send_open_no_notice(world: World) -> None:
    world.found()
    alice = Person(world, "alice").join()
    bob = Person(world, "bob").join()
    dumps = [Dump.taken(world, "0")]
    start = len(alice.log())
    alice.device.catch_up()
    (member,) = (seat.group for seat in alice.device.memberships())
    secrets = []
    for turn in range(3):
        world.clock.advance(minutes=2)
        rotation_id = answers.text(alice.device.rotate(CLIENT, "because it is time", supersede=True), "rotation_id")
        dumps.append(Dump.taken(world, f"asked-{turn}"))
        world.pump()
        dumps.append(Dump.taken(world, f"sent-{turn}"))
        bob.device.ack(rotation_id)
        secrets.append(bob.device.notice(rotation_id).require_secret())
    messages = sent(alice, start)
    assert [kind for kind, _ in messages] == ["commit", "notice"] * 3
    assert len(set(secrets)) == 3
    said = [plaintext for dump in dumps for plaintext in attack(dump.group(world), [m for _, m in messages], world)]
    assert said == []
    control = b"".join(attack(member, [m for _, m in messages], world))  # what a member has, opens them all
    assert [secret for secret in secrets if secret.encode() in control] == secrets
    for dump in dumps:
        everything = b"".join(path.read_bytes() for path in sorted(dump.folder.iterdir()) if path.is_file())
        assert not [secret for secret in secrets if secret.encode() in everything]


@ON_DISK
def test_an_application_message_without_the_update_is_opened_by_the_dump_from_before(world: World) -> None:
    world.found()
    Person(world, "alice").join()
    before = Dump.taken(world, "before")
    path = paths.group(GROUP)
    document = world.control.get([path])[path]
    session = world.suite.groups.open(cast("Data", document.data), world.clock())
    message = session.encrypt(b"a secret that is sent without an update before it")
    opened = set(attack(before.group(world), [message], world))
    assert opened == {b"a secret that is sent without an update before it"}


@ON_DISK
def test_each_dump_is_of_the_state_that_it_is_said_to_be_of(world: World) -> None:
    world.found()
    alice = Person(world, "alice").join()
    epochs = [Dump.taken(world, "first").group(world).epoch]
    for name in ("second", "third"):
        alice.device.refresh(GROUP)
        epochs.append(Dump.taken(world, name).group(world).epoch)
    assert [later - earlier for earlier, later in pairwise(epochs)] == [1, 1]
