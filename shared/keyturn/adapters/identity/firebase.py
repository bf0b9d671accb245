"""Who, by Firebase: ID tokens through the admin SDK; issuer, audience, revocation and disabled users are its checks.

Where the SDK's emulator variable is set it accepts tokens that nobody signed; this adapter then refuses all of them,
unless it was built for an emulator, which settings of production cannot do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import Unavailable
from keyturn.ports.identity import IdentityRefused
from keyturn.proofs.errors import ProofError
from keyturn.proofs.jws import RS256, read_unverified

if TYPE_CHECKING:
    from datetime import datetime

NAME = "firebase"
EMULATOR_VARIABLE = "FIREBASE_AUTH_EMULATOR_HOST"


@dataclass(frozen=True, slots=True)
class FirebaseIdentity:
    """Implements `Identity`; `app` is a `firebase_admin.App` of the project whose users the admins are."""

    app: Any
    emulated: bool = False
    name: str = NAME

    def subject(self, token: str, now: datetime) -> str:  # noqa: ARG002 - the SDK reads its own clock
        """Return the user's uid; `IdentityRefused` or `Unavailable` otherwise."""
        if self.emulated:
            return self._uid(token)
        # The SDK reads this variable itself, at every call: what counts is what it would find now.
        if EMULATOR_VARIABLE in os.environ:
            raise IdentityRefused("emulated")
        try:
            algorithm = read_unverified(token).header["alg"]
        except ProofError as refused:
            raise IdentityRefused(refused.reason) from None
        if algorithm != RS256:
            raise IdentityRefused("wrong_token_type")
        return self._uid(token)

    def _uid(self, token: str) -> str:
        from firebase_admin import auth  # type: ignore[import-untyped]  # noqa: PLC0415 - it has no types, and is heavy
        from firebase_admin.exceptions import FirebaseError  # type: ignore[import-untyped]  # noqa: PLC0415 - the same

        try:
            claims = auth.verify_id_token(token, app=self.app, check_revoked=True)
        except (auth.InvalidIdTokenError, auth.UserDisabledError, auth.UserNotFoundError, ValueError) as refused:
            raise IdentityRefused(_REASONS.get(type(refused).__name__, "bad_token")) from None
        except FirebaseError:
            raise Unavailable("identity_unavailable", "Who somebody is cannot be asked now.") from None
        return str(claims["uid"])


_REASONS = {
    "ExpiredIdTokenError": "expired",
    "RevokedIdTokenError": "revoked",
    "UserDisabledError": "disabled",
    "UserNotFoundError": "unknown_user",
}


def open_firebase(project: str, *, emulated: bool = False) -> FirebaseIdentity:
    """Return the identity of a Firebase project, under the credentials that this process runs with."""
    import firebase_admin  # noqa: PLC0415 - heavy

    app = firebase_admin.initialize_app(options={"projectId": project}, name=f"keyturn-{project}")
    return FirebaseIdentity(app, emulated)
