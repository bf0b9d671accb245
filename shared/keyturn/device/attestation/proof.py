"""Proving: challenge, evidence, attested admin token; asked for only where the service wants one (protocol.md §7).

    challenge ─▶ wanted? ─▶ signed in? ─▶ code of the authenticator ─▶ challenge ─▶ evidence ─▶ jwt_proof

1. The proof is bound to the very request by its digest: it serves no other, and once.
2. A code is asked for last, when all that this device can see for itself is there. It works once.
3. The challenge that is answered is a fresh one: a person may take their time to type.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from keyturn.device.api import response_fields as answers
from keyturn.device.attestation.id_token import signed_in
from keyturn.device.core.errors import NoCodeError, ServerRefusedError
from keyturn.proofs.statement import Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.device.api.client import Server
    from keyturn.device.attestation.authenticator import Vouching
    from keyturn.device.attestation.id_token import SignIn
    from keyturn.device.core.signed_events import Signer
    from keyturn.device.home.home import Home

NO_PROOF = ""
"""What stands for the attested admin token where the service asks for none."""
_ATTEMPTS = 2
_CHALLENGE_REFUSED = "challenge_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a proof is for: a request's digest, through which group, to which client; "" where the event names none."""

    digest: str
    group: str = ""
    client_id: str = ""
    action: str = ""
    """Told beside: while the operator has stopped everything, only some actions get proofs."""


@dataclass(frozen=True, slots=True)
class Presence:
    """Somebody who is there: signed in, with the code that their authenticator just showed."""

    who: SignIn
    code: str = field(repr=False)


def no_code() -> NoReturn:
    """Ask nobody: a device that was opened without anybody to ask has no presence to prove."""
    raise NoCodeError("This needs a code of the authenticator app.", "Run it where somebody can type one.")


@dataclass(frozen=True, slots=True)
class Prover:
    """Gets proofs; `ask_code` asks the person at the device for a one-time code."""

    home: Home
    server: Server
    signer: Signer = field(repr=False)
    vouching: Vouching
    ask_code: Callable[[], str]

    def is_wanted(self) -> bool:
        """Return whether this service takes commands from attested admins only."""
        return self.server.challenge().get("required") is not False

    def presence(self) -> Presence | None:
        """Have the person type a code, which takes its time; None where no proof is wanted.

        `NotSignedInError` or `NoCodeError`.
        """
        if not self.is_wanted():
            return None
        return Presence(signed_in(self.home, self.signer.now()), self.ask_code())

    def proof(self, subject: Subject) -> str:
        """Return a proof for exactly this request, NO_PROOF where none is wanted; errors as of its two halves."""
        return self.proof_by(self.presence(), subject)

    def proof_by(self, presence: Presence | None, subject: Subject) -> str:
        """Return a proof for exactly this request by who is present; what the service refuses with."""
        if presence is None:
            return NO_PROOF
        for _ in range(1, _ATTEMPTS):
            try:
                return self._prove(subject, presence)
            except ServerRefusedError as refused:
                if refused.reason != _CHALLENGE_REFUSED:
                    raise
        return self._prove(subject, presence)  # a refused challenge has used up no code

    def _prove(self, subject: Subject, presence: Presence) -> str:
        challenge = answers.text(self.server.challenge(), "challenge")
        named = {"mls_group": subject.group, "client_id": subject.client_id, "action": subject.action}
        asked = {
            "challenge": challenge,
            "id_token": presence.who.id_token,
            "device": self._assertion(subject, challenge),
            "totp": presence.code,
            **{name: value for name, value in named.items() if value},
            "request_digest": subject.digest,
        }
        return answers.text(self.server.prove(self.signer, asked), "jwt_proof")

    def _assertion(self, subject: Subject, challenge: str) -> dict[str, object]:
        statement = Statement(
            service=self.server.url,
            challenge=challenge,
            npub=self.signer.public_key,
            group=subject.group,
            client_id=subject.client_id,
            digest=subject.digest,
        )
        return self.vouching.registered().assertion(statement.to_bytes())
