"""What all parts of one device share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.device.api.client import ApiClient
    from keyturn.device.core.signed_events import EventSigner
    from keyturn.device.home.home import Home
    from keyturn.device.incidents import Incident
    from keyturn.device.security_key import SecurityKeys


@dataclass(frozen=True, slots=True)
class DeviceContext:
    """One device in front of one server: its home, its signing key with clock and randomness, and its user.

    `observe` receives each incident. `ask_code` asks the user for a one-time code, and may raise `NoCodeError`.
    """

    home: Home
    api: ApiClient
    signer: EventSigner = field(repr=False)
    observe: Callable[[Incident], None]
    ask_code: Callable[[], str]
    security_keys: SecurityKeys
