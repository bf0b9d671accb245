"""Import clients with the hashes of another system, so that they can move here with their present secrets.

Every row is committed on its own, so an invalid row does not block the others. An existing client is left unchanged, so
the same file can be imported again. A row that differs from an existing client is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import OPERATOR, Transition
from keyturn.domain.client_groups import checked_groups
from keyturn.domain.encodings import identifier, ulid
from keyturn.domain.errors import Conflict, InvalidRequest, NotFound
from keyturn.domain.imported_hash import stored_hash
from keyturn.domain.lifecycle import Decision, audited_facts
from keyturn.domain.model import Client, ClientKind, ClientState, Version, VersionState
from keyturn.domain.request_fields import Fields
from keyturn.ports.store import Create, Query
from keyturn.records import paths
from keyturn.records.codec import from_data, to_data
from keyturn.use_cases.optimistic import UNNAMED, Call, until_won_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Data, Snapshot
    from keyturn.use_cases.client_repository import Clients
    from keyturn.use_cases.optimistic import Act

MOST_ROWS = 200
"""The largest number of rows in one request."""
REASON = "imported"
"""The `rotation_reason` of an imported version."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import: ids that were added, ids that existed already, and (row index, reason) of the others."""

    added: Sequence[str]
    existing: Sequence[str]
    refusals: Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class ImportRow:
    """One client to import: its groups and the hash of its secret (`domain.imported_hash`)."""

    client_id: str
    kind: ClientKind
    groups: tuple[str, ...]
    algo: str
    secret_hash: str


@dataclass(frozen=True, slots=True)
class ImportClients:
    """The use case behind `keyturn client import`."""

    clients: Clients
    environment: Environment

    def __call__(self, rows: Sequence[object], call: Call = UNNAMED) -> ImportResult:
        """Import the valid rows. Raises `InvalidRequest` for more than `MOST_ROWS` rows."""
        if len(rows) > MOST_ROWS:
            raise InvalidRequest("too_many_rows", "The request has too many rows.")
        new_ids: list[str] = []
        existing_ids: list[str] = []
        refusals: list[tuple[int, str]] = []
        for index, presented in enumerate(rows):
            try:
                row = _row(presented)
                (new_ids if self._import(row, call) else existing_ids).append(row.client_id)
            except (
                InvalidRequest,
                NotFound,
                Conflict,
            ) as refusal:  # caused by the row, while an outage ends the request
                refusals.append((index, refusal.reason))
        return ImportResult(new_ids, existing_ids, refusals)

    def _import(self, row: ImportRow, call: Call) -> bool:
        """Import one row. Return whether it added a client."""
        store, environment = self.clients.store, self.environment
        answer = until_won_once(
            lambda act: self._attempt(act, row), store, environment, call, "import", row.client_id, row.secret_hash
        )
        return bool(answer["added"])

    def _attempt(self, act: Act, row: ImportRow) -> Data:
        path = paths.client(row.client_id)
        rosters = [paths.roster(group) for group in row.groups]
        snapshot = self.clients.store.get([path, *rosters])
        if (data := snapshot[path].data) is not None:
            self._require_same(row, from_data(Client, data))
            return {"added": False}
        if not all(snapshot[roster].exists for roster in rosters):
            raise NotFound("unknown_group", "There is no such group.")
        answer: Data = {"added": True}
        self._create(row, snapshot, act.mark(answer, snapshot.read_time))
        return answer

    def _create(self, row: ImportRow, snapshot: Snapshot, mark: Create) -> None:
        version = self._version(row, snapshot.read_time)
        client = Client(row.client_id, row.kind, row.groups, snapshot.read_time, current_version=version.version_id)
        state = ClientState(client, {version.version_id: version})
        ids = {"client_id": row.client_id, "version_id": version.version_id}
        transition = Transition("import_client", OPERATOR, ids, after=audited_facts(state))
        memberships = [
            Create(paths.client_of_group(name, row.client_id), {"client_id": row.client_id}) for name in row.groups
        ]
        stored_version = Create(paths.version(row.client_id, version.version_id), to_data(version))
        self.clients.create(snapshot, Decision(state, (transition,)), also=[stored_version, *memberships, mark])

    def _version(self, row: ImportRow, now: datetime) -> Version:
        return Version(
            client_id=row.client_id,
            # No rotation created it, and it verifies at once: the integrator already uses this secret.
            version_id=ulid(now, self.environment.random(10)),
            created_at=now,
            not_before=now,
            rotation_id="",
            rotated_by=OPERATOR,
            rotation_reason=REASON,
            state=VersionState.CURRENT,
            algo=row.algo,
            secret_hash=row.secret_hash,
        )

    def _require_same(self, row: ImportRow, client: Client) -> None:
        # The imported version is always the client's first. Nothing is written that rests on this query.
        first = self.clients.store.query(
            Query(f"{paths.client(row.client_id)}/secrets", order_by="version_id", limit=1)
        )
        secret_hash = first[0].data["secret_hash"] if first and first[0].data else None
        if (client.kind, client.admin_groups, secret_hash) != (row.kind, row.groups, row.secret_hash):
            raise Conflict("client_exists", "A different client with that id already exists.")


def _row(presented: object) -> ImportRow:
    fields = Fields({"row": presented}).fields("row")
    kind = fields.optional_text("kind") or ClientKind.OAUTH2_CLIENT_SECRET.value
    if kind not in set(ClientKind):
        raise InvalidRequest("unknown_kind", "There is no such kind of client.")
    algo, secret_hash = stored_hash(fields.text("secret_hash"))
    return ImportRow(
        client_id=identifier(fields.text("client_id")),
        kind=ClientKind(kind),
        groups=_groups(fields.values),
        algo=algo,
        secret_hash=secret_hash,
    )


def _groups(values: Mapping[str, object]) -> tuple[str, ...]:
    groups = values.get("groups")
    names = [group for group in groups if isinstance(group, str)] if isinstance(groups, list) else []
    if not isinstance(groups, list) or len(names) != len(groups):
        raise InvalidRequest("bad_groups", "The groups of a row are a list of texts.")
    return checked_groups(names)
