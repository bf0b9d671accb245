"""The operator's denylists and the stop, as two documents (ADR 0016, docs/protocol.md §7).

`service/denied` names users, keys and clients that may do nothing. While `service/stopped` exists, only commands that
take rights away are allowed.

1. Both documents are in the database `control`, where every command reads them in its own snapshot. A copy of each is
   in `auth`, for `admin_proof`, which has no access to `control`.
2. No commit depends on them, because a document that every commit depends on would be a bottleneck. A command that
   read before they were written may still commit. A command that reads later is refused. One exception: sending a
   secret depends on the stop.
3. The setting `KEYTURN_DENIED` is a further denylist. Changing it takes a deployment. Changing the documents takes one
   operator command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from keyturn.domain.errors import Forbidden, Unavailable
from keyturn.domain.record import Record
from keyturn.records import paths
from keyturn.records.codec import from_data

if TYPE_CHECKING:
    from keyturn.ports.store import Snapshot

BLOCK_PATHS: Final = (paths.DENIED, paths.STOPPED)
"""Paths that every command reads, and on which no commit depends."""
STOPPED_RETRY_SECONDS = 60
ALLOWED_WHILE_STOPPED = frozenset({"cancel", "revoke", "suspend"})


@dataclass(frozen=True, slots=True)
class Denylists(Record):
    """The stored denylists, each sorted."""

    users: tuple[str, ...] = ()
    npubs: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()

    def contain(self, user: str | None, npub: str, client_id: str) -> bool:
        """Return whether any of the three is denied. Pass an empty text (or None) for one that does not apply."""
        return user in self.users or npub in self.npubs or client_id in self.clients


def read_denylists(snapshot: Snapshot) -> Denylists:
    """Return the denylists from a snapshot that has BLOCK_PATHS."""
    data = snapshot[paths.DENIED].data
    return from_data(Denylists, data) if data else Denylists()


def is_denied(snapshot: Snapshot, settings: frozenset[str], user: str | None, npub: str, client_id: str) -> bool:
    """Return whether the store's denylists or those of the settings name the user, the key or the client."""
    return bool(settings & {user, npub, client_id}) or read_denylists(snapshot).contain(user, npub, client_id)


def require_allowed(snapshot: Snapshot, settings: frozenset[str], user: str, npub: str, client_id: str = "") -> None:
    """Refuse (`Forbidden`) a denied user, key or client. The snapshot has BLOCK_PATHS."""
    if is_denied(snapshot, settings, user, npub, client_id):
        raise denied()


def denied() -> Forbidden:
    """Return the refusal of a denied user, key or client."""
    # One sentence for all lists: it does not tell which of the three is denied.
    return Forbidden("denied", "This admin or client is on a denylist.")


def require_running(snapshot: Snapshot, action: str = "") -> None:
    """Refuse (`Unavailable`, with Retry-After) an action that is not allowed while the operator has stopped the suite.

    ALLOWED_WHILE_STOPPED lists the exceptions: an incident must not prevent taking a right away.
    """
    if snapshot[paths.STOPPED].exists and action not in ALLOWED_WHILE_STOPPED:
        raise Unavailable(
            "stopped", "The operator has stopped all commands.", retry_after_seconds=STOPPED_RETRY_SECONDS
        )
