"""Register an admin's device, identity and TOTP with an invite that other admins approved.

Rules (docs/protocol.md §7):

1. The device presents the invite's code, an ID token, and evidence of itself over a challenge. All of them are checked,
   whichever is missing. The result waits in the invite, together with the seed of a new TOTP, which is shown once.
2. A code of that TOTP confirms the registration. (A further device confirms with the admin's own TOTP.) Only then does
   the registration have any effect.
3. Each wrong code is counted in the invite by a commit before the answer. A guess therefore costs an attempt, even if
   several arrive at the same time.
4. The admin's record, the key's document and the directory are one commit in the database `auth`. The audit entry in
   `control` comes first: an entry without its effect is harmless. The opposite is not.
5. The stored challenge names the attempt that used it up. So after a commit with an unknown outcome the call finds its
   own answer, which has the seed and is kept in memory only. Every other request with this challenge is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from keyturn.domain.audit_chain import Transition
from keyturn.domain.encodings import invite_id
from keyturn.domain.proofs_policy import Missing, ProofRefused
from keyturn.ports.attestation import AttestationRefused
from keyturn.ports.authorisation import Act
from keyturn.ports.identity import IdentityRefused
from keyturn.ports.store import delete, update
from keyturn.proofs.statement import RegistrationStatement
from keyturn.proofs.totp import SEED_BYTES, matching_step, provisioning_uri
from keyturn.records import paths
from keyturn.records.admin import Admin, AdminDevice, AdminStatus, challenge_path, seal_seed, unseal_seed
from keyturn.records.invite import InvitePurpose, Registration, bad_invite
from keyturn.use_cases.admin_proof.challenge import challenge_refused, use_challenge
from keyturn.use_cases.admin_proof.prove import require_unlocked
from keyturn.use_cases.audit_log import announcement_path, announcement_writes, audit_heads
from keyturn.use_cases.enrolment.invite_context import not_registered
from keyturn.use_cases.optimistic import Attempts, until_won

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
"""The name that an authenticator app shows beside the user id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationRequest:
    """A device's request to be registered. The key `npub` signed the HTTP request (NIP-98)."""

    npub: str
    code: str = field(repr=False)
    challenge: str
    id_token: str = field(repr=False)
    device_kind: str
    device_id: str
    evidence: Mapping[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterDevice:
    """The use cases behind `enrol`'s registration. `service` is the base URL."""

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

    def __call__(self, request: RegistrationRequest) -> Data:
        """Return the invited user, the purpose, and the otpauth URI of a new TOTP, if one was created."""
        attempts: Attempts[Data] = Attempts(self.environment)
        return until_won(lambda: self._register(request, attempts), self.environment)

    def confirm(self, code: str, npub: str, totp: str) -> Data:
        """Complete a registration with a TOTP code. Return the user and the user's status."""
        attempts: Attempts[InviteContext] = Attempts(self.environment)
        return until_won(lambda: self._confirm(code, npub, totp, attempts), self.environment)

    # --- registration ------------------------------------------------------------------------------------------------

    def _register(self, request: RegistrationRequest, attempts: Attempts[Data]) -> Data:
        context = self.read_context(request.code, request.npub)
        context.require_open()
        nonce = self.challenges.nonce(request.challenge, context.now)
        used = self.databases.auth.get([challenge_path(nonce)])[challenge_path(nonce)]
        if (answer := attempts.applied(used)) is not None:
            return answer  # rule 5
        if used.exists:
            raise challenge_refused()
        # Both factors are checked before any of them is judged (rule 1).
        key = self._attested_key(request, context)
        missing_factors = self._missing(request, context, key)
        if missing_factors or key is None:
            self._refuse(context, missing_factors)
        return self._store(context, AdminDevice(request.npub, key), nonce, attempts)

    def _missing(
        self, request: RegistrationRequest, context: InviteContext, key: DeviceKey | None
    ) -> tuple[Missing, ...]:
        factors = {
            Missing.IDENTITY: self._subject(request, context) == context.subject,
            Missing.DEVICE: key is not None,
        }
        return tuple(factor for factor, is_present in factors.items() if not is_present)

    def _subject(self, request: RegistrationRequest, context: InviteContext) -> str | None:
        try:
            return self.identity.subject(request.id_token, context.now)
        except IdentityRefused:
            return None

    def _attested_key(self, request: RegistrationRequest, context: InviteContext) -> DeviceKey | None:
        """Return the key that the evidence attests, or None if the evidence is refused.

        An invite for a new TOTP registers no device. There a registered device asserts itself.
        """
        statement = RegistrationStatement(
            service=self.service, challenge=request.challenge, npub=request.npub, invite=context.invite_id
        ).to_bytes()
        attestation = self.attestations.get(request.device_kind)
        device = context.find_device(request.device_kind, request.device_id)
        is_totp = context.invite.purpose is InvitePurpose.TOTP
        if attestation is None or (is_totp and device is None):
            return None
        try:
            if device is None or not is_totp:
                return attestation.register(request.evidence, statement, context.now)
            counter = attestation.check(request.evidence, statement, device.key, context.now)
        except AttestationRefused:
            return None
        return replace(device.key, counter=counter)

    def _store(self, context: InviteContext, device: AdminDevice, nonce: str, attempts: Attempts[Data]) -> Data:
        user, purpose = context.invite.user, context.invite.purpose
        seed = None if purpose is InvitePurpose.DEVICE else self.environment.random(SEED_BYTES)
        sealed = None if seed is None else seal_seed(self.sealer, user, seed)
        invite = replace(context.invite, registration=Registration(device, sealed))
        # The asserted counter must be stored at once, so that the same assertion is refused the next time.
        counter_writes: list[Write] = []
        if purpose is InvitePurpose.TOTP and context.admin:
            counter_writes = context.admin_writes(context.admin.with_device(device))
        uri = None if seed is None else provisioning_uri(seed, user, ISSUER)
        answer: Data = {"user": user, "purpose": purpose.value, "totp": uri}
        use = use_challenge(nonce, user, attempts.add(answer), context.now)
        self.databases.auth.commit([context.invite_write(invite), *counter_writes, use])
        return answer

    # --- confirmation ------------------------------------------------------------------------------------------------

    def _confirm(self, code: str, npub: str, totp: str, attempts: Attempts[InviteContext]) -> Data:
        # Before anything else: the last wrong code has closed the invite.
        if (refused := attempts.find(self.databases.auth, paths.invite(invite_id(code)))) is not None:
            self._refuse(refused, (Missing.PRESENCE,))
        context = self.read_context(code, npub)
        registration = context.invite.registration
        if registration is None or registration.device.npub != npub:
            raise not_registered()
        if registration.confirmed_at is not None and context.admin is not None:  # a repeated request
            return {"user": context.invite.user, "status": context.admin.status.value}
        context.require_open()
        is_totp = context.invite.purpose is InvitePurpose.TOTP
        if is_totp and not (context.admin and context.admin.may_act_with(npub)):
            raise not_registered()  # the device was revoked after it asserted itself
        step = self._matching_step(context, registration, totp)
        if step is None:
            invite = context.invite.with_wrong_code(attempts.add(context))
            self.databases.auth.commit([context.invite_write(invite)])  # rule 3
            self._refuse(context, (Missing.PRESENCE,))
        admin = _registered_admin(context, registration).with_valid_code(step)
        self._write_audit(context, npub)  # rule 4: before its effect
        self.databases.auth.commit([*context.admin_writes(admin), *self._completion_writes(context, registration)])
        return {"user": admin.user, "status": admin.status.value}

    def _matching_step(self, context: InviteContext, registration: Registration, totp: str) -> int | None:
        admin = _registered_admin(context, registration)
        if registration.totp_sealed is None:  # the admin keeps the old TOTP, and with it a lockout
            require_unlocked(admin, context.now)
        return matching_step(unseal_seed(self.sealer, admin), totp, context.now, admin.last_step)

    def _completion_writes(self, context: InviteContext, registration: Registration) -> list[Write]:
        # The seed is in the admin's record from now on, and nowhere else.
        completed = replace(registration, totp_sealed=None, confirmed_at=context.now)
        invite = context.invite_write(replace(context.invite, registration=completed))
        return [invite, update(context.key_document, {"user": context.invite.user})]

    def _write_audit(self, context: InviteContext, npub: str) -> None:
        user, invite = context.invite.user, context.invite
        transition = Transition(
            f"register_{invite.purpose.value}",
            user,
            {"user": user, "npub": npub, "group_id": invite.group_id, "invite": context.invite_id},
        )
        path = announcement_path(transition.action, (context.invite_id, npub))
        suspension = paths.suspension(user)
        control = self.databases.control
        snapshot = control.get([*audit_heads(invite.group_id), path, suspension])
        writes = [] if snapshot[path].exists else announcement_writes(snapshot, path, transition, self.banner)
        # A removed admin that was invited again may join groups again. Whether the user is an admin is decided by the
        # next commit, in `auth`.
        if snapshot[suspension].exists and invite.purpose is InvitePurpose.JOIN:
            writes = [*writes, delete(snapshot[suspension])]
        if writes:
            control.commit(writes)

    def _refuse(self, context: InviteContext, missing_factors: tuple[Missing, ...]) -> NoReturn:
        act = Act(context.npub, context.invite.group_id, "", context.invite_id)
        self.refusals.keep(act, context.invite.user, missing_factors, context.now)
        raise ProofRefused(*missing_factors)


def _registered_admin(context: InviteContext, registration: Registration) -> Admin:
    """Return the admin's record as it will be once the registration is confirmed."""
    admin = context.admin
    if context.invite.purpose is InvitePurpose.DEVICE and admin is not None:
        admin.require_place(registration.device.npub)
        return admin.with_device(registration.device)
    if registration.totp_sealed is None:
        raise bad_invite()
    if context.invite.purpose is InvitePurpose.TOTP and admin is not None:
        return replace(admin, totp_sealed=registration.totp_sealed, last_step=0)  # no code of the new TOTP was used yet
    return Admin(
        context.invite.user, context.subject, AdminStatus.ACTIVE, (registration.device,), registration.totp_sealed
    )
