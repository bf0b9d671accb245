"""The store on Firestore. A read is one BatchGet, a write one raw commit with preconditions: no transaction, no locks.

1. A version is the document's update time, to the nanosecond. It only rises, even if the document is deleted and
   created again.
2. If the outcome of a commit is unknown, it counts as a lost race. The command then reads again and recognises its own
   effect.
3. No vendor module is imported and no connection opened before the first call.
4. A commit with a basis is sent at most `READ_AGE` after its read was sent, by a clock of this process that goes on
   while the machine sleeps. A commit that was sent takes effect within `SENT_COMMIT`, or never. A process that freezes
   between that check and the call is noticed by the server's times of read and commit, and logged as an error.

The emulator does not enforce everything, so tests on it do not prove: composite indexes, TTL, the limits of a commit,
and that writes without a change (`Check`) fire no trigger.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import LATE_COMMIT, distinct_paths, document_path, find_index, freeze_write
from keyturn.ports.effects import Environment, monotonic
from keyturn.ports.indexes import INDEXES
from keyturn.ports.store import LostRace, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from keyturn.adapters.firestore.rpc import FirestoreRpc, Interceptor
    from keyturn.ports.indexes import Index
    from keyturn.ports.store import Document, Query, Write

_log = logging.getLogger(__name__)

DEADLINE_SECONDS = 10.0
READ_AGE = timedelta(seconds=10)
SENT_COMMIT = timedelta(seconds=30)
"""Longer than the deadline: the server may still apply a commit whose caller has stopped waiting."""
LONGEST_COMMIT = READ_AGE + SENT_COMMIT
_ANY = "service/identity"
"""Read if only the time is needed: BatchGet without documents returns no read time."""


class FirestoreChannel:
    """One connection to Firestore for all databases, opened on first use. Any number of threads may share it.

    `emulator_host` (`address:port`) is an emulator's address. Without it, Google's address and the default credentials
    are used. `interceptors` see every call. Each call may take `deadline_seconds`.
    """

    def __init__(
        self,
        *,
        emulator_host: str | None = None,
        interceptors: Sequence[Interceptor] = (),
        deadline_seconds: float = DEADLINE_SECONDS,
        environment: Environment | None = None,
    ) -> None:
        self._emulator_host = emulator_host
        self._interceptors = tuple(interceptors)
        self._deadline_seconds = deadline_seconds
        self._environment = environment or Environment()
        self._lock = Lock()
        self._rpc: FirestoreRpc | None = None

    @property
    def rpc(self) -> FirestoreRpc:
        """Firestore's RPCs. `StoreUnavailable` if there are no credentials."""
        with self._lock:
            if self._rpc is None:
                self._rpc = self._open()
            return self._rpc

    def close(self) -> None:
        """Close the connection. The next call opens another one."""
        with self._lock:
            if self._rpc is not None:
                self._rpc.close()
            self._rpc = None

    def _open(self) -> FirestoreRpc:
        from keyturn.adapters.firestore.rpc import FirestoreRpc  # noqa: PLC0415 - rule 3

        return FirestoreRpc(self._emulator_host, self._interceptors, self._deadline_seconds, self._environment)


class FirestoreStore:
    """Implements `keyturn.ports.store.Store` over one database of a project. Stores may share a channel."""

    def __init__(
        self,
        channel: FirestoreChannel,
        *,
        project: str,
        database: str,
        indexes: Sequence[Index] = INDEXES,
        elapsed: Callable[[], float] = monotonic,
    ) -> None:
        self._channel = channel
        self._elapsed = elapsed
        self._root = f"projects/{project}/databases/{database}/documents"
        self._indexes = tuple(indexes)

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Read several documents in one consistent state, as of the latest read time in the response."""
        from keyturn.adapters.firestore import requests  # noqa: PLC0415 - rule 3

        unique_paths = dict.fromkeys(document_path(path) for path in paths)
        asked_at = self._elapsed()  # before the read time, so that the age of the read is never underestimated
        responses = self._channel.rpc.batch_get(requests.batch_get(self._root, unique_paths or [_ANY]))
        by_path = requests.documents_by_path(self._root, responses)
        return Snapshot(
            MappingProxyType({path: by_path[path] for path in unique_paths}),
            requests.last_read_time(responses),
            asked_at,
        )

    @property
    def longest_commit(self) -> timedelta:
        """The longest time from the read of a basis until its commit takes effect."""
        return LONGEST_COMMIT

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        """Apply all writes and return the commit time, or apply none and raise `LostRace` or `CommitTooLarge`."""
        from keyturn.adapters.firestore import requests  # noqa: PLC0415 - rule 3

        distinct_paths(writes)
        if not writes:
            return self.get(()).read_time  # the response to an empty commit has no time
        request = requests.commit(self._root, [freeze_write(write) for write in writes])
        rpc = self._channel.rpc
        self._check_age(basis)  # last of all, because opening a connection takes time as well
        committed_at = requests.commit_time(rpc.commit(request))
        if basis is not None and committed_at - basis.read_time > self.longest_commit:
            _log.error(LATE_COMMIT)
        return committed_at

    def _check_age(self, basis: Snapshot | None) -> None:
        if basis is None:
            return
        # A snapshot without this mark is not of this store: its age is unknown.
        if basis.asked_at is None or self._elapsed() - basis.asked_at > READ_AGE.total_seconds():
            raise LostRace("the commit comes too late after its read")

    def query(self, query: Query) -> Sequence[Document]:
        """Read one page of a declared index. StoreError("undeclared index") if no index covers the query."""
        from keyturn.adapters.firestore import requests  # noqa: PLC0415 - rule 3

        request = requests.run_query(self._root, query, find_index(query, self._indexes))
        responses = self._channel.rpc.run_query(request)
        return tuple(requests.document_of(self._root, each.document) for each in responses if each.HasField("document"))
