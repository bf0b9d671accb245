"""Parse a control event: one Intent for each kind of signed Nostr event (docs/protocol.md §8).

    40901 rotate-request  ┐
    40910 NIP-SERVICE     ┴─▶ Intent ─▶ a command of the lifecycle, by ACTIONS
    40902 rotate-ack      ┐
    40911 NIP-SERVICE ack ┴─▶ Intent with action `ack`

The digest of an intent covers the content of the request, not the event around it: the same request in another kind,
or signed again, has the same digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.encodings import (
    base64url_decode,
    from_milliseconds,
    identifier,
    rotation_identifier,
    version_identifier,
)
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.free_text import checked_reason, optional_reason
from keyturn.domain.request_fields import Fields
from keyturn.proofs.request_digest import request_digest
from keyturn.proofs.strict_json import load_object
from keyturn.use_cases.commands.actions import ACTIONS
from keyturn.use_cases.commands.intent import ACK, ROTATIONS, Intent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.proofs.nostr import Event

ROTATE_REQUEST = 40901
ROTATE_ACK = 40902
SERVICE_REQUEST = 40910
SERVICE_ACK = 40911
NIP_KR = "0.1.0"
PROFILE = "nip-kr/0.1.0"
NIP_SERVICE = "0.1.0"
APPROVE = "approve"
"""The one action that concerns no client: approval of an invite, or of the return of a suspended admin."""


def read_intent(event: Event) -> Intent:
    """Return the intent of a verified event. Raises `InvalidRequest` for an unknown kind or contradicting tags."""
    reader = KINDS.get(event.kind)
    if reader is None:
        raise InvalidRequest("unknown_kind", "This kind of event is not accepted here.")
    return reader(event, Fields(load_object(event.content)))


def _rotate_request(event: Event, content: Fields) -> Intent:
    rotation_id = rotation_identifier(content.text("rotation_id"))
    group = identifier(content.text("mls_group"))
    reason = checked_reason(content.text("rotation_reason"))
    client_id = identifier(content.text("client_id"))
    agree(event, {"client": client_id, "mls": group, "rotation": rotation_id, "reason": reason, "nip-kr": NIP_KR})
    return _intent("rotation", client_id, group, rotation_id, reason, content, content.optional_text("jwt_proof"))


def _service_request(event: Event, content: Fields) -> Intent:
    action, target = content.text("action_type"), content.text("action_id")
    if action not in ACTIONS:
        raise InvalidRequest("unknown_action", "This type of action is not accepted here.")
    params, client_id, group = content.fields("params"), identifier(content.text("client_id")), _only(event, "mls")
    if action in ROTATIONS:
        rotation_identifier(target)
    agree(event, {"service": action, "action": target, "client": client_id, "mls": identifier(group)})
    _require_profile(event, content)
    if action in ROTATIONS:
        # The params are the content of a 40901, which has these three names as well (docs/protocol.md §8).
        _require_same(params, {"client_id": client_id, "mls_group": group, "rotation_id": target})
    reason = optional_reason(params, "rotation_reason") or optional_reason(params)
    return _intent(action, client_id, group, target, reason, params, content.optional_text("jwt_proof"))


def read_approval(event: Event) -> Intent:
    """Return the intent of a verified approval; its params name the invite, its user and its purpose."""
    content = Fields(load_object(event.content))
    action, target, group = content.text("action_type"), content.text("action_id"), _only(event, "mls")
    if event.kind != SERVICE_REQUEST or action != APPROVE:
        raise InvalidRequest("unknown_kind", "This kind of event is not accepted here.")
    agree(event, {"service": action, "action": target})
    if event.tag_count("client") or content.optional_text("client_id"):
        raise InvalidRequest("tags_disagree", "An approval concerns no client.")
    _require_profile(event, content)
    proof = content.optional_text("jwt_proof")
    return _intent(action, "", identifier(group), target, "", content.fields("params"), proof)


def _rotate_ack(event: Event, content: Fields) -> Intent:
    rotation_id, version_id = content.text("rotation_id"), content.text("version_id")
    client_id = identifier(content.text("client_id"))
    agree(event, {"rotation": rotation_id, "client": client_id, "version": version_id, "nip-kr": NIP_KR})
    return _ack(client_id, rotation_identifier(rotation_id), content)


def _service_ack(event: Event, content: Fields) -> Intent:
    action, target = content.text("action_type"), content.text("action_id")
    client_id = identifier(content.text("client_id"))
    agree(event, {"service": action, "action": target, "client": client_id})
    _require_profile(event, content)
    if action not in ROTATIONS:
        raise InvalidRequest("unknown_action", "Only rotations are acknowledged.")
    # NIP-SERVICE has the fields of a rotate-ack in two places: at the top level and in `result`.
    result = {**content.fields("result").values, "rotation_id": target, "client_id": client_id}
    return _ack(client_id, rotation_identifier(target), Fields({**content.values, **result}))


def _ack(client_id: str, rotation_id: str, content: Fields) -> Intent:
    # Malformed values are refused here, before anything is read from the store.
    version_identifier(content.text("version_id"))
    base64url_decode(content.text("secret_hash"))
    base64url_decode(content.optional_text("receipt"))
    from_milliseconds(content.integer("ack_at"))
    return _intent(ACK, client_id, "", rotation_id, "", content, content.optional_text("jwt_proof"))


def _intent(action: str, client_id: str, group: str, target: str, reason: str, params: Fields, proof: str) -> Intent:
    about = {"client_id": client_id, "group": group, "target": target, "reason": reason}
    digest = request_digest(action, **about, params=params.values)
    return Intent(action, client_id, group, target, reason, params, proof, digest)


def agree(event: Event, expected: Mapping[str, str]) -> None:
    """Require each tag exactly once and with the value in the content. Raises `InvalidRequest` otherwise."""
    for name, value in expected.items():
        if _only(event, name) != value:
            raise InvalidRequest("tags_disagree", "The event's tags contradict its content.")


def _only(event: Event, name: str) -> str:
    # With two tags of one name, two readers of the event could act on different values.
    value = event.tag(name)
    if value is None or event.tag_count(name) != 1:
        raise InvalidRequest("tags_disagree", "A required tag is missing or repeated.")
    return value


def _require_same(params: Fields, expected: Mapping[str, str]) -> None:
    if any(params.values.get(name) not in {None, value} for name, value in expected.items()):
        raise InvalidRequest("tags_disagree", "The event's params contradict its tags.")


def _require_profile(event: Event, content: Fields) -> None:
    agree(event, {"profile": PROFILE, "nip-service": NIP_SERVICE})
    if content.text("profile") != PROFILE:
        raise InvalidRequest("tags_disagree", "The event's tags contradict its content.")


KINDS: Mapping[int, Callable[[Event, Fields], Intent]] = {
    ROTATE_REQUEST: _rotate_request,
    ROTATE_ACK: _rotate_ack,
    SERVICE_REQUEST: _service_request,
    SERVICE_ACK: _service_ack,
}
