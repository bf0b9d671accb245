"""Leak: a secret was sighted where it should not be. Which one, and an end to it.

Rules:

1. The value comes nowhere near this: whoever has it compares locally with receipt keys, which are public, and signs
   what is to be done with it. So it is shown to nobody more, and nobody can burn a version without its secret.
2. An imported version has no receipt key: the operator's word is what there is.
3. Cancel, revoke and the emergency request are one commit. A version in grace has its successor already: none is asked
   for. Where a rotation can't be opened (too few devices, rates) the version is revoked all the same, and the answer
   says why: what is sighted is burnt.
4. The same request again, by its rotation's id, gets the same answer (for a day), and another line in the log.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from keyturn.domain import lifecycle
from keyturn.domain.audit_chain import OPERATOR
from keyturn.domain.commands import Emergency, RevokeSighted
from keyturn.domain.encodings import (
    base64url_decode,
    digest,
    from_milliseconds,
    identifier,
    rotation_identifier,
    ulid,
    version_identifier,
)
from keyturn.domain.errors import Conflict, NotFound, PolicyViolation, RateLimited, Refusal
from keyturn.domain.model import Person, Rotation, Version
from keyturn.ports.store import Query, put, scan
from keyturn.proofs.receipts import Sighting, verify_sighting
from keyturn.records import paths
from keyturn.records.codec import from_data
from keyturn.use_cases.client_repository import ReadPlan
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.signed_events import ANSWERS_LAST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.domain.commands import Command
    from keyturn.domain.lifecycle import Decision
    from keyturn.domain.model import ClientState
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Document, Store, Value
    from keyturn.use_cases.client_repository import ClientReading, Clients

_log = logging.getLogger("keyturn")

REVOKED = "a sighted secret was revoked"
"""What an alert looks for in the log; ids follow."""
CLIENTS_A_PAGE = 20
MOST_HINTED = 10
"""So many versions at most are of one hint of 40 random bits, unless somebody made them so."""
THE_OPERATOR = Person(OPERATOR, "")
"""Who asks: nobody with a leaf, so every device's ack counts."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Versions to compare a value with, and after which client the next page begins (None: this was the last)."""

    versions: Sequence[Version]
    following: str | None = None


@dataclass(frozen=True, slots=True)
class Leak:
    """The use cases behind `keyturn leak`."""

    clients: Clients
    environment: Environment

    def of_client(self, client_id: str) -> Candidates:
        """Return all versions of a client, retired ones too; `NotFound` without such a client."""
        path = paths.client(identifier(client_id))
        if not self._store.get([path])[path].exists:
            raise NotFound("unknown_client", "There is no such client.")
        return Candidates(list(self._versions(client_id)))

    def of_hint(self, hint: str) -> Candidates:
        """Return the versions that a scannable secret's hint means: one, or by chance a few."""
        asked = Query(paths.ROTATIONS, order_by="hint", at_least=hint, at_most=hint, limit=MOST_HINTED)
        made = [from_data(Rotation, item.data) for item in self._store.query(asked) if item.data]
        found = self._store.get(paths.version(item.client_id, item.new_version) for item in made)
        return Candidates([from_data(Version, item.data) for item in found.documents.values() if item.data])

    def of_all(self, after: str | None) -> Candidates:
        """Return all versions of the next clients in the order of their ids; one read a version, and one a client."""
        asked = Query(paths.CLIENTS, order_by="client_id", limit=CLIENTS_A_PAGE, after=self._last(after))
        found = self._store.query(asked)
        ids = [item.path.rpartition("/")[2] for item in found]
        versions = [version for client_id in ids for version in self._versions(client_id)]
        return Candidates(versions, ids[-1] if len(found) == CLIENTS_A_PAGE else None)

    def revoke(self, sighting: Sighting, signature: str) -> Data:
        """Revoke a sighted version and ask for its successor; the answer (docs/http.md).

        `Forbidden` unless the version's secret signed that; `Conflict` for a version that is neither live nor pending:
        it verifies nowhere.
        """
        identifier(sighting.client_id)
        version_identifier(sighting.version_id)
        rotation_identifier(sighting.replaced_by)
        from_milliseconds(sighting.sighted_at)
        answer = until_won(lambda: self._revoke(sighting, signature), self.environment)
        _log.error("%s: version %s of client %s", REVOKED, sighting.version_id, sighting.client_id)
        return answer

    @property
    def _store(self) -> Store:
        return self.clients.store

    def _versions(self, client_id: str) -> Iterator[Version]:
        found = scan(self._store, Query(f"{paths.client(client_id)}/secrets", order_by="version_id"))
        return (from_data(Version, item.data) for item in found if item.data)

    def _last(self, client_id: str | None) -> Document | None:
        if client_id is None:
            return None
        path = paths.client(identifier(client_id))
        last = self._store.get([path])[path]
        if not last.exists:
            raise NotFound("unknown_client", "There is no such client.")
        return last

    def _revoke(self, sighting: Sighting, signature: str) -> Data:
        place, known = paths.version(sighting.client_id, sighting.version_id), paths.event(sighting.replaced_by)
        plan = ReadPlan([place, known, paths.rotation(sighting.replaced_by)])
        reading = self.clients.read(sighting.client_id, plan)
        answered = _answered(sighting, reading)
        if answered is not None:
            return answered
        found = reading.snapshot[place].data
        if found is None:
            raise NotFound("unknown_version", "The client has no such version.")
        key = _signer_of(from_data(Version, found), sighting, signature)
        decision, refused = self._decided(sighting, key, reading)
        answer = _answer(sighting, decision.state, refused, reading)
        stored: Data = {"answer": answer, "expires_at": reading.now + ANSWERS_LAST}
        self.clients.commit(reading, decision, also=[put(reading.snapshot[known], stored)])
        return answer

    def _decided(self, sighting: Sighting, key: str | None, reading: ClientReading) -> tuple[Decision, str]:
        state, policy, now = reading.state, reading.policy, reading.now
        revoke = self._command(sighting, key, reading)
        if sighting.version_id == lifecycle.settle(state, policy, now).state.client.previous_version:
            return lifecycle.decide(state, revoke, policy, now), ""
        try:
            both: list[Command] = [revoke, self._emergency(sighting, revoke, reading)]
            return lifecycle.decide_all(state, both, policy, now), ""
        except (PolicyViolation, RateLimited) as refusal:  # only the request can meet with these
            return lifecycle.decide(state, revoke, policy, now), refusal.reason

    def _command(self, sighting: Sighting, key: str | None, reading: ClientReading) -> RevokeSighted:
        return RevokeSighted(
            actor=THE_OPERATOR,
            groups=frozenset(reading.state.client.admin_groups),
            people=reading.people,
            reason=f"sighted at {sighting.sighted_at}",
            version_id=sighting.version_id,
            receipt_key=key,
        )

    def _emergency(self, sighting: Sighting, revoke: RevokeSighted, reading: ClientReading) -> Emergency:
        return Emergency(
            actor=revoke.actor,
            groups=revoke.groups,
            people=revoke.people,
            reason=revoke.reason,
            digest=_digest(sighting),
            rotation_id=sighting.replaced_by,
            version_id=ulid(reading.now, self.environment.random(10)),
            group=reading.state.client.admin_groups[0],
            measured_from=reading.now,
        )


def _answered(sighting: Sighting, reading: ClientReading) -> Data | None:
    """Return what the same request was answered before; `Conflict` when another one used its rotation's id."""
    document = reading.snapshot[paths.event(sighting.replaced_by)].data
    if document is not None:
        answer = cast("Data", document["answer"])
        if (answer["client_id"], answer["version_id"]) == (sighting.client_id, sighting.version_id):
            return answer
    if document is not None or reading.snapshot[paths.rotation(sighting.replaced_by)].exists:
        raise Conflict("rotation_id_taken", "That rotation id was used for another request.")
    return None


def _answer(sighting: Sighting, state: ClientState, refused: str, reading: ClientReading) -> dict[str, Value]:
    rotation = state.rotations.get(sighting.replaced_by)
    return {
        "client_id": sighting.client_id,
        "version_id": sighting.version_id,
        "status": state.client.status.value,
        "rotation_id": rotation.rotation_id if rotation else None,
        "quorum": rotation.quorum if rotation else None,
        "refused": refused or None,
        "effective_within_seconds": reading.policy.max_stale_seconds,
    }


def _digest(sighting: Sighting) -> str:
    return digest({"action": "leak", "client_id": sighting.client_id, "version_id": sighting.version_id})


def _signer_of(version: Version, sighting: Sighting, signature: str) -> str | None:
    """Return the receipt key that a sighting verifies under, if it is the version's."""
    if version.receipt_key is None or version.rotation_id != sighting.made_by:
        return None
    try:
        holds = verify_sighting(base64url_decode(version.receipt_key), signature, sighting)
    except (Refusal, ValueError):  # the stored key is none
        return None
    return version.receipt_key if holds else None
