"""Requests that the server must refuse: without a proof, or with a stolen one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.device.core.errors import ServerRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.device.core.signed_events import RotationRequest
    from keyturn.local.demo.admins import DemoAdmin


def send_forged_requests(request: RotationRequest, owner: DemoAdmin, thief: DemoAdmin) -> Mapping[str, str]:
    """Send four forged requests. Return the reason of each refusal, "" for a request that was accepted.

    `owner` sent `request` with the last proof that the recorder has. `thief` is another admin of the same group.
    """
    other_request = replace(request, rotation_id=owner.device.new_id())
    proof = owner.recorder.proofs[-1]
    cases = {
        "a rotation without a proof": (owner, other_request, ""),
        "a used proof": (owner, request, proof),
        "a proof of another request": (owner, other_request, proof),
        "another admin's proof": (thief, replace(request, rotation_id=thief.device.new_id()), proof),
    }
    return {name: _refusal(*case) for name, case in cases.items()}


def _refusal(admin: DemoAdmin, request: RotationRequest, proof: str) -> str:
    try:
        admin.send_with_proof(request, proof)
    except ServerRefusedError as error:
        return error.reason
    return ""
