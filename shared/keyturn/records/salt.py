"""The deployment's salt: a random key, created once with the first client or by a sweep (docs/protocol.md §3).

The hashes of callers and canary instances, and the MACs of canary nonces, are computed with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.ports.store import Create
from keyturn.records import paths

if TYPE_CHECKING:
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Snapshot

SALT_BYTES: Final = 32


def salt_writes(snapshot: Snapshot, environment: Environment) -> list[Create]:
    """Return the write that creates the salt, or none if it exists. `snapshot` has its path."""
    if snapshot[paths.SALT].exists:
        return []
    return [Create(paths.SALT, {"salt": environment.random(SALT_BYTES)})]
