"""Admin proofs: the device exchanges evidence for an attested admin token (`jwt_proof`, docs/protocol.md §7).

    challenge ─▶ required? ─▶ sign-in ─▶ one-time code ─▶ fresh challenge ─▶ evidence ─▶ jwt_proof

1. The digest binds the proof to one request. It is valid for no other, and only once.
2. The user is asked for a code last, after all checks that the device can do itself: a code works only once.
3. The evidence answers a fresh challenge, because the user may take a while to type.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from keyturn.device.api import response_fields
from keyturn.device.attestation.authenticator import DeviceAuthenticator
from keyturn.device.attestation.id_token import require_sign_in
from keyturn.device.core.errors import NoCodeError, ServerRefusedError
from keyturn.proofs.statement import Statement

if TYPE_CHECKING:
    from keyturn.device.attestation.id_token import SignIn
    from keyturn.device.context import DeviceContext

NO_PROOF = ""
"""The value of `jwt_proof` where the service requires none."""
_ATTEMPTS = 2
_CHALLENGE_REFUSED = "challenge_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofSubject:
    """The request that a proof is for: its digest, group and client, "" where the event names none."""

    digest: str
    group: str = ""
    client_id: str = ""
    action: str = ""
    """For the service only: while an operator has stopped commands, it issues proofs for some actions only."""


@dataclass(frozen=True, slots=True)
class UserPresence:
    """The sign-in of a present user, and the current code of their authenticator app."""

    sign_in: SignIn
    code: str = field(repr=False)


def no_code() -> NoReturn:
    """Refuse: a device that was opened without `ask_code` can't ask its user."""
    raise NoCodeError("This needs a code of the authenticator app.", "Run it at a terminal, and type the code.")


@dataclass(frozen=True, slots=True)
class Prover:
    """Requests proofs from the service."""

    context: DeviceContext

    def is_required(self) -> bool:
        """Return whether this service accepts commands from attested admins only."""
        # Anything but a clear "no" means yes.
        return self.context.api.challenge().get("required") is not False

    def presence(self) -> UserPresence | None:
        """Ask the user for a code, which may take a while; None if the service requires no proof.

        `NotSignedInError` or `NoCodeError`.
        """
        if not self.is_required():
            return None
        return UserPresence(require_sign_in(self.context.home, self.context.signer.now()), self.context.ask_code())

    def proof(self, subject: ProofSubject) -> str:
        """Return a proof for one request, NO_PROOF if the service requires none. Raises as the two steps do."""
        return self.proof_by(self.presence(), subject)

    def proof_by(self, presence: UserPresence | None, subject: ProofSubject) -> str:
        """Return a proof for one request by a present user."""
        if presence is None:
            return NO_PROOF
        for _ in range(1, _ATTEMPTS):
            try:
                return self._prove(subject, presence)
            except ServerRefusedError as error:
                if error.reason != _CHALLENGE_REFUSED:
                    raise
        return self._prove(subject, presence)  # the service checks the challenge first: the code is still unused

    def _prove(self, subject: ProofSubject, presence: UserPresence) -> str:
        api = self.context.api
        challenge = response_fields.text(api.challenge(), "challenge")
        names = {"mls_group": subject.group, "client_id": subject.client_id, "action": subject.action}
        evidence = {
            "challenge": challenge,
            "id_token": presence.sign_in.id_token,
            "device": self._assertion(subject, challenge),
            "totp": presence.code,
            **{name: value for name, value in names.items() if value},
            "request_digest": subject.digest,
        }
        return response_fields.text(api.prove(self.context.signer, evidence), "jwt_proof")

    def _assertion(self, subject: ProofSubject, challenge: str) -> dict[str, object]:
        statement = Statement(
            service=self.context.api.url,
            challenge=challenge,
            npub=self.context.signer.public_key,
            group=subject.group,
            client_id=subject.client_id,
            digest=subject.digest,
        )
        return DeviceAuthenticator(self.context).assertion(statement.to_bytes())
