"""Disable a version of the MAC key, once no secret that works, or is about to, names it.

1. The version that new secrets use is never disabled: roll the key first.
2. A version that a client's `live` record names is never disabled: its secrets would stop working.
3. Others may take a superseded version for the newest for a while yet. So the clients are looked through twice, with
   that while between the looks: what was signed meanwhile is committed, and seen.

No document knows all clients, so that this rests on a query (ports/store.py, rule 5), asked twice; queries of every
store see what was committed before them. Should a version be disabled all the same, enabling it again mends everything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

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
    """The use case behind `keyturn keys disable`; `lag_seconds` is how long others may be behind a roll."""

    store: Store
    keys: KeyRing
    environment: Environment
    lag_seconds: float

    def __call__(self, name: str) -> None:
        """Disable the MAC key version `name`; `NotFound` if it is not enabled, `Conflict` while it is needed."""
        self._require_superseded(name)
        self._require_unnamed(name)
        self.environment.sleep(self.lag_seconds)
        self._require_unnamed(name)
        self.keys.disable(name)

    def _require_superseded(self, name: str) -> None:
        enabled = [version.name for version in self.keys.enabled("mac")]
        if name not in enabled:
            raise NotFound("no_such_key", "There is no enabled version of the MAC key by that name.")
        if name == enabled[0]:
            raise Conflict("key_in_use", "New secrets use this key version: roll the MAC key first.")

    def _require_unnamed(self, name: str) -> None:
        if clients_by_key(self.store)[name]:
            raise Conflict("key_in_use", "Secrets that work, or are about to, name this key version.")


def clients_by_key(store: Store) -> Mapping[str, int]:
    """Return how many clients have a secret that works, or is about to, by the key version that it names."""
    every = scan(store, Query(paths.CLIENTS, order_by="client_id"))
    return Counter(name for document in every for name in set(_named(cast("Data", document.data))))


def _named(client: Data) -> Iterator[str]:
    for version in live_state(client).versions.values():
        if version.mac_key_ref is not None and version.state is not VersionState.RETIRED:
            yield version.mac_key_ref
