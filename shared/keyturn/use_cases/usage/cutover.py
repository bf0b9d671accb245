"""Cutover: how far a client's integrator has moved from the old secret to the new one, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.domain import lifecycle
from keyturn.domain.encodings import identifier
from keyturn.domain.errors import NotFound
from keyturn.domain.model import Outcome
from keyturn.use_cases.optimistic import until_won
from keyturn.use_cases.usage.migration_progress import ReadUsage

if TYPE_CHECKING:
    from keyturn.domain.model import ClientState
    from keyturn.domain.policy import Policy
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Store
    from keyturn.use_cases.client_repository import Clients
    from keyturn.use_cases.usage.migration_progress import MigrationProgress


@dataclass(frozen=True, slots=True)
class CutoverView:
    """A settled client and its progress."""

    state: ClientState
    policy: Policy
    progress: MigrationProgress

    @property
    def rolled_back(self) -> bool:
        """Whether the last rotation was rolled back.

        Then the version in grace is the new one that was given up: the integrator should not move to it, and it is not
        retired early, so that `restore` stays possible.
        """
        return self.state.last is not None and self.state.last.outcome is Outcome.ROLLED_BACK

    @property
    def proposes_retiring(self) -> bool:
        """Whether the old version has been silent for long enough to be retired by hand now."""
        return self.state.previous is not None and not self.rolled_back and self.progress.silence.enough


@dataclass(frozen=True, slots=True)
class Cutover:
    """The use case behind `GET /clients/{id}/cutover`."""

    clients: Clients
    usage: Store
    environment: Environment

    def __call__(self, client_id: str, npub: str | None = None) -> CutoverView:
        """Return a client's progress. `npub` is the caller's key, or None for the operator.

        Raise `NotFound` for an unknown client. A caller that is in none of the client's groups gets the same refusal,
        so that it does not learn which clients exist.
        """
        reading = until_won(lambda: self.clients.read(identifier(client_id)), self.environment)
        if npub is not None and reading.user(npub) is None:
            raise NotFound("unknown_client", "There is no such client.")
        # Settled: what the sweeper has not written yet is shown as it is for verifiers.
        state = lifecycle.settle(reading.state, reading.policy, reading.now).state
        read = ReadUsage(self.usage)
        return CutoverView(state, reading.policy, read.progress(state, read.reports(reading.now), reading.now))
