"""Accept a control event: verify, see whether it was answered, gather evidence, decide, write, answer.

The order of protocol.md §7, cheapest first; nothing is stored for what is refused. The answer is stored in the
command's own commit, so that the same event gets the same answer, whatever happened since.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn, TypeAlias, cast

from keyturn.domain import lifecycle
from keyturn.domain.encodings import ulid
from keyturn.domain.errors import Conflict, Forbidden
from keyturn.domain.model import Person, Rotation
from keyturn.domain.proofs_policy import Missing
from keyturn.ports.authorisation import Act
from keyturn.ports.store import Snapshot, put
from keyturn.proofs.nostr import open_event
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.records.denylist import BLOCK_PATHS, denied, is_denied, require_running
from keyturn.records.roster import read_rosters
from keyturn.use_cases.commands import requester_limits as limits
from keyturn.use_cases.commands.acknowledgement import acknowledgement
from keyturn.use_cases.commands.actions import ACTIONS, ROTATIONS, Asked
from keyturn.use_cases.commands.parse import ACK, read_intent
from keyturn.use_cases.commands.responses import command_answer, rotation_answer
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.signed_events import ANSWERS_LAST, require_fresh

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from keyturn.domain.commands import Command
    from keyturn.ports.authorisation import Authoriser
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Write
    from keyturn.proofs.nostr import Event
    from keyturn.records.roster import Roster
    from keyturn.use_cases.client_repository import ClientReading, Clients
    from keyturn.use_cases.commands.parse import Intent
    from keyturn.use_cases.refusal_log import Refusals

Carried: TypeAlias = "Callable[[Data, datetime], Sequence[Write]]"


@dataclass(frozen=True, slots=True)
class AcceptEvent:
    """The use case behind `rotate_request`."""

    clients: Clients
    authoriser: Authoriser
    environment: Environment
    denied: frozenset[str] = field(default=frozenset())
    """Users, npubs and client ids that may do nothing."""
    refusals: Refusals | None = None
    """Where evidence of who was denied is kept."""

    def __call__(self, body: bytes) -> Data:
        """Return the answer to a signed event (docs/http.md); any `Refusal`."""
        event = open_event(body)
        return until_won(lambda: self.accept(event), self.environment)

    def accept(self, event: Event, carried: Carried = lambda _answer, _now: (), roster: Roster | None = None) -> Data:
        """Return the answer to an event of a known signer; its commit carries further writes, too. `LostRace` as well.

        `carried` makes them from the answer and the store's now. `roster`, that of the signer's group where it was read
        already, saves a read.
        """
        intent = read_intent(event)
        reading = self._read(event, intent, roster)
        answered = reading.snapshot[paths.event(event.id)].data
        if answered is not None:
            return cast("Data", answered["answer"])
        require_fresh(event, reading.now)
        require_running(reading.snapshot, intent.action)
        used_up = self._authorised(event, intent, reading)
        actor = self._actor(event, intent, reading)
        repeated = _repeated(intent, actor, reading)
        if repeated:
            return rotation_answer(repeated)
        return self._carry_out(event, intent, actor, reading, lambda answer, now: [*carried(answer, now), *used_up])

    def _read(self, event: Event, intent: Intent, roster: Roster | None) -> ClientReading:
        also = [*_also(event, intent), *self.authoriser.reads(intent.proof), *BLOCK_PATHS]
        if roster is not None:
            shards = limits.shards(roster, event.pubkey) if intent.action in ROTATIONS else []
            groups = (roster.group_id, *roster.beside)
            reading = self.clients.read_at_once(intent.client_id, [*also, *shards], groups=groups)
            if limits.known(reading.snapshot, _requester(event, intent, reading)):
                return reading
        if intent.action in ROTATIONS:
            # Who is behind the key says where their requests stand: the first of the two reads tells it.
            client = paths.client(intent.client_id)
            first = self.clients.store.get([client, paths.roster(intent.group)])
            also += limits.shards(read_rosters(first, [intent.group]).get(intent.group), event.pubkey)
            return self.clients.read(intent.client_id, also, found=first[client])
        return self.clients.read(intent.client_id, also)

    def _authorised(self, event: Event, intent: Intent, reading: ClientReading) -> Sequence[Write]:
        if intent.action == ACK and not reading.policy.require_ack_proofs:
            return ()
        user = reading.user(event.pubkey) if intent.action == ACK else reading.seated(event.pubkey, intent.group)
        act = Act(event.pubkey, intent.group, intent.client_id, intent.digest, user or "")
        return self.authoriser.check(intent.proof, act, reading.snapshot)

    def _actor(self, event: Event, intent: Intent, reading: ClientReading) -> Person:
        user = reading.user(event.pubkey) or _recipient(event, intent, reading)
        if user is None:
            raise Forbidden("not_authorised", "This admin is in no group that is authorised for the client.")
        if is_denied(reading.snapshot, self.denied, user, event.pubkey, intent.client_id):
            self._deny(Act(event.pubkey, intent.group, intent.client_id, intent.digest, user), reading.now)
        return Person(user, event.pubkey)

    def _deny(self, act: Act, now: datetime) -> NoReturn:
        if self.refusals is not None:
            self.refusals.keep(act, act.user, (Missing.POLICY,), now)
        raise denied()

    def _carry_out(self, event: Event, intent: Intent, actor: Person, reading: ClientReading, carried: Carried) -> Data:
        command = self._command(event, intent, actor, reading)
        decision = lifecycle.decide(reading.state, command, reading.policy, reading.now)
        answer = command_answer(intent, decision, reading.policy)
        records = [*_records(event, intent, reading, answer), *carried(answer, reading.now)]
        self.clients.commit(_rested_on(event, intent, reading), decision, also=records)
        return answer

    def _command(self, event: Event, intent: Intent, actor: Person, reading: ClientReading) -> Command:
        if intent.action == ACK:
            return acknowledgement(intent, actor, reading)
        asked = Asked(
            actor=actor,
            groups=reading.groups_of(event.pubkey),
            people=reading.people,
            reason=intent.reason,
            digest=intent.digest,
            group=intent.group,
            target=intent.target,
            params=intent.params,
            new_version=ulid(reading.now, self.environment.random(10)),
            measured_from=datetime.fromtimestamp(event.created_at, UTC),
            recent=limits.recent(reading.snapshot, _requester(event, intent, reading)),
        )
        return ACTIONS[intent.action](asked)


def _also(event: Event, intent: Intent) -> Iterator[str]:
    yield paths.event(event.id)
    if intent.rotation_id:
        yield paths.rotation(intent.rotation_id)


def _recipient(event: Event, intent: Intent, reading: ClientReading) -> str | None:
    # Somebody who was sent the notice and removed since is told so by the lifecycle, by name and not as a stranger.
    if intent.action != ACK or reading.state.rotation is None:
        return None
    return next((item.user for item in reading.state.rotation.recipients if item.npub == event.pubkey), None)


def _repeated(intent: Intent, actor: Person, reading: ClientReading) -> Rotation | None:
    if intent.action not in ROTATIONS:
        return None
    data = reading.snapshot[paths.rotation(intent.target)].data
    if data is None:
        return None
    rotation = from_data(Rotation, data)
    if (rotation.request_digest, rotation.requested_by) != (intent.digest, actor):
        raise Conflict("rotation_id_taken", "That rotation id was used for another request.")
    return rotation


def _requester(event: Event, intent: Intent, reading: ClientReading) -> str | None:
    """Return whose request is to be counted, if the action is one that counts; None for a stranger in that group."""
    return reading.seated(event.pubkey, intent.group) if intent.action in ROTATIONS else None


def _rested_on(event: Event, intent: Intent, reading: ClientReading) -> ClientReading:
    """Return the reading without what was only glanced at: no commit rests on it (denials.py, limits.py)."""
    glanced = {*BLOCK_PATHS, *limits.only_glanced_at(_requester(event, intent, reading), event.id)}
    documents = {path: item for path, item in reading.snapshot.documents.items() if path not in glanced}
    return replace(reading, snapshot=Snapshot(documents, reading.now))


def _records(event: Event, intent: Intent, reading: ClientReading, answer: Data) -> Iterator[Write]:
    stored: Data = {"answer": answer, "expires_at": reading.now + ANSWERS_LAST}
    yield put(reading.snapshot[paths.event(event.id)], stored)
    if user := _requester(event, intent, reading):
        yield limits.counted(reading.snapshot, user, event.id)
