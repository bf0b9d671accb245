"""Admin records in the database `auth`, at `admins/{user_id}` (docs/protocol.md §3).

A record holds what `admin_proof` needs to judge a proof: identity, status, registered devices and the sealed TOTP seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from enum import StrEnum
from typing import TYPE_CHECKING

from keyturn.domain.encodings import length_prefixed
from keyturn.domain.errors import Conflict
from keyturn.domain.lockout import delay_after
from keyturn.domain.record import Record
from keyturn.ports.attestation import DeviceKey  # noqa: TC001 - the document codec reads these annotations

if TYPE_CHECKING:
    from keyturn.ports.keys import Sealer

UNKNOWN_USER = "_nobody"
"""Stands in for the id of an unknown user, so that a request from an unknown key costs the same reads.

No document exists under it: user ids never start with an underscore (docs/protocol.md §2).
"""

MOST_DEVICES_OF_ADMIN = 50
"""How many devices one admin may register."""


class AdminStatus(StrEnum):
    """Whether an admin may prove anything."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class AdminDevice(Record):
    """A device that was attested at enrolment, and the Nostr public key (`npub`) of its private key."""

    npub: str
    key: DeviceKey


@dataclass(frozen=True, slots=True)
class Admin(Record):
    """One admin.

    `subject` is the user's id at the identity provider. `last_step` is the time step of the last accepted TOTP code.
    `failures` counts wrong codes since then.
    """

    user: str
    subject: str
    status: AdminStatus
    devices: tuple[AdminDevice, ...]
    totp_sealed: bytes = field(repr=False)
    last_step: int = 0
    failures: int = 0
    locked_until: datetime | None = None

    def find_device(self, npub: str, kind: str, device_id: str) -> AdminDevice | None:
        """Return the registered device with these three properties, or None."""
        key = (npub, kind, device_id)
        return next((item for item in self.devices if (item.npub, item.key.kind, item.key.device_id) == key), None)

    def with_counter(self, device: AdminDevice, counter: int) -> Admin:
        """Return the admin with a device's signature counter set to `counter`."""
        updated = replace(device, key=replace(device.key, counter=counter))
        return replace(self, devices=tuple(updated if item == device else item for item in self.devices))

    def with_device(self, device: AdminDevice) -> Admin:
        """Return the admin with a device added. It replaces a device with the same Nostr key."""
        others = tuple(item for item in self.devices if item.npub != device.npub)
        return replace(self, devices=(*others, device))

    def require_place(self, npub: str | None = None) -> None:
        """Refuse (`Conflict`) a further device. One with the Nostr key `npub` replaces that of the same key."""
        if len(self.devices) >= MOST_DEVICES_OF_ADMIN and all(item.npub != npub for item in self.devices):
            raise Conflict("too_many_devices", f"The admin has {MOST_DEVICES_OF_ADMIN} devices already.")

    def may_act_with(self, npub: str) -> bool:
        """Return whether the admin is active and has a registered device with this key."""
        return self.status is AdminStatus.ACTIVE and npub in {device.npub for device in self.devices}

    def with_valid_code(self, step: int) -> Admin:
        """Return the admin after a valid TOTP code of time step `step`. Failures and lockout end."""
        return replace(self, last_step=step, failures=0, locked_until=None)

    def with_wrong_code(self, now: datetime) -> Admin:
        """Return the admin after a wrong TOTP code. Repeated failures lock the admin for longer and longer."""
        # Failures are counted in the record, so the lockout holds for every device and every process.
        delay = delay_after(self.failures + 1)
        return replace(self, failures=self.failures + 1, locked_until=now + delay if delay else None)


def admin_path(user: str) -> str:
    """Return the path of an admin's record. `user` may be UNKNOWN_USER."""
    return f"admins/{user}"


def challenge_path(nonce: str) -> str:
    """Return the path of the document that marks a challenge as used."""
    return f"challenges/{nonce}"


def seal_seed(sealer: Sealer, user: str, seed: bytes) -> bytes:
    """Return a TOTP seed, encrypted and bound to this admin."""
    # The user is associated data: a sealed seed that is copied into another admin's record does not unseal.
    return sealer.seal(seed, length_prefixed("keyturn/totp/v1", user))


def unseal_seed(sealer: Sealer, admin: Admin) -> bytes:
    """Return the admin's TOTP seed. Raise `KeyRefused` if it was sealed for another admin."""
    return sealer.unseal(admin.totp_sealed, length_prefixed("keyturn/totp/v1", admin.user))
