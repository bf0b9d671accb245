"""The digest that binds a proof to one request, computed by the device and by the service (docs/protocol.md §7, §8).

It covers the content of the request, not the event around it: the same request in another kind of event, or signed
again, has the same digest. An absent parameter and a null one are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.encodings import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

_WINDOWS = ("not_before", "grace_duration_ms", "supersede")

# Of an acknowledgement, the receipt and its time are left out: the receipt itself signs them.
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
"""The parameters of each action that the digest covers. Parameters of other actions are left out."""


def request_digest(
    action: str, *, client_id: str, group: str, target: str, reason: str, params: Mapping[str, object]
) -> str:
    """Return base64url of the SHA-256 of canonical JSON. `target` is the rotation or action id, "" if there is none."""
    relevant = {name: params[name] for name in PARAMS.get(action, ()) if params.get(name) is not None}
    about = {"action": action, "client_id": client_id, "group": group, "target": target, "reason": reason}
    return digest({**about, "params": relevant})
