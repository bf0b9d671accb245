"""Execute a signed event: verify it, gather the evidence, decide, commit, answer.

The checks follow the order of docs/protocol.md §7, cheapest first, and nothing is stored for a refused event. The
answer is stored in the command's own commit, so the same event gets the same answer whatever has happened since.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

from keyturn.domain.encodings import ulid
from keyturn.domain.errors import Conflict, Forbidden
from keyturn.domain.model import Person, Rotation
from keyturn.domain.proofs_policy import Missing
from keyturn.ports.authorisation import Act
from keyturn.proofs.nostr import open_event
from keyturn.records import paths, rotation_size
from keyturn.records.codec import from_data
from keyturn.records.denylist import BLOCK_PATHS, denied, is_denied, require_running
from keyturn.records.roster import read_rosters
from keyturn.use_cases.client_repository import ReadPlan
from keyturn.use_cases.commands import requester_limits as limits
from keyturn.use_cases.commands.actions import (
    ACTIONS,
    ActionRequest,
    acknowledgement,
    command_answer,
    rotation_answer,
)
from keyturn.use_cases.commands.intent import ACK, ROTATIONS
from keyturn.use_cases.commands.parse import read_intent
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.signed_events import answer_write, require_fresh, stored_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyturn.domain.commands import Command
    from keyturn.ports.authorisation import Authoriser
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Document, Write
    from keyturn.proofs.nostr import Event
    from keyturn.records.roster import Roster
    from keyturn.use_cases.client_repository import ClientReading, Clients
    from keyturn.use_cases.commands.imported_secrets import ImportedSecrets
    from keyturn.use_cases.commands.intent import Intent
    from keyturn.use_cases.refusal_log import Refusals

ExtraWrites: TypeAlias = "Callable[[Data, datetime], Sequence[Write]]"
"""(answer, now) → further writes for the command's commit."""


def _no_writes(_answer: Data, _now: datetime) -> Sequence[Write]:
    return ()


@dataclass(frozen=True, slots=True)
class Execution:
    """One event, what it asks for, and everything that was read for the decision."""

    event: Event
    intent: Intent
    reading: ClientReading
    requester: str | None
    """The user for the rate limit: the signer of a rotation request, if they are a member of its group."""

    @classmethod
    def of(cls, event: Event, intent: Intent, reading: ClientReading) -> Execution:
        """Return the execution of an event on a reading."""
        requester = reading.user_in(event.pubkey, intent.group) if intent.action in ROTATIONS else None
        return cls(event, intent, reading, requester)

    @property
    def answer_document(self) -> Document:
        """The document that holds this event's answer once it has one."""
        return self.reading.snapshot[paths.event(self.event.id)]

    def act(self, user: str | None) -> Act:
        """Return the act that a proof must authorise; `user` is the signer."""
        return Act(self.event.pubkey, self.intent.group, self.intent.client_id, self.intent.digest, user or "")

    def signer(self) -> str | None:
        """Return the user behind the signature, or None if unknown."""
        if (user := self.reading.user(self.event.pubkey)) or self.intent.action != ACK:
            return user
        # A removed recipient is still known by name, so that the lifecycle can refuse them as a former member.
        rotation = self.reading.state.rotation
        recipients = rotation.recipients if rotation else ()
        return next((item.user for item in recipients if item.npub == self.event.pubkey), None)

    def repeated_rotation(self, actor: Person) -> Rotation | None:
        """Return the rotation that another event of the same actor requested with the same content.

        `Conflict` if its id was used for another request (docs/protocol.md §4, invariant 5).
        """
        if self.intent.action not in ROTATIONS:
            return None
        data = self.reading.snapshot[paths.rotation(self.intent.target)].data
        if data is None:
            return None
        rotation = from_data(Rotation, data)
        if (rotation.request_digest, rotation.requested_by) != (self.intent.digest, actor):
            raise Conflict("rotation_id_taken", "That rotation id was used for another request.")
        return rotation

    def request(self, actor: Person, randomness: bytes) -> ActionRequest:
        """Return the action with its evidence; `randomness` (`bytes, 10`) is for the new version's id."""
        reading, intent = self.reading, self.intent
        return ActionRequest(
            actor=actor,
            groups=reading.groups_of(self.event.pubkey),
            people=reading.people,
            reason=intent.reason,
            digest=intent.digest,
            group=intent.group,
            target=intent.target,
            params=intent.params,
            new_version=ulid(reading.now, randomness),
            measured_from=datetime.fromtimestamp(self.event.created_at, UTC),
            recent=limits.recent(reading.snapshot, self.requester),
        )

    def writes(self, answer: Data) -> Iterator[Write]:
        """Yield the writes that store the answer, and count a rotation request."""
        yield answer_write(self.answer_document, answer, self.reading.now)
        if self.requester:
            yield limits.count_request(self.reading.snapshot, self.requester, self.event.id)

    def commit_basis(self) -> ClientReading:
        """Return the reading that the commit rests on.

        The denylists, the stop and other shards of the rate limit are read outside of the transaction (ADR 0016): if
        every commit rested on them, all commits would compete for the same documents.
        """
        return self.reading.without({*BLOCK_PATHS, *limits.unprotected_paths(self.requester, self.event.id)})


@dataclass(frozen=True, slots=True)
class AcceptEvent:
    """The use case behind `rotate_request`."""

    clients: Clients
    authoriser: Authoriser
    environment: Environment
    denied: frozenset[str] = field(default=frozenset())
    """Users, npubs and client ids that the settings deny."""
    refusals: Refusals | None = None
    """Where refusals of denied users are recorded."""
    imported_secrets: ImportedSecrets | None = None
    """Refuses imported secrets in reasons."""

    def __call__(self, body: bytes) -> Data:
        """Return the answer to a signed event (docs/http.md). Raises any `Refusal`."""
        event = open_event(body)
        return until_won(lambda: self.accept(event), self.environment)

    def accept(self, event: Event, extra_writes: ExtraWrites = _no_writes, roster: Roster | None = None) -> Data:
        """Return the answer to an event with a verified signer. Raises any `Refusal`, and `LostRace`.

        `extra_writes` join the command's commit. `roster`, the one of the signer's group if it is known already, saves
        a read.
        """
        intent = read_intent(event)
        execution = self._read(event, intent, roster)
        reading = execution.reading
        # Before every check: a repeated event gets its first answer even when its proof is used up by now.
        if (answer := stored_answer(execution.answer_document)) is not None:
            return answer
        require_fresh(event, reading.now)
        require_running(reading.snapshot, intent.action)
        # The proof comes before membership and denylist (docs/protocol.md §7): without one, a caller learns of neither.
        proof_writes = self._authorise(execution)
        actor = self._actor(execution)
        # A repeated request is answered only now, because its new event needs a proof of its own.
        if repeated := execution.repeated_rotation(actor):
            return rotation_answer(repeated)
        if self.imported_secrets is not None:
            self.imported_secrets.check(event.id, intent.reason, reading.state.live)
        decision = reading.decide(self._command(execution, actor))
        if intent.action == ACK and not rotation_size.fits(decision.state, intent.target):
            raise Conflict("rotation_full", "The rotation takes no further acknowledgement.")
        answer = command_answer(intent, decision, reading.policy)
        writes = [*execution.writes(answer), *extra_writes(answer, reading.now), *proof_writes]
        self.clients.commit(execution.commit_basis(), decision, also=writes)
        return answer

    def _read(self, event: Event, intent: Intent, roster: Roster | None) -> Execution:
        also = [paths.event(event.id), *self.authoriser.reads(intent.proof), *BLOCK_PATHS]
        if intent.rotation_id:
            also.append(paths.rotation(intent.rotation_id))
        opens_rotation = intent.action in ROTATIONS
        if roster is not None:
            shards = limits.shards(roster, event.pubkey) if opens_rotation else []
            plan = ReadPlan([*also, *shards], expected_groups=(roster.group_id, *roster.beside))
            execution = Execution.of(event, intent, self.clients.read(intent.client_id, plan))
            # The request may name another group, in which the same key belongs to another user.
            if limits.all_read(execution.reading.snapshot, execution.requester):
                return execution
        document = None
        if opens_rotation:
            # The paths of the rate limit need the requester, and the roster of the request's group has the requester.
            path = paths.client(intent.client_id)
            first = self.clients.store.get([path, paths.roster(intent.group)])
            also += limits.shards(read_rosters(first, [intent.group]).get(intent.group), event.pubkey)
            document = first[path]
        return Execution.of(event, intent, self.clients.read(intent.client_id, ReadPlan(also, document=document)))

    def _authorise(self, execution: Execution) -> Sequence[Write]:
        """Return the writes that use up the proof. Raises `Refusal` if it does not authorise the act."""
        intent, reading, npub = execution.intent, execution.reading, execution.event.pubkey
        if intent.action == ACK and not reading.policy.require_ack_proofs:
            return ()
        # An acknowledgement names no group: the signer may be in any group of the client.
        user = reading.user(npub) if intent.action == ACK else reading.user_in(npub, intent.group)
        return self.authoriser.check(intent.proof, execution.act(user), reading.snapshot)

    def _actor(self, execution: Execution) -> Person:
        """Return the signer as a person. Raises `Forbidden` for an unknown or denied one."""
        npub, reading = execution.event.pubkey, execution.reading
        user = execution.signer()
        if user is None:
            raise Forbidden("not_authorised", "This admin is in no group that is authorised for the client.")
        if is_denied(reading.snapshot, self.denied, user, npub, execution.intent.client_id):
            if self.refusals is not None:
                self.refusals.keep(execution.act(user), user, (Missing.POLICY,), reading.now)
            raise denied()
        return Person(user, npub)

    def _command(self, execution: Execution, actor: Person) -> Command:
        intent = execution.intent
        if intent.action == ACK:
            return acknowledgement(intent, actor, execution.reading)
        return ACTIONS[intent.action](execution.request(actor, self.environment.random(10)))
