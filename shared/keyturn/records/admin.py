"""Admins as `admin_proof` knows them: database auth, `admins/{user_id}` (protocol.md §3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime  # noqa: TC003 - the document codec reads these annotations
from enum import StrEnum
from typing import TYPE_CHECKING

from keyturn.domain.encodings import length_prefixed
from keyturn.domain.lockout import delay_after
from keyturn.ports.attestation import DeviceKey  # noqa: TC001 - the document codec reads these annotations

if TYPE_CHECKING:
    from keyturn.ports.keys import Sealer

UNKNOWN_USER = "_nobody"
"""Where the record of somebody unknown is looked for, and never is: no user id starts with an underscore."""


class AdminStatus(StrEnum):
    """Whether an admin may prove anything."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class AdminDevice:
    """A device that was attested when it was enrolled, and the Nostr key that lives on it."""

    npub: str
    key: DeviceKey


@dataclass(frozen=True, slots=True)
class Admin:
    """One admin. `subject` is the identity provider's id; `last_step` the last TOTP step that was accepted."""

    user: str
    subject: str
    status: AdminStatus
    devices: tuple[AdminDevice, ...]
    totp_sealed: bytes = field(repr=False)
    last_step: int = 0
    failures: int = 0
    locked_until: datetime | None = None

    def device(self, npub: str, kind: str, device_id: str) -> AdminDevice | None:
        """Return the registered device that this is, if it is one."""
        wanted = (npub, kind, device_id)
        return next((d for d in self.devices if (d.npub, d.key.kind, d.key.device_id) == wanted), None)

    def with_counter(self, device: AdminDevice, counter: int) -> Admin:
        """Return the admin once a device's counter has risen."""
        risen = replace(device, key=replace(device.key, counter=counter))
        return replace(self, devices=tuple(risen if found == device else found for found in self.devices))

    def with_device(self, device: AdminDevice) -> Admin:
        """Return the admin with a device, in the place of one with its Nostr key."""
        others = tuple(found for found in self.devices if found.npub != device.npub)
        return replace(self, devices=(*others, device))

    def may_act_with(self, npub: str) -> bool:
        """Return whether that key is one of this admin's devices, and the admin may prove anything at all."""
        return self.status is AdminStatus.ACTIVE and npub in {device.npub for device in self.devices}

    def accepted(self, step: int) -> Admin:
        """Return the admin once a code was accepted."""
        return replace(self, last_step=step, failures=0, locked_until=None)

    def with_wrong_code(self, now: datetime) -> Admin:
        """Return the admin after a wrong code."""
        delay = delay_after(self.failures + 1)
        return replace(self, failures=self.failures + 1, locked_until=now + delay if delay else None)


def admin_path(user: str) -> str:
    """Return the path of an admin, or of NOBODY."""
    return f"admins/{user}"


def challenge_path(nonce: str) -> str:
    """Return the path that says that a challenge was used."""
    return f"challenges/{nonce}"


def seal_seed(sealer: Sealer, user: str, seed: bytes) -> bytes:
    """Return a TOTP seed sealed for exactly this admin."""
    return sealer.seal(seed, length_prefixed("keyturn/totp/v1", user))


def unseal_seed(sealer: Sealer, admin: Admin) -> bytes:
    """Return the admin's TOTP seed; `KeyRefused` if it was sealed for somebody else."""
    return sealer.unseal(admin.totp_sealed, length_prefixed("keyturn/totp/v1", admin.user))
