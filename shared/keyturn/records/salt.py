"""The deployment's salt: made once, with the first client or at a sweep, for callers' tags and canaries' nonces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keyturn.ports.store import Create
from keyturn.records import paths

if TYPE_CHECKING:
    from keyturn.ports.effects import Environment
    from keyturn.ports.store import Snapshot, Write

SALT_BYTES: Final = 32


def salt_writes(snapshot: Snapshot, environment: Environment) -> list[Write]:
    """Return the write that makes the salt where there is none yet; `snapshot` has its path."""
    if snapshot[paths.SALT].exists:
        return []
    return [Create(paths.SALT, {"salt": environment.random(SALT_BYTES)})]
