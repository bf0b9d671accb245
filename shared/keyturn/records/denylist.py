"""Denials and the stop: what an operator says that goes before everybody's rights, as two documents (ADR 0016).

`service/denied` names users, npubs and clients that may do nothing; `service/stopped` is there while all is stopped.

1. Both stand in control, where they are read in each command's own snapshot, and as a copy in auth, for `admin_proof`,
   which may not read control.
2. No commit rests on them: a document that every commit rests on would be a hot one. Who read before they were written
   may still commit, within its attempt; who reads afterwards is refused. Only sending a secret rests on the stop.
3. Settings may deny besides (`KEYTURN_DENIED`): that list takes a deployment to change, this one an operator's call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.domain.errors import Forbidden, Unavailable
from keyturn.records import paths
from keyturn.records.codec import from_data

if TYPE_CHECKING:
    from keyturn.ports.store import Snapshot

BLOCK_PATHS: Final = (paths.DENIED, paths.STOPPED)
"""What every act reads, and no commit rests on."""
STOPPED_RETRY_SECONDS = 60
ALLOWED_WHILE_STOPPED = frozenset({"cancel", "revoke", "suspend"})
"""Actions that only take away: what leaked in the night must die while nothing new may be born."""


@dataclass(frozen=True, slots=True)
class Denylists:
    """The store's denylists, each sorted."""

    users: tuple[str, ...] = ()
    npubs: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()

    def names(self, user: str | None, npub: str, client_id: str) -> bool:
        """Return whether any of them is denied; what an act does not concern is empty, or None."""
        return user in self.users or npub in self.npubs or client_id in self.clients


def read_denylists(snapshot: Snapshot) -> Denylists:
    """Return the denylists as they were read (`GLANCES`)."""
    data = snapshot[paths.DENIED].data
    return from_data(Denylists, data) if data else Denylists()


def is_denied(snapshot: Snapshot, settings: frozenset[str], user: str | None, npub: str, client_id: str) -> bool:
    """Return whether the store or the settings deny the person, the key or the client."""
    return bool(settings & {user, npub, client_id}) or read_denylists(snapshot).names(user, npub, client_id)


def require_allowed(snapshot: Snapshot, settings: frozenset[str], user: str, npub: str, client_id: str = "") -> None:
    """Refuse (`Forbidden`) whoever is denied; `GLANCES` were read."""
    if is_denied(snapshot, settings, user, npub, client_id):
        raise denied()


def denied() -> Forbidden:
    """Return the refusal of whoever is denied."""
    return Forbidden("denied", "This admin or client is on a denylist.")


def require_running(snapshot: Snapshot, action: str = "") -> None:
    """Refuse (`Unavailable`, with Retry-After) all but what only takes away while the operator's stop stands."""
    if snapshot[paths.STOPPED].exists and action not in ALLOWED_WHILE_STOPPED:
        raise Unavailable(
            "stopped", "The operator has stopped everything for now.", retry_after_seconds=STOPPED_RETRY_SECONDS
        )
