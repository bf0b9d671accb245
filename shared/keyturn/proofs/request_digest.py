"""The digest that binds a proof to one request: computed alike by who asks and by who decides (protocol.md §7, §8).

It is over what is asked for, not over its wrapping: the same request in another kind of event, or signed again, has
the same digest. A parameter that is absent or null is not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.encodings import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

_WINDOWS = ("not_before", "grace_duration_ms", "supersede")

PARAMS: Mapping[str, tuple[str, ...]] = {
    "rotation": _WINDOWS,
    "emergency": _WINDOWS,
    "cancel": ("rotation_id",),
    "rollback": ("compromised",),
    "restore": (),
    "retire": ("version_id",),
    "revoke": ("version_id", "force"),
    "suspend": (),
    "resume": (),
    "ack": ("version_id", "secret_hash", "mac_key_ref"),
    "approve": ("invite", "user", "purpose"),
}
"""The parameters of each action that count; those of any other action do not."""


def request_digest(
    action: str, *, client_id: str, group: str, target: str, reason: str, params: Mapping[str, object]
) -> str:
    """Return base64url of the SHA-256 of canonical JSON; `target` is the rotation or action id, "" stands for none."""
    asked = {name: params[name] for name in PARAMS.get(action, ()) if params.get(name) is not None}
    about = {"action": action, "client_id": client_id, "group": group, "target": target, "reason": reason}
    return digest({**about, "params": asked})
