"""Register: who somebody is, on which device, with which TOTP; by an invite that others approved (protocol.md §7).

1. The device shows the invite's code, an ID token and evidence of itself over a challenge. All are looked at, whoever
   asks; what came of it waits in the invite, with the seed of a new TOTP, which is shown once.
2. A code of that TOTP (or, on a further device, of the admin's own) confirms it: only then is anybody an admin by it.
   A wrong code is counted in the invite; a guess is paid for by a commit, and races are lost.
3. Record, key and register are one commit in the database auth; the audit entry comes before it (`announce`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from keyturn.domain.audit_chain import Transition
from keyturn.domain.proofs_policy import Missing, ProofRefused
from keyturn.ports.attestation import AttestationRefused
from keyturn.ports.authorisation import Act
from keyturn.ports.identity import IdentityRefused
from keyturn.ports.store import Create, Delete, put
from keyturn.proofs.stateless_challenge import CHALLENGE_LIFETIME
from keyturn.proofs.statement import RegistrationStatement
from keyturn.proofs.totp import SEED_BYTES, matching_step, provisioning_uri
from keyturn.records import paths
from keyturn.records.admin import Admin, AdminDevice, AdminStatus, challenge_path, seal_seed, unseal_seed
from keyturn.records.invite import InvitePurpose, Registration, bad_invite
from keyturn.use_cases.admin_proof.challenge import challenge_refused
from keyturn.use_cases.admin_proof.prove import require_unlocked
from keyturn.use_cases.audit_log import HEAD, announcement_path, announcement_writes
from keyturn.use_cases.enrolment.invite_context import not_registered
from keyturn.use_cases.optimistic import until_won

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.ports.attestation import Attestation, DeviceKey
    from keyturn.ports.effects import Environment
    from keyturn.ports.identity import Identity
    from keyturn.ports.keys import Sealer
    from keyturn.ports.store import Data, Databases, Write
    from keyturn.use_cases.admin_proof.challenge import ChallengeIssuer
    from keyturn.use_cases.enrolment.invite_context import InviteContext, ReadInviteContext
    from keyturn.use_cases.refusal_log import Refusals

ISSUER = "keyturn"
"""What an authenticator app shows beside the user's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRequest:
    """What a device shows to be registered; `npub` has signed the request that carries it."""

    npub: str
    code: str = field(repr=False)
    challenge: str
    id_token: str = field(repr=False)
    device_kind: str
    device_id: str
    evidence: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterDevice:
    """The use cases behind `enrol`'s registration; `service` is the base URL."""

    databases: Databases
    read_context: ReadInviteContext
    challenges: ChallengeIssuer
    identity: Identity
    attestations: Mapping[str, Attestation]
    sealer: Sealer = field(repr=False)
    refusals: Refusals
    environment: Environment
    service: str
    banner: str = ""

    def __call__(self, offered: RegistrationRequest) -> Data:
        """Return the invited user, the purpose, and the otpauth URI of a new TOTP, if one was made; any `Refusal`."""
        return until_won(lambda: self._register(offered), self.environment)

    def confirm(self, code: str, npub: str, totp: str) -> Data:
        """Return the user and their standing, once a code of the TOTP shows that it is in their hands."""
        return until_won(lambda: self._confirm(code, npub, totp), self.environment)

    # --- registration ------------------------------------------------------------------------------------------------

    def _register(self, offered: RegistrationRequest) -> Data:
        desk = self.read_context(offered.code, offered.npub)
        desk.require_open()
        nonce = self.challenges.nonce(offered.challenge, desk.now)
        used = self.databases.auth.get([challenge_path(nonce)])[challenge_path(nonce)]
        if used.exists:
            raise challenge_refused()
        key = self._device(offered, desk)
        missing = self._missing(offered, desk, key)
        if missing or key is None:
            self._refuse(desk, missing)
        return self._keep(desk, AdminDevice(offered.npub, key), nonce)

    def _missing(self, offered: RegistrationRequest, desk: InviteContext, key: DeviceKey | None) -> tuple[Missing, ...]:
        held = {Missing.IDENTITY: self._subject(offered, desk) == desk.subject, Missing.DEVICE: key is not None}
        return tuple(factor for factor, holds in held.items() if not holds)

    def _subject(self, offered: RegistrationRequest, desk: InviteContext) -> str | None:
        try:
            return self.identity.subject(offered.id_token, desk.now)
        except IdentityRefused:
            return None

    def _device(self, offered: RegistrationRequest, desk: InviteContext) -> DeviceKey | None:
        """Return the device that the evidence vouches for; for a new TOTP, one that is registered asserts itself."""
        statement = RegistrationStatement(
            service=self.service, challenge=offered.challenge, npub=offered.npub, invite=desk.invite_id
        ).to_bytes()
        attestation = self.attestations.get(offered.device_kind)
        known = desk.registered(offered.npub, offered.device_kind, offered.device_id)
        if attestation is None or (known is None and desk.invite.purpose is InvitePurpose.TOTP):
            return None
        try:
            if known is None or desk.invite.purpose is not InvitePurpose.TOTP:
                return attestation.register(offered.evidence, statement, desk.now)
            return replace(known.key, counter=attestation.check(offered.evidence, statement, known.key, desk.now))
        except AttestationRefused:
            return None

    def _keep(self, desk: InviteContext, device: AdminDevice, nonce: str) -> Data:
        user, purpose = desk.invite.user, desk.invite.purpose
        seed = None if purpose is InvitePurpose.DEVICE else self.environment.random(SEED_BYTES)
        sealed = None if seed is None else seal_seed(self.sealer, user, seed)
        kept = replace(desk.invite, registration=Registration(device, sealed))
        risen = desk.writes(desk.admin.with_device(device)) if purpose is InvitePurpose.TOTP and desk.admin else []
        used: Data = {"user": user, "expires_at": desk.now + CHALLENGE_LIFETIME * 2}
        self.databases.auth.commit([desk.put(kept), *risen, Create(challenge_path(nonce), used)])
        uri = None if seed is None else provisioning_uri(seed, user, ISSUER)
        return {"user": user, "purpose": purpose.value, "totp": uri}

    # --- confirmation ------------------------------------------------------------------------------------------------

    def _confirm(self, code: str, npub: str, totp: str) -> Data:
        desk = self.read_context(code, npub)
        kept = desk.invite.registration
        if kept is None or kept.device.npub != npub:
            raise not_registered()
        if kept.confirmed_at is not None and desk.admin is not None:
            return {"user": desk.invite.user, "status": desk.admin.status.value}
        desk.require_open()
        if desk.invite.purpose is InvitePurpose.TOTP and not (desk.admin and desk.admin.may_act_with(npub)):
            raise not_registered()  # the device that showed itself was revoked since
        step = self._step(desk, kept, totp)
        if step is None:
            self.databases.auth.commit([desk.put(desk.invite.with_wrong_code())])
            self._refuse(desk, (Missing.PRESENCE,))
        admin = _confirmed(desk, kept).with_valid_code(step)
        self._announce(desk, npub)
        self.databases.auth.commit([*desk.writes(admin), *self._known(desk, kept)])
        return {"user": admin.user, "status": admin.status.value}

    def _step(self, desk: InviteContext, kept: Registration, totp: str) -> int | None:
        admin = _confirmed(desk, kept)
        if kept.totp_sealed is None:  # the admin's own TOTP goes on, and so does its lockout
            require_unlocked(admin, desk.now)
        return matching_step(unseal_seed(self.sealer, admin), totp, desk.now, admin.last_step)

    def _known(self, desk: InviteContext, kept: Registration) -> list[Write]:
        confirmed = replace(kept, totp_sealed=None, confirmed_at=desk.now)  # the seed has its place now, and one only
        invite = desk.put(replace(desk.invite, registration=confirmed))
        return [invite, put(desk.key, {"user": desk.invite.user})]

    def _announce(self, desk: InviteContext, npub: str) -> None:
        done = Transition(
            f"register_{desk.invite.purpose.value}",
            desk.invite.user,
            {"user": desk.invite.user, "npub": npub, "group_id": desk.invite.group_id, "invite": desk.invite_id},
        )
        path = announcement_path(done.action, (desk.invite_id, npub))
        standing = paths.suspension(desk.invite.user)
        control = self.databases.control
        snapshot = control.get([HEAD, path, standing])
        said = [] if snapshot[path].exists else announcement_writes(snapshot, path, done, self.banner)
        # Who was removed and is invited anew gets leaves again; whether they are an admin, the next commit says.
        barred = snapshot[standing].version
        anew = [Delete(standing, barred)] if barred is not None and desk.invite.purpose is InvitePurpose.JOIN else []
        if said or anew:
            control.commit([*said, *anew])

    def _refuse(self, desk: InviteContext, missing: tuple[Missing, ...]) -> NoReturn:
        act = Act(desk.npub, desk.invite.group_id, "", desk.invite_id)
        self.refusals.keep(act, desk.invite.user, missing, desk.now)
        raise ProofRefused(*missing)


def _confirmed(desk: InviteContext, kept: Registration) -> Admin:
    """Return the admin whom a confirmed registration makes; for a new TOTP no step was used yet."""
    known = desk.admin
    if desk.invite.purpose is InvitePurpose.DEVICE and known is not None:
        return known.with_device(kept.device)
    if kept.totp_sealed is None:
        raise bad_invite()
    if desk.invite.purpose is InvitePurpose.TOTP and known is not None:
        return replace(known, totp_sealed=kept.totp_sealed, last_step=0)
    return Admin(desk.invite.user, desk.subject, AdminStatus.ACTIVE, (kept.device,), kept.totp_sealed)
