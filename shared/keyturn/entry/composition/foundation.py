"""The foundation of a suite: settings, backends, and the few objects that several entry points share.

Everything is built on first use and kept. Nothing opens a file or a connection at import.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from keyturn.domain.errors import Unavailable
from keyturn.ports.effects import Environment
from keyturn.ports.keys import KeyRing, MacKey, Sealer, TokenSigner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.adapters.mls.service_identity import ServiceIdentity
    from keyturn.entry.composition.backends import CloudBackends, FolderBackends
    from keyturn.entry.config.proof_settings import ProofSettings
    from keyturn.entry.config.settings import Settings
    from keyturn.ports.attestation import Attestation
    from keyturn.ports.bus import Bus
    from keyturn.ports.groups import Groups
    from keyturn.ports.relay import Relays
    from keyturn.ports.store import Databases
    from keyturn.use_cases.client_repository import Clients
    from keyturn.verifier.verifier import Caching, Verifier


class Keys(KeyRing, Protocol):
    """A deployment's keys: one for MACs, one that seals the service's own state, one that signs tokens and proofs."""

    @property
    def mac(self) -> MacKey:
        """The MAC key."""
        ...

    @property
    def sealer(self) -> Sealer:
        """The sealing key."""
        ...

    @property
    def signer(self) -> TokenSigner:
        """The signing key."""
        ...

    @property
    def rs256_signer(self) -> TokenSigner:
        """The RSA key that signs the access tokens of clients with RS256."""
        ...


@dataclass(frozen=True, slots=True)
class Overrides:
    """Objects that replace what the settings would build. None leaves it to the settings.

    For tests, for measurements, and for programs that embed the suite over a store or keys of their own.
    """

    environment: Environment | None = None
    databases: Databases | None = None
    keys: Keys | None = None
    bus: Bus | None = None
    relays: Relays | None = None
    verifier: Verifier | None = None
    caching: Caching | None = None
    background: Callable[[Callable[[], None]], None] | None = None
    """Starts the verifier's background work. `lambda run: None` leaves it to the caller."""
    proof_settings: ProofSettings | None = None
    attestations: Mapping[str, Attestation] | None = None
    store_expires_documents: bool | None = None
    """Whether the store itself deletes documents after their `expires_at`, as Firestore's TTL policies do."""


@dataclass(frozen=True)
class Foundation:
    """What every entry point is built from."""

    settings: Settings
    overrides: Overrides = field(default_factory=Overrides)

    @functools.cached_property
    def environment(self) -> Environment:
        """Randomness, waiting and elapsed time."""
        return self.overrides.environment or Environment()

    @functools.cached_property
    def backends(self) -> FolderBackends | CloudBackends:
        """Store, keys and bus of the kind that the settings name. `Unavailable` if they name none."""
        from keyturn.entry.composition.backends import CloudBackends, FolderBackends

        # On emulators the settings name both: the folder then holds only the test identity provider's key.
        if self.settings.cloud is not None:
            return CloudBackends(self.settings.cloud, self.environment.random)
        if self.settings.data is not None:
            return FolderBackends(self.settings.data, self.environment.random)
        raise Unavailable("no_store", "This deployment names neither a project nor a data folder.")

    @functools.cached_property
    def databases(self) -> Databases:
        """The three databases."""
        return self.overrides.databases or self.backends.databases

    @functools.cached_property
    def keys(self) -> Keys:
        """MAC, sealing and signing keys."""
        return self.overrides.keys or self.backends.keys

    @functools.cached_property
    def bus(self) -> Bus:
        """The message bus."""
        return self.overrides.bus or self.backends.bus

    @functools.cached_property
    def relays(self) -> Relays | None:
        """Outside Nostr relays. None where the settings name none."""
        if self.overrides.relays is not None or not self.settings.relays:
            return self.overrides.relays
        from keyturn.adapters.nostr_relays import NostrRelays

        return NostrRelays(self.settings.relays)

    @functools.cached_property
    def groups(self) -> Groups:
        """The service's side of the MLS groups."""
        from keyturn.adapters.mls.groups import MlsGroups
        from keyturn.adapters.mls.service_identity import load_identity

        def identity() -> ServiceIdentity:
            return load_identity(self.databases.control, self.keys.sealer, self.environment.random)

        # Passed as a function: reading the identity costs a call to the sealing key, which many requests never need.
        return MlsGroups(identity, self.keys.sealer, self.environment.random, relayed=self.relays is not None)

    @functools.cached_property
    def clients(self) -> Clients:
        """The repository of clients."""
        from keyturn.use_cases.client_repository import Clients

        return Clients(self.databases.control, self.settings.policy, self.settings.banner)
