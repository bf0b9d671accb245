"""Composition for `on_secret_version`, `distribute` and `grace_sweeper`: what moves rotations on without a caller."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.use_cases.distribution.distribute import DistributeSecrets
from keyturn.use_cases.distribution.publish_pending import PublishPending
from keyturn.use_cases.groups.maintenance import GroupMaintenance
from keyturn.use_cases.groups.relay_outbox import PublishOutbox
from keyturn.use_cases.sweep.ending_clients import WarnOfEndingClients
from keyturn.use_cases.sweep.expiry import DeleteExpired
from keyturn.use_cases.sweep.sweep import Sweep
from keyturn.use_cases.usage.canaries import CarryOverCanaries
from keyturn.use_cases.usage.early_retirement import WatchTransitions

if TYPE_CHECKING:
    from keyturn.entry.composition.foundation import Foundation


@dataclass(frozen=True)
class DistributionSuite:
    """What distributes secrets, and what the scheduler runs."""

    base: Foundation

    @functools.cached_property
    def publish(self) -> PublishPending:
        """Behind `on_secret_version`: asks for the distribution of pending secrets."""
        return PublishPending(self.base.databases.control, self.base.bus)

    @functools.cached_property
    def distribute(self) -> DistributeSecrets:
        """Behind `distribute`: creates a secret and sends it, encrypted, to the client's admins."""
        base = self.base
        return DistributeSecrets(base.clients, base.groups, base.keys.mac, base.environment, self.publish_log)

    @functools.cached_property
    def publish_log(self) -> PublishOutbox | None:
        """Publishes the groups' logs to outside relays. None where the settings name none."""
        relays = self.base.relays
        return PublishOutbox(self.base.databases.control, relays, self.base.environment) if relays is not None else None

    @functools.cached_property
    def sweep(self) -> Sweep:
        """Behind `grace_sweeper`: everything that becomes due with time."""
        base = self.base
        usage = base.databases.usage
        # The sweeper is the safety net of the other two functions: whatever an event failed to do, it does later.
        return Sweep(
            base.clients,
            base.bus,
            base.environment,
            self.maintenance,
            self.publish_log,
            self._expiry,
            CarryOverCanaries(base.clients, usage),
            WatchTransitions(base.clients, usage, base.environment),
            WarnOfEndingClients(base.databases.control),
        )

    @functools.cached_property
    def maintenance(self) -> GroupMaintenance:
        """Maintains the MLS groups: key updates, expired members, deletion of old messages."""
        base = self.base
        return GroupMaintenance(base.databases, base.groups, base.environment, base.settings.banner)

    @property
    def _expiry(self) -> DeleteExpired | None:
        # Firestore deletes expired documents by its own TTL policies, and no other store does.
        by_itself = self.base.overrides.store_expires_documents
        if by_itself is None:
            by_itself = self.base.settings.cloud is not None
        return None if by_itself else DeleteExpired(self.base.databases, self.base.environment)
