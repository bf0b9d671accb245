"""Device attestation: whether a request comes from a genuine, registered device of the admin (docs/protocol.md §7).

A device is registered once, with evidence from its maker or authenticator. In every proof it then signs a statement
that names the challenge and exactly this request (`keyturn.proofs.statement`). Each kind has an adapter of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from keyturn.domain.record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class AttestationRefused(Exception):  # noqa: N818 - a refusal is no failure of ours
    """The evidence is not valid. The text is a fixed slug for the audit and is never shown to the caller."""


@dataclass(frozen=True, slots=True)
class DeviceKey(Record):
    """A registered device: its kind, its id (base64url or an app id), its public key and its last counter.

    Each kind defines the format of `public_key`. `counter` is 0 for a kind without one.
    """

    kind: str
    device_id: str
    public_key: bytes = field(repr=False)
    counter: int = 0


class Attestation(Protocol):
    """One kind of device integrity."""

    @property
    def kind(self) -> str:
        """The kind's name in stored devices and settings. A kind that proves nothing must say so in its name."""
        ...

    @property
    def amr(self) -> str:
        """The value of a proof's `amr` claim for this kind (RFC 8176, for example `hwk`)."""
        ...

    def register(self, evidence: Mapping[str, object], statement: bytes, now: datetime) -> DeviceKey:
        """Return the device that the evidence vouches for. Raises `AttestationRefused` otherwise."""
        ...

    def check(self, evidence: Mapping[str, object], statement: bytes, device: DeviceKey, now: datetime) -> int:
        """Return the device's new counter if it asserts `statement`. Raises `AttestationRefused` otherwise.

        Raises `Unavailable` if the keys that the check needs cannot be fetched now.
        """
        ...
