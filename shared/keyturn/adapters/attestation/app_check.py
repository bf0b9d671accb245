"""Firebase App Check tokens, issued by Firebase after App Attest, as device attestation (docs/protocol.md §7).

The claims are checked as Firebase's admin SDK checks them. The address of the keys, the project and the app ids come
from the settings. A token proves a genuine app, not one device, so the device's id is the app's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.adapters.attestation.evidence import require, text
from keyturn.ports.attestation import AttestationRefused, DeviceKey
from keyturn.ports.identity import CLOCK_TOLERANCE_SECONDS
from keyturn.proofs.errors import ProofError
from keyturn.proofs.jwk import RS256
from keyturn.proofs.jws import read_unverified, verified_claims

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from keyturn.adapters.authorisation.jwks import TrustedKeys

NAME = "app_check"
JWKS_ADDRESS = "https://firebaseappcheck.googleapis.com/v1/jwks"
ISSUER = "https://firebaseappcheck.googleapis.com/"


@dataclass(frozen=True, slots=True)
class AppCheckAttestation:
    """Implements `Attestation`. The evidence is `token`.

    `project` is the Firebase project's number, `app_ids` its apps, `issuer` the issuer without the project's number.
    """

    keys: TrustedKeys
    project: str
    app_ids: frozenset[str]
    issuer: str = ISSUER
    kind: str = NAME
    amr: str = "app_attest"

    def register(self, evidence: Mapping[str, object], statement: bytes, now: datetime) -> DeviceKey:  # noqa: ARG002 - a token names no statement
        """Return the app that the token was issued for."""
        return DeviceKey(NAME, self._app(text(evidence, "token"), now), b"")

    def check(self, evidence: Mapping[str, object], statement: bytes, device: DeviceKey, now: datetime) -> int:  # noqa: ARG002 - a token names no statement
        """Return 0 (there is no counter) if the token was issued for the registered app."""
        require(self._app(text(evidence, "token"), now) == device.device_id, "wrong_app")
        return 0

    def _app(self, token: str, now: datetime) -> str:
        claims = self._claims(token)
        audiences, app = claims.get("aud"), claims.get("sub")
        is_for_us = isinstance(audiences, list) and f"projects/{self.project}" in audiences
        require(claims.get("iss") == f"{self.issuer}{self.project}", "wrong_issuer")
        require(is_for_us, "wrong_audience")
        _require_current(claims, now)
        if not isinstance(app, str) or app not in self.app_ids:
            raise AttestationRefused("wrong_app")
        return app

    def _claims(self, token: str) -> Mapping[str, object]:
        try:
            key = self.keys.named(read_unverified(token).header["kid"])
            return verified_claims(token, key, algorithm=RS256, typ="JWT")
        except ProofError as error:
            raise AttestationRefused(error.reason) from None


def _require_current(claims: Mapping[str, object], now: datetime) -> None:
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    # `type` and not `isinstance`: True is an int too.
    if type(issued_at) is not int or type(expires_at) is not int:
        raise AttestationRefused("wrong_time")
    seconds = now.timestamp()
    require(issued_at - CLOCK_TOLERANCE_SECONDS <= seconds < expires_at + CLOCK_TOLERANCE_SECONDS, "wrong_time")
