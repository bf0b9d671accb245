"""Disable a version of the MAC key, once no live or pending secret depends on it.

1. The version that new secrets use is never disabled. Roll the key first.
2. A version that a client's `live` record names is never disabled, because its secrets would stop working.
3. After a roll, other processes can use the superseded version for a while. So all clients are checked twice, with that
   time in between: the second check sees every secret that was signed in the meantime.

No document lists the secrets of all clients, so the decision rests on a query, against rule 5 of ports/store.py. The
query of every store sees all earlier commits. If a version is disabled by mistake, enabling it again repairs that.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain.errors import Conflict, NotFound
from keyturn.domain.model import VersionState
from keyturn.ports.store import Query, scan
from keyturn.records import paths
from keyturn.records.client_document import live_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from keyturn.ports.effects import Environment
    from keyturn.ports.keys import KeyRing
    from keyturn.ports.store import Data, Store


@dataclass(frozen=True, slots=True)
class DisableMacKey:
    """The use case behind `keyturn keys disable`. `lag_seconds` is how long other processes can lag behind a roll."""

    store: Store
    keys: KeyRing
    environment: Environment
    lag_seconds: float

    def __call__(self, name: str) -> None:
        """Disable the MAC key version `name`. Raises `NotFound` if it is not enabled, `Conflict` while it is needed."""
        self._require_superseded(name)
        self._require_unused(name)
        # By the end, whatever other processes signed under this version before they noticed the roll is committed.
        self.environment.sleep(self.lag_seconds)
        self._require_unused(name)
        self.keys.disable(name)

    def _require_superseded(self, name: str) -> None:
        enabled = [version.name for version in self.keys.enabled("mac")]
        if name not in enabled:
            raise NotFound("no_such_key", "There is no enabled version of the MAC key with that name.")
        if name == enabled[0]:
            raise Conflict("key_in_use", "New secrets use this key version. Roll the MAC key first.")

    def _require_unused(self, name: str) -> None:
        if clients_by_key(self.store)[name]:
            raise Conflict("key_in_use", "Secrets in use depend on this key version. Rotate those clients first.")


def clients_by_key(store: Store) -> Mapping[str, int]:
    """Return for each key version how many clients have a live or pending secret that depends on it."""
    documents = scan(store, Query(paths.CLIENTS, order_by="client_id"))
    return Counter(name for document in documents for name in set(_key_versions(document.fields)))


def _key_versions(client: Data) -> Iterator[str]:
    for version in live_state(client).versions.values():
        if version.mac_key_ref is not None and version.state is not VersionState.RETIRED:
            yield version.mac_key_ref
