"""What somebody tries without a right to it: a request without a proof, and with a proof that was overheard."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.device.core.errors import ServerRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.device.core.signed_events import RotationRequest
    from keyturn.local.demo.people import Person


def attempts(request: RotationRequest, whose: Person, thief: Person) -> Mapping[str, str]:
    """Return what was tried, and the reason that each was refused with; "" for one that was not.

    `request` is one that `whose` sent with the last proof that they got; `thief` is another admin of the same group.
    """
    another = replace(request, rotation_id=whose.device.new_id())
    overheard = whose.overheard.proofs[-1]
    tried = {
        "a rotation without a proof": (whose, another, ""),
        "a proof a second time": (whose, request, overheard),
        "a proof for another request": (whose, another, overheard),
        "a proof in another admin's hands": (thief, replace(request, rotation_id=thief.device.new_id()), overheard),
    }
    return {what: _refusal(person, wanted, proof) for what, (person, wanted, proof) in tried.items()}


def _refusal(person: Person, request: RotationRequest, proof: str) -> str:
    try:
        person.ask_with(request, proof)
    except ServerRefusedError as refused:
        return refused.reason
    return ""
