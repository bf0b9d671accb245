"""The factors of a proof except presence: identity, status and device (docs/protocol.md §7).

Every factor is checked for every request, even after one has failed, and for unknown users as well. So neither the
answer nor its duration tells a caller which factor failed, or whether there is such an admin.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.domain.proofs_policy import Missing
from keyturn.ports.attestation import AttestationRefused
from keyturn.ports.identity import IdentityRefused
from keyturn.proofs.statement import Statement
from keyturn.records.admin import AdminStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.ports.attestation import Attestation
    from keyturn.ports.authorisation import Act
    from keyturn.ports.identity import Identity
    from keyturn.records.admin import Admin, AdminDevice


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofRequest:
    """The act that a proof is requested for, and the caller's evidence."""

    act: Act
    challenge: str
    id_token: str = field(repr=False)
    device_kind: str
    device_id: str
    evidence: Mapping[str, object] = field(repr=False)
    totp: str = field(repr=False)
    action: str = ""
    """The action, as the caller states it. While the suite is stopped only some actions get proofs.

    A false statement gains nothing: the digest of the act binds the real action.
    """

    def statement(self, service: str) -> bytes:
        """Return the statement that the device must have asserted. `service` is the base URL."""
        act = self.act
        return Statement(
            service=service,
            challenge=self.challenge,
            npub=act.npub,
            group=act.group,
            client_id=act.client_id,
            digest=act.digest,
        ).to_bytes()


@dataclass(frozen=True, slots=True)
class FactorResult:
    """The missing factors, or the admin with the device's new counter and the device's method (`amr`)."""

    missing_factors: tuple[Missing, ...]
    admin: Admin | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class CheckFactors:
    """Checks identity, status and device. `service` is the base URL, `attestations` are by kind of device."""

    identity: Identity
    attestations: Mapping[str, Attestation]
    service: str

    def __call__(self, request: ProofRequest, admin: Admin | None, now: datetime) -> FactorResult:
        """Return what the evidence lacks. Raise `Unavailable` if the identity provider cannot be reached."""
        # No early return: see the module's docstring.
        subject = self._subject(request, now)
        device = self._device(request, admin)
        counter = self._counter(request, device, now)
        factors = {
            Missing.IDENTITY: admin is not None and subject == admin.subject,
            Missing.STANDING: admin is not None and admin.status is AdminStatus.ACTIVE,
            Missing.DEVICE: device is not None and counter is not None,
        }
        missing_factors = tuple(factor for factor, is_present in factors.items() if not is_present)
        if missing_factors or admin is None or device is None or counter is None:
            return FactorResult(missing_factors)
        return FactorResult((), admin.with_counter(device, counter), self.attestations[device.key.kind].amr)

    def _subject(self, request: ProofRequest, now: datetime) -> str | None:
        try:
            return self.identity.subject(request.id_token, now)
        except IdentityRefused:
            return None

    def _device(self, request: ProofRequest, admin: Admin | None) -> AdminDevice | None:
        return admin.find_device(request.act.npub, request.device_kind, request.device_id) if admin else None

    def _counter(self, request: ProofRequest, device: AdminDevice | None, now: datetime) -> int | None:
        """Return the device's new signature counter, or None if the evidence is refused."""
        attestation = self.attestations.get(device.key.kind) if device else None
        if device is None or attestation is None:
            return None
        try:
            return attestation.check(request.evidence, request.statement(self.service), device.key, now)
        except AttestationRefused:
            return None
