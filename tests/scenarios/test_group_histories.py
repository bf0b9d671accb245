"""Histories: service, three devices, a relay and the store, driven through random orders of what happens to groups.

After every step nothing that `keyturn doctor` knows of is broken (docs/protocol.md §4), no key has encrypted twice, no
device that was removed opens anything later, and each device that is a member and has caught up has the service's keys.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from keyturn.adapters.mls import message_headers as message_heads_mls
from keyturn.device.core.errors import DeviceError, ServerRefusedError
from keyturn.device.groups.membership import LostReason
from keyturn.domain.encodings import base64url_decode
from keyturn.domain.policy import Policy
from keyturn.mls import ApplicationReceived, MlsError, cipher_suite, private_message
from keyturn.ports.relay import PublishResult
from keyturn.ports.store import Query, scan
from keyturn.proofs.nostr import parse_event
from keyturn.records import paths
from keyturn.use_cases.doctor.run_checks import RunChecks

from tests.scenarios.people import Person
from tests.world import CLIENT, GROUP, World, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from keyturn.mls import Group
    from keyturn.ports.store import Data, Document
    from keyturn.use_cases.doctor.run_checks import CheckResult

    from tests.memory_store import MemoryStore

USERS = ("alice", "bob", "carol")
CLIENTS = (CLIENT, "second-client")
RELAY = "wss://relay.example"
POLICY = Policy(
    minimum_not_before_seconds=0,
    minimum_interval_seconds=0,
    requests_per_hour_per_client=1000,
    requests_per_hour_per_requester=1000,
)
EXAMPLES = int(os.environ.get("GROUP_HISTORIES", "0"))
"""How many histories, new ones each time; 0: a few that are always the same."""
STEPS = 40
MOVES = (
    *("rotate", "rotate", "rotate", "rotate", "rotate", "ack", "ack", "ack", "ack", "catch_up", "catch_up", "refresh"),
    *("remove", "re_add", "re_add", "time_goes_by", "month_goes_by", "relay_turns", "back_up", "restore"),
)
"""What may happen, the likelier the more often it stands here."""


class MemoryRelay:
    """A relay that takes events while it is up; what is there stays."""

    urls = (RELAY,)

    def __init__(self) -> None:
        self.up = True
        self.held: set[str] = set()

    def publish(self, url: str, events: Sequence[str]) -> Sequence[PublishResult]:
        assert url == RELAY
        if not self.up:
            return [PublishResult.UNKNOWN] * len(events)
        self.held |= set(events)
        return [PublishResult.ACCEPTED] * len(events)


class SealedKeys:
    """Records the keys of all MLS messages, of all members: each key is for one message."""

    def __init__(self) -> None:
        self.used: Counter[bytes] = Counter()

    def seal(self, key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
        self.used[key] += 1
        return cipher_suite.aead_seal(key, nonce, plaintext, associated)


@dataclass(frozen=True)
class Copy:
    """A copy of the whole store, and the members at that time."""

    documents: Sequence[Mapping[str, Document]]
    members: frozenset[str]


@dataclass
class Spy:
    """What a removed device held, and what the log had said by then (events)."""

    group: Group
    before: frozenset[str]


class Histories(RuleBasedStateMachine):
    """`members` are those that the service has in the group, or would let come back."""

    def __init__(self) -> None:
        super().__init__()
        self.during = ExitStack()
        self.folder = self.during.enter_context(tempfile.TemporaryDirectory())
        patched = self.during.enter_context(pytest.MonkeyPatch.context())
        self.keys = SealedKeys()
        patched.setattr(private_message, "aead_seal", self.keys.seal)
        self.world: World = self.during.enter_context(running(Path(self.folder), policy=POLICY))
        self.relay = MemoryRelay()
        self.spies: list[Spy] = []
        self.copy: Copy | None = None

    @initialize()
    def found(self) -> None:
        self.world.serve(relays=self.relay)
        self.world.found()
        self.world.add_client(CLIENTS[1])
        self.people = {user: Person(self.world, user).join() for user in USERS}
        self.members = set(USERS)
        self.ever_removed: set[str] = set()

    def teardown(self) -> None:
        try:
            if hasattr(self, "people"):
                self._end()
        finally:
            self.during.close()

    @rule(move=st.sampled_from(MOVES), user=st.sampled_from(USERS), number=st.integers(0, 3))
    def step(self, move: str, user: str, number: int) -> None:
        """Let one thing happen; one rule for all, as hypothesis would leave out some of many for a whole history."""
        getattr(self, move)(user, number)

    # --- what people do ----------------------------------------------------------------------------------------------

    def rotate(self, user: str, number: int) -> None:
        self.world.clock.advance(seconds=1)
        try:
            self.people[user].device.rotate(CLIENTS[number % 2], "because it is time", supersede=True)
        except DeviceError as refused:
            self._is_a_refusal(refused)
        else:
            assert user in self.members
        self.world.pump()

    def ack(self, user: str, number: int) -> None:
        """Acknowledge what came, whatever has become of it; again would only get the first answer (invariant 5)."""
        device = self.people[user].device
        with suppress(DeviceError):
            device.catch_up()
        inbox = [notice for notice in device.inbox() if notice.secret is not None and notice.acked_at is None]
        for notice in inbox[-1 - number :][:1]:
            try:
                answer = device.ack(notice.rotation_id)
            except DeviceError as refused:
                self._is_a_refusal(refused)
            else:
                assert user in self.members
                assert answer["outcome"] in {None, "promoted"}

    def catch_up(self, user: str, _number: int) -> None:
        """Devices read only here and where they act: until then they are offline."""
        self._caught_up(user)

    def refresh(self, user: str, _number: int) -> None:
        self.world.clock.advance(seconds=1)
        try:
            self.people[user].device.refresh(GROUP)
        except DeviceError as refused:
            self._is_a_refusal(refused)

    # --- what the operator does --------------------------------------------------------------------------------------

    def remove(self, user: str, _number: int) -> None:
        if len(self.members) == 1:
            return
        self._spy_on(user)
        status = self.world.operator(f"/groups/{GROUP}/remove", {"user": user}).status_code
        assert status == 200 or (status == 404 and user not in self.members)  # removing may be repeated
        self.members -= {user}
        self.ever_removed |= {user}

    def re_add(self, user: str, _number: int) -> None:
        if user not in self.members or self.people[user].seat.lost_reason is LostReason.REMOVED:
            self.people[user].join()
            self.members |= {user}

    # --- what happens ------------------------------------------------------------------------------------------------

    def time_goes_by(self, _user: str, number: int) -> None:
        self.world.clock.advance(minutes=(1, 20, 45, 60 * 25)[number])
        self.world.sweep()
        self.world.pump()

    def month_goes_by(self, _user: str, _number: int) -> None:
        """Every device loses its leaf, and may come back."""
        if self.world.clock.now.month == 3:  # once: the service's own leaf lasts for 84 days
            self.relay.up = True  # for longer than this, nothing is tried again
            self.world.clock.advance(hours=2)
            self.world.sweep()
            self.world.clock.advance(days=31)
            self.world.sweep()

    def relay_turns(self, _user: str, number: int) -> None:
        self.relay.up = number > 1

    def back_up(self, _user: str, _number: int) -> None:
        stores = [self.world.control, self.world.auth, self.world.usage]
        documents = [dict(_memory(store.inner)._documents) for store in stores]
        self.copy = Copy(documents, frozenset(self.members))

    def restore(self, user: str, _number: int) -> None:
        """Put the copy back: it opens frozen, sends nothing, and goes on with new groups once it is thawed."""
        if self.copy is None:
            return
        for store, documents in zip(
            (self.world.control, self.world.auth, self.world.usage), self.copy.documents, strict=True
        ):
            inner = _memory(store.inner)
            inner.restore(documents, inner._version)  # versions never come back, even in an older copy
        self.members = set(self.copy.members)
        self.world.suite.freeze.freeze("restored")
        self._nothing_is_sent(user)
        assert self.world.suite.freeze.thaw() == [GROUP]
        self.world.sweep()
        self.world.pump()

    def _nothing_is_sent(self, user: str) -> None:
        before = self.world.control.inner.get([paths.group(GROUP)])[paths.group(GROUP)]
        for client in CLIENTS:
            with suppress(DeviceError):
                self.people[user].device.rotate(client, "because it is time", supersede=True)
        self.world.pump()
        assert self.world.control.inner.get([paths.group(GROUP)])[paths.group(GROUP)] == before

    # --- what holds, always ------------------------------------------------------------------------------------------

    @invariant()
    def the_doctor_finds_nothing(self) -> None:
        if not hasattr(self, "people"):
            return
        found = examined(self.world)
        assert found.breaches == ()
        assert found.unstable == ()

    @invariant()
    def no_key_encrypts_twice(self) -> None:
        assert [key for key, times in self.keys.used.items() if times > 1] == []

    @invariant()
    def a_removed_device_opens_nothing_later(self) -> None:
        if not hasattr(self, "people"):
            return
        entries = list(self._log())
        for spy in self.spies:
            for entry in entries:
                self._is_closed_to(spy, entry)

    def _is_closed_to(self, spy: Spy, entry: Data) -> None:
        event = str(entry["event"])
        if not event or event in spy.before:
            return
        with suppress(MlsError):
            spy.group, opened = spy.group.receive(base64url_decode(parse_event(event).content), now=self.world.clock())
            assert not isinstance(opened, ApplicationReceived)

    # --- how ---------------------------------------------------------------------------------------------------------

    def _log(self) -> Iterator[Data]:
        found = scan(cast("Any", self.world.control.inner), Query(paths.messages(GROUP), order_by="index"))
        return (document.data for document in found if document.data is not None)

    def _spy_on(self, user: str) -> None:
        if user in self.members:
            self.spies.append(
                Spy(self.people[user].seat.group, frozenset(str(entry["event"]) for entry in self._log()))
            )

    def _is_a_refusal(self, refused: DeviceError) -> None:
        """Assert that what stopped a device was a no of the doors, never an error of theirs."""
        if isinstance(refused, ServerRefusedError):
            assert refused.status < 500, refused

    def _caught_up(self, user: str) -> None:
        try:
            self.people[user].device.catch_up()
        except DeviceError as refused:
            self._is_a_refusal(refused)
            assert user not in self.members
            return
        seat = self.people[user].seat
        if user not in self.members or seat.lost_reason is LostReason.REMOVED:
            # A removed device stays out until a new invite, even if a copy from before the removal is restored.
            assert not seat.is_usable
            assert user in self.ever_removed
            return
        group = seat.group
        document = self.world.document(paths.group(GROUP))
        service = cast("Any", self.world.suite.groups.open(document, self.world.clock()))._group
        assert (group.epoch, group.epoch_authenticator) == (service.epoch, service.epoch_authenticator)

    def _end(self) -> None:
        """Let all devices and the relay come back: nothing was lost, and no secret is anywhere in plaintext."""
        for user in USERS:
            self._caught_up(user)
        for user in USERS:
            self._caught_up(user)  # the first that came back changed the group
        self.relay.up = True
        self.world.clock.advance(hours=2)
        self.world.sweep()
        stored = {str(entry["event"]) for entry in self._log() if entry["event"]}
        assert stored <= self.relay.held
        outbox = self.world.control.inner.query(Query(paths.RELAY_OUTBOX, order_by="due_at"))
        assert [item.path for item in outbox] == []
        dump = self.world.dump()
        secrets = {
            notice.secret for person in self.people.values() for notice in person.device.inbox() if notice.secret
        }
        assert not [secret for secret in secrets if secret.encode() in dump]
        self.the_doctor_finds_nothing()


def examined(world: World) -> CheckResult:
    suite = world.suite
    return RunChecks(
        databases=suite.databases,
        policy=suite.settings.policy,
        groups=suite.groups,
        mac_key=suite.keys.mac,
        read_head=message_heads_mls.read_head,
        environment=suite.environment,
    )()


def _memory(store: object) -> MemoryStore:
    return cast("MemoryStore", store)


def test_groups_hold_in_every_order_of_events() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=EXAMPLES or 20,
            derandomize=not EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_log_that_began_again_after_a_restore_is_no_breach(world: World) -> None:
    alice = Person(world.found(), "alice").join()
    alice.device.rotate(CLIENT, "because it is time")
    world.pump()
    world.suite.freeze.freeze("restored")
    world.suite.freeze.thaw()
    assert examined(world).breaches == ()
    alice.device.catch_up()
    assert examined(world).breaches == ()
