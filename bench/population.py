"""Many clients in an embedded store, all in grace: most end far in the future, some ended a minute ago.

They are written through the store's own commit, as the use cases write them: the client and its two live versions.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.domain.audit_chain import Head
from keyturn.domain.model import Client, ClientKind, ClientState, Version, VersionState
from keyturn.domain.policy import Policy
from keyturn.ports.store import Create, put
from keyturn.records import paths
from keyturn.records.client_document import client_data
from keyturn.records.codec import from_data, to_data
from keyturn.records.roster import Roster

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.adapters.sqlite.store import SqliteStore
    from keyturn.ports.store import Data, Document

BATCH = 500
"""Clients in one commit while the store is filled."""
GROUP = "ops"
LATER = timedelta(days=30)
OVERDUE = timedelta(minutes=1)


def client_ids(count: int) -> list[str]:
    """Return the ids of `count` clients. A smaller population is a subset of a larger one."""
    return [f"client-{number:06d}" for number in range(count)]


def fill(store: SqliteStore, count: int) -> None:
    """Write so many clients, none due, and the roster of their group."""
    store.commit([Create(paths.roster(GROUP), to_data(Roster(GROUP)))])
    ids = client_ids(count)
    for start in range(0, count, BATCH):
        _write(store, ids[start : start + BATCH], datetime.now(UTC) + LATER)


def make_due(store: SqliteStore, ids: Sequence[str]) -> None:
    """Put clients in a grace that ended a minute ago, whatever became of them since."""
    _write(store, ids, datetime.now(UTC) - OVERDUE)


def _write(store: SqliteStore, ids: Sequence[str], grace_until: datetime) -> None:
    head_documents = store.get(map(paths.client, ids))
    states = [_state(name, _head(head_documents[paths.client(name)]), grace_until) for name in ids]
    documents_by_path = {path: data for state in states for path, data in _documents(state).items()}
    snapshot = store.get(documents_by_path)
    store.commit([put(snapshot[path], data) for path, data in documents_by_path.items()])


def _head(document: Document) -> Head:
    # A client's audit chain goes on from where it is: its entries are there to stay.
    return Head() if document.data is None else from_data(Client, document.data).audit_head


def _state(client_id: str, head: Head, grace_until: datetime) -> ClientState:
    since = grace_until - timedelta(days=31)
    versions = (
        _version(client_id, "01" + "A" * 24, since, None),
        _version(client_id, "01" + "B" * 24, since - timedelta(days=90), grace_until),
    )
    client = Client(
        client_id=client_id,
        kind=ClientKind.X_API_KEY,
        admin_groups=(GROUP,),
        updated_at=since,
        current_version=versions[0].version_id,
        previous_version=versions[1].version_id,
        last_promoted_at=since,
        audit_head=head,
    )
    return ClientState(client, {version.version_id: version for version in versions})


def _version(client_id: str, version_id: str, since: datetime, until: datetime | None) -> Version:
    return Version(
        client_id=client_id,
        version_id=version_id,
        created_at=since,
        not_before=since,
        rotation_id=version_id,
        rotated_by="0" * 64,
        rotation_reason="quarterly",
        state=VersionState.GRACE if until else VersionState.CURRENT,
        secret_hash="A" * 43,
        mac_key_ref="local/mac/1",
        receipt_key="A" * 43,
        not_after=until,
    )


def _documents(state: ClientState) -> dict[str, Data]:
    versions = {paths.version(item.client_id, name): to_data(item) for name, item in state.versions.items()}
    return {paths.client(state.client.client_id): client_data(state, Policy()), **versions}
