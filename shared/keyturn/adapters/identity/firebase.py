"""User identity from Firebase: ID tokens, verified by the admin SDK (issuer, audience, revocation, disabled users).

If the SDK's emulator variable is set, the SDK accepts unsigned tokens. This adapter then refuses all tokens, unless it
was built for an emulator, which production settings do not allow.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import Unavailable
from keyturn.ports.identity import CLOCK_TOLERANCE_SECONDS, IdentityRefused
from keyturn.proofs.errors import ProofError
from keyturn.proofs.jwk import RS256
from keyturn.proofs.jws import read_unverified

if TYPE_CHECKING:
    from datetime import datetime

NAME = "firebase"
EMULATOR_VARIABLE = "FIREBASE_AUTH_EMULATOR_HOST"


@dataclass(frozen=True, slots=True)
class FirebaseIdentity:
    """Implements `Identity`. `app` is a `firebase_admin.App` of the project that has the admins as its users."""

    app: Any
    emulated: bool = False
    name: str = NAME

    def subject(self, token: str, now: datetime) -> str:  # noqa: ARG002 - the SDK reads its own clock
        """Return the user's uid. `IdentityRefused` for an invalid token, `Unavailable` if Firebase is."""
        if self.emulated:
            return self._uid(token)
        # The SDK reads this variable at every call, so it is checked at every call and not at start.
        if EMULATOR_VARIABLE in os.environ:
            raise IdentityRefused("emulated")
        try:
            algorithm = read_unverified(token).header["alg"]
        except ProofError as error:
            raise IdentityRefused(error.reason) from None
        if algorithm != RS256:
            raise IdentityRefused("wrong_token_type")
        return self._uid(token)

    def _uid(self, token: str) -> str:
        from firebase_admin import auth  # type: ignore[import-untyped]  # noqa: PLC0415 - it has no types, and is heavy
        from firebase_admin.exceptions import FirebaseError  # type: ignore[import-untyped]  # noqa: PLC0415 - the same

        try:
            claims = auth.verify_id_token(
                token, app=self.app, check_revoked=True, clock_skew_seconds=CLOCK_TOLERANCE_SECONDS
            )
        except (auth.InvalidIdTokenError, auth.UserDisabledError, auth.UserNotFoundError, ValueError) as error:
            raise IdentityRefused(_REASONS.get(type(error).__name__, "bad_token")) from None
        except FirebaseError:
            raise Unavailable("identity_unavailable", "The identity provider is unavailable.") from None
        return str(claims["uid"])


_REASONS = {
    "ExpiredIdTokenError": "expired",
    "RevokedIdTokenError": "revoked",
    "UserDisabledError": "disabled",
    "UserNotFoundError": "unknown_user",
}


def open_firebase(project: str, *, emulated: bool = False) -> FirebaseIdentity:
    """Return the identity provider of a Firebase project, with the default credentials of this process."""
    import firebase_admin  # noqa: PLC0415 - heavy

    app = firebase_admin.initialize_app(options={"projectId": project}, name=f"keyturn-{project}")
    return FirebaseIdentity(app, emulated)
