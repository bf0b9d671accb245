"""Publish the identifiers of a version that has to be distributed (docs/protocol.md §5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain.model import Version, VersionState
from keyturn.ports.triggers import DISTRIBUTION_TOPIC
from keyturn.records import paths
from keyturn.records.codec import from_data

if TYPE_CHECKING:
    from keyturn.ports.bus import Bus
    from keyturn.ports.store import Store


@dataclass(frozen=True, slots=True)
class PublishPending:
    """The use case behind `on_secret_version`. It acts on the state that it reads, never on the event's content."""

    store: Store
    bus: Bus

    def __call__(self, client_id: str, version_id: str) -> bool:
        """Publish a pending version without a hash; return whether it is one."""
        path = paths.version(client_id, version_id)
        data = self.store.get([path])[path].data
        if data is None:
            return False
        version = from_data(Version, data)
        # The trigger also fires for the write of the hash itself: an already distributed version is not published.
        if version.state is not VersionState.PENDING or version.secret_hash is not None:
            return False
        self.bus.publish(DISTRIBUTION_TOPIC, {"client_id": version.client_id, "rotation_id": version.rotation_id})
        return True
