"""Leak: find the version of a leaked secret, and revoke it.

Rules:

1. The service never receives the value. Its holder compares it locally with the receipt keys, which are public, and
   signs the report with it. So the value spreads no further, and a version cannot be revoked without its secret.
2. An imported version has no receipt key. For it, the operator's request is enough.
3. Canceling, revoking and the emergency request are one commit. A version in grace has its successor already, so none
   is requested for it. If a rotation cannot be opened (too few devices, rate limits), the version is revoked all the
   same, and the answer has the reason: a leaked secret must not keep working.
4. The same request again, identified by its rotation's id, gets the same answer for a day, and another log line.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain import lifecycle
from keyturn.domain.audit_chain import OPERATOR
from keyturn.domain.commands import Emergency, RevokeLeaked
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
from keyturn.ports.store import Query, scan
from keyturn.proofs.receipts import LeakReport, verify_leak_report
from keyturn.records import paths
from keyturn.records.codec import from_data, readable
from keyturn.use_cases.client_repository import ReadPlan
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.signed_events import answer_write, stored_answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from keyturn.domain.lifecycle import Decision
    from keyturn.domain.model import ClientState
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Store, Value
    from keyturn.use_cases.client_repository import ClientReading, Clients

_log = logging.getLogger("keyturn")

REVOKED = "a leaked secret was revoked"
"""The text that the alert matches in the log (terraform/alerts.tf). The ids follow it."""
CLIENTS_A_PAGE = 20
MOST_HINTED = 10
"""The most versions to return for one hint. A hint has 40 random bits, so there is hardly ever more than one."""
OPERATOR_ACTOR = Person(OPERATOR, "")
"""The requester: it has no leaf in any group, so the acknowledgement of every device counts."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Versions to compare a value with, and the client after which the next page begins (None after the last page)."""

    versions: Sequence[Version]
    following: str | None = None


@dataclass(frozen=True, slots=True)
class Leak:
    """The use cases behind `keyturn leak`."""

    clients: Clients
    environment: Environment

    def of_client(self, client_id: str) -> Candidates:
        """Return all versions of a client, including retired ones. Raises `NotFound` without such a client."""
        self.clients.cursor(client_id)
        return Candidates(list(self._versions(client_id)))

    def of_hint(self, hint: str) -> Candidates:
        """Return the versions with this hint of a scannable secret: one, or by chance a few."""
        query = Query(paths.ROTATIONS, order_by="hint", at_least=hint, at_most=hint, limit=MOST_HINTED)
        rotations = readable(Rotation, self._store.query(query))
        snapshot = self._store.get(paths.version(item.client_id, item.new_version) for item in rotations)
        return Candidates(readable(Version, snapshot.documents.values()))

    def of_all(self, after: str | None) -> Candidates:
        """Return all versions of the next page of clients, by id. It costs one read for each client and version."""
        query = Query(paths.CLIENTS, order_by="client_id", limit=CLIENTS_A_PAGE, after=self.clients.cursor(after))
        ids = [item.id for item in self._store.query(query)]
        versions = [version for client_id in ids for version in self._versions(client_id)]
        return Candidates(versions, ids[-1] if len(ids) == CLIENTS_A_PAGE else None)

    def revoke(self, report: LeakReport, signature: str) -> Data:
        """Revoke a leaked version and request its successor. Return the answer (docs/http.md).

        Raises `Forbidden` unless the report is signed with the version's secret, and `Conflict` for a version that is
        neither live nor pending, because that verifies nowhere.
        """
        identifier(report.client_id)
        version_identifier(report.version_id)
        rotation_identifier(report.replaced_by)
        from_milliseconds(report.sighted_at)
        answer = until_won(lambda: self._revoke(report, signature), self.environment)
        # An error, and for a repeated request again: the alert depends on it.
        _log.error("%s: version %s of client %s", REVOKED, report.version_id, report.client_id)
        return answer

    @property
    def _store(self) -> Store:
        return self.clients.store

    def _versions(self, client_id: str) -> Iterator[Version]:
        documents = scan(self._store, Query(f"{paths.client(client_id)}/secrets", order_by="version_id"))
        return iter(readable(Version, documents))

    def _revoke(self, report: LeakReport, signature: str) -> Data:
        version_path = paths.version(report.client_id, report.version_id)
        answer_path = paths.event(report.replaced_by)
        plan = ReadPlan([version_path, answer_path, paths.rotation(report.replaced_by)])
        reading = self.clients.read(report.client_id, plan)
        if (answer := _earlier_answer(report, reading)) is not None:
            return answer
        version = reading.snapshot[version_path]
        if not version.exists:
            raise NotFound("unknown_version", "The client has no such version.")
        key = _verified_key(from_data(Version, version.fields), report, signature)
        decision, reason = self._decide(report, key, reading)
        answer = _answer(report, decision.state, reason, reading)
        self.clients.commit(reading, decision, also=[answer_write(reading.snapshot[answer_path], answer, reading.now)])
        return answer

    def _decide(self, report: LeakReport, key: str | None, reading: ClientReading) -> tuple[Decision, str]:
        """Return the decision, and the reason why no successor is requested ("" if one is, or none is needed)."""
        revoke = self._command(report, key, reading)
        # Its successor is the current version already.
        state = lifecycle.settle(reading.state, reading.policy, reading.now).state
        if report.version_id == state.client.previous_version:
            return reading.decide(revoke), ""
        try:
            return reading.decide(revoke, self._emergency(report, revoke, reading)), ""
        except (PolicyViolation, RateLimited) as refusal:  # only the emergency request can be refused with these
            return reading.decide(revoke), refusal.reason

    def _command(self, report: LeakReport, key: str | None, reading: ClientReading) -> RevokeLeaked:
        return RevokeLeaked(
            actor=OPERATOR_ACTOR,
            # The operator is in no group, but is authorised for every client.
            groups=frozenset(reading.state.client.admin_groups),
            people=reading.people,
            reason=f"secret leaked, found at {report.sighted_at}",
            version_id=report.version_id,
            receipt_key=key,
        )

    def _emergency(self, report: LeakReport, revoke: RevokeLeaked, reading: ClientReading) -> Emergency:
        return Emergency(
            actor=revoke.actor,
            groups=revoke.groups,
            people=revoke.people,
            reason=revoke.reason,
            digest=_digest(report),
            rotation_id=report.replaced_by,
            version_id=ulid(reading.now, self.environment.random(10)),
            group=reading.state.client.admin_groups[0],
            measured_from=reading.now,
        )


def _earlier_answer(report: LeakReport, reading: ClientReading) -> Data | None:
    """Return the earlier answer to the same request. Raises `Conflict` if another one used its rotation's id."""
    answer = stored_answer(reading.snapshot[paths.event(report.replaced_by)])
    if answer is not None and (answer["client_id"], answer["version_id"]) == (report.client_id, report.version_id):
        return answer
    if answer is not None or reading.snapshot[paths.rotation(report.replaced_by)].exists:
        raise Conflict("rotation_id_taken", "That rotation id was used for another request.")
    return None


def _answer(report: LeakReport, state: ClientState, reason: str, reading: ClientReading) -> dict[str, Value]:
    rotation = state.rotations.get(report.replaced_by)
    return {
        "client_id": report.client_id,
        "version_id": report.version_id,
        "status": state.client.status.value,
        "rotation_id": rotation.rotation_id if rotation else None,
        "quorum": rotation.quorum if rotation else None,
        "refused": reason or None,
        "effective_within_seconds": reading.policy.max_stale_seconds,
    }


def _digest(report: LeakReport) -> str:
    return digest({"action": "leak", "client_id": report.client_id, "version_id": report.version_id})


def _verified_key(version: Version, report: LeakReport, signature: str) -> str | None:
    """Return the version's receipt key if the report's signature verifies under it."""
    if version.receipt_key is None or version.rotation_id != report.made_by:
        return None
    try:
        verified = verify_leak_report(base64url_decode(version.receipt_key), signature, report)
    except (Refusal, ValueError):  # the stored key is damaged
        return None
    return version.receipt_key if verified else None
