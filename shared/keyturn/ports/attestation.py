"""Device attestation: whether what speaks for an admin is a genuine device of theirs (protocol.md §7); a file a kind.

A device is registered once, by evidence that its maker or authenticator vouches for, and asserts itself in every proof
over a statement that names the challenge and the very request (`keyturn.proofs.statement`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime


class AttestationRefused(Exception):  # noqa: N818 - a refusal is no failure of ours
    """The evidence does not hold; the text is a slug of ours for the audit, never for the caller."""


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """A registered device: its kind, its id there (base64url or an app id), its public key and its last counter.

    What the bytes of `public_key` are is the kind's own business; `counter` is 0 where the kind has none.
    """

    kind: str
    device_id: str
    public_key: bytes = field(repr=False)
    counter: int = 0


class Attestation(Protocol):
    """One kind of device integrity."""

    @property
    def kind(self) -> str:
        """The kind's name, in registered devices and settings; one that proves nothing says so in it."""
        ...

    @property
    def amr(self) -> str:
        """What a proof's `amr` says of it (RFC 8176 has `hwk`)."""
        ...

    def register(self, evidence: Mapping[str, object], statement: bytes, now: datetime) -> DeviceKey:
        """Return the device that the evidence vouches for; `AttestationRefused` otherwise."""
        ...

    def check(self, evidence: Mapping[str, object], statement: bytes, device: DeviceKey, now: datetime) -> int:
        """Return the device's new counter if it asserts `statement`; `AttestationRefused` otherwise.

        `Unavailable` when what the judgement rests on cannot be had now.
        """
        ...
