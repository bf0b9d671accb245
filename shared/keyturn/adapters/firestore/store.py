"""The store on Firestore: one BatchGet to read, one raw commit to write; no transaction, so no lock (platform.md).

1. A version is the document's update time, to the nanosecond. It only rises, also over delete and create.
2. A commit whose outcome is unknown counts as lost: the command reads again and recognises its own effect.
3. Nothing of the vendor's is imported, and no connection made, before the first call.

What the emulator does not enforce is not proven by tests on it: composite indexes, TTL, the limits of a commit, and
that writes which change nothing (`Check`) fire no trigger.
"""

from __future__ import annotations

from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import declared, distinct_paths, document_path, prepared
from keyturn.ports.indexes import INDEXES
from keyturn.ports.store import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from keyturn.adapters.firestore.rpc import FirestoreRpc, Interceptor
    from keyturn.ports.indexes import Index
    from keyturn.ports.store import Document, Query, Write

MOST_WRITES = 500
DEADLINE_SECONDS = 10.0
_ANY = "service/identity"
"""Read where nothing but the time is asked for: BatchGet of nothing answers nothing, not even a read time."""


class FirestoreChannel:
    """One connection to Firestore for all databases, made on first use; any number of threads may share it.

    `emulator_host` (`address:port`) is where an emulator listens; without it, Google's address and the default
    credentials are used. `interceptors` see every call; each call has `deadline_seconds`.
    """

    def __init__(
        self,
        *,
        emulator_host: str | None = None,
        interceptors: Sequence[Interceptor] = (),
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._emulator_host = emulator_host
        self._interceptors = tuple(interceptors)
        self._deadline_seconds = deadline_seconds
        self._lock = Lock()
        self._rpc: FirestoreRpc | None = None

    @property
    def rpc(self) -> FirestoreRpc:
        """Firestore's calls; `StoreUnavailable` where there are no credentials."""
        with self._lock:
            if self._rpc is None:
                self._rpc = self._built()
            return self._rpc

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._lock:
            if self._rpc is not None:
                self._rpc.close()
            self._rpc = None

    def _built(self) -> FirestoreRpc:
        from keyturn.adapters.firestore.rpc import FirestoreRpc  # noqa: PLC0415 - rule 3

        return FirestoreRpc(self._emulator_host, self._interceptors, self._deadline_seconds)


class FirestoreStore:
    """Implement `keyturn.ports.store.Store` over one database of a project; stores may share a channel."""

    def __init__(
        self, channel: FirestoreChannel, *, project: str, database: str, indexes: Sequence[Index] = INDEXES
    ) -> None:
        self._channel = channel
        self._root = f"projects/{project}/databases/{database}/documents"
        self._indexes = tuple(indexes)

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Read several documents at one instant, the latest of the read times that the answer gives."""
        from keyturn.adapters.firestore import requests  # noqa: PLC0415 - rule 3

        wanted = dict.fromkeys(document_path(path) for path in paths)
        responses = self._channel.rpc.batch_get(requests.batch_get(self._root, wanted or [_ANY]))
        found = requests.found_documents(self._root, responses)
        return Snapshot(MappingProxyType({path: found[path] for path in wanted}), requests.last_read_time(responses))

    def commit(self, writes: Sequence[Write]) -> datetime:
        """Apply all writes, or none and raise `LostRace`; the commit time. ValueError for more than `MOST_WRITES`."""
        from keyturn.adapters.firestore import requests  # noqa: PLC0415 - rule 3

        distinct_paths(writes)
        if not writes:
            return self.get(()).read_time  # an empty commit's answer has no time
        if len(writes) > MOST_WRITES:
            raise ValueError("a commit has at most 500 writes")
        request = requests.commit(self._root, [prepared(write) for write in writes])
        return requests.commit_time(self._channel.rpc.commit(request))

    def query(self, query: Query) -> Sequence[Document]:
        """Read one page of a declared index; StoreError("undeclared index") otherwise."""
        from keyturn.adapters.firestore import requests  # noqa: PLC0415 - rule 3

        request = requests.run_query(self._root, query, declared(query, self._indexes))
        responses = self._channel.rpc.run_query(request)
        return tuple(requests.document_of(self._root, each.document) for each in responses if each.HasField("document"))
