"""Documents that stop all commands by being there, whatever they contain. So no healthy deployment has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.ports.store import Data

MARKS: Mapping[str, Data] = {
    "service/frozen": {"since": None, "because": "restored"},
    "service/stopped": {"since": None, "reason": "an incident"},
}
