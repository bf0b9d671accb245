"""Actions: what an admin may ask for of a client, and the command that each makes.

Which of their parameters count is told by `keyturn.proofs.request_digest`: devices compute it, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias

from keyturn.domain import commands
from keyturn.domain.encodings import rotation_identifier, version_identifier

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from keyturn.domain.model import Person
    from keyturn.domain.request_fields import Fields


@dataclass(frozen=True, slots=True)
class Asked:
    """An action with the evidence that its command needs; names as in `commands`."""

    actor: Person
    groups: frozenset[str]
    people: frozenset[str]
    reason: str
    digest: str
    group: str
    target: str
    params: Fields
    new_version: str
    measured_from: datetime
    recent: tuple[datetime, ...]

    @property
    def common(self) -> dict[str, Any]:
        """What every admin's command carries."""
        names = ("actor", "groups", "people", "reason", "digest")
        return {name: getattr(self, name) for name in names}


Builder: TypeAlias = "Callable[[Asked], commands.Command]"


def _request(kind: type[commands.Request]) -> Builder:
    def build(asked: Asked) -> commands.Command:
        grace_ms = asked.params.optional_integer("grace_duration_ms")
        return kind(
            **asked.common,
            rotation_id=asked.target,
            version_id=asked.new_version,
            group=asked.group,
            measured_from=asked.measured_from,
            not_before=asked.params.optional_time("not_before"),
            grace=None if grace_ms is None else timedelta(milliseconds=grace_ms),
            supersede=asked.params.flag("supersede"),
            recent=asked.recent,
        )

    return build


def _cancel(asked: Asked) -> commands.Command:
    return commands.Cancel(**asked.common, rotation_id=rotation_identifier(asked.params.text("rotation_id")))


def _retire(asked: Asked) -> commands.Command:
    return commands.Retire(**asked.common, version_id=version_identifier(asked.params.text("version_id")))


def _revoke(asked: Asked) -> commands.Command:
    version_id = asked.params.text("version_id")
    if version_id == "all":
        return commands.RevokeClient(**asked.common)
    return commands.RevokeVersion(
        **asked.common, version_id=version_identifier(version_id), force=asked.params.flag("force")
    )


ACTIONS: Mapping[str, Builder] = {
    "rotation": _request(commands.Request),
    "emergency": _request(commands.Emergency),
    "cancel": _cancel,
    "rollback": lambda asked: commands.Rollback(**asked.common, compromised=asked.params.flag("compromised")),
    "restore": lambda asked: commands.Restore(**asked.common),
    "retire": _retire,
    "revoke": _revoke,
    "suspend": lambda asked: commands.Suspend(**asked.common),
    "resume": lambda asked: commands.Resume(**asked.common),
}

ROTATIONS = frozenset({"rotation", "emergency"})
"""Actions whose id is the id of the rotation that they open."""
