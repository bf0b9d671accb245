"""The factors of a proof, but for presence: all of them are looked at, whoever asks (protocol.md §7).

No factor's outcome decides whether another one is looked at: neither the answer nor the work tells a stranger which
of them failed, or whether there is such an admin at all.
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
    """What somebody asks a proof for, and the evidence that they present."""

    act: Act
    challenge: str
    id_token: str = field(repr=False)
    device_kind: str
    device_id: str
    evidence: Mapping[str, object] = field(repr=False)
    totp: str = field(repr=False)
    action: str = ""
    """What it is for, as the asker says: while all is stopped only some acts get proofs. The digest binds it."""

    def statement(self, service: str) -> bytes:
        """Return what the device must have asserted."""
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
    """What is missing, and the admin with the counter of the device that asserted itself, and its method."""

    missing: tuple[Missing, ...]
    admin: Admin | None = None
    method: str = ""


@dataclass(frozen=True, slots=True)
class CheckFactors:
    """Looks at who and on which device; `service` is the base URL, attestations are by kind."""

    identity: Identity
    attestations: Mapping[str, Attestation]
    service: str

    def __call__(self, asked: ProofRequest, admin: Admin | None, now: datetime) -> FactorResult:
        """Return what the evidence lacks for this admin; `Unavailable` when a judge cannot be asked."""
        subject = self._subject(asked, now)
        device = self._device(asked, admin)
        counter = self._counter(asked, device, now)
        held = {
            Missing.IDENTITY: admin is not None and subject == admin.subject,
            Missing.STANDING: admin is not None and admin.status is AdminStatus.ACTIVE,
            Missing.DEVICE: device is not None and counter is not None,
        }
        missing = tuple(factor for factor, holds in held.items() if not holds)
        if missing or admin is None or device is None or counter is None:
            return FactorResult(missing)
        return FactorResult((), admin.with_counter(device, counter), self.attestations[device.key.kind].amr)

    def _subject(self, asked: ProofRequest, now: datetime) -> str | None:
        try:
            return self.identity.subject(asked.id_token, now)
        except IdentityRefused:
            return None

    def _device(self, asked: ProofRequest, admin: Admin | None) -> AdminDevice | None:
        return admin.find_device(asked.act.npub, asked.device_kind, asked.device_id) if admin else None

    def _counter(self, asked: ProofRequest, device: AdminDevice | None, now: datetime) -> int | None:
        attestation = self.attestations.get(device.key.kind) if device else None
        if device is None or attestation is None:
            return None
        try:
            return attestation.check(asked.evidence, asked.statement(self.service), device.key, now)
        except AttestationRefused:
            return None
