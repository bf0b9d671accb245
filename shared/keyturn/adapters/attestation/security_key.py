"""WebAuthn security keys as device attestation of desktop admins (`hwk`), through py_webauthn.

A registration needs an attestation certificate in a format that the policy configures roots for. Without a certificate
(`none`, self attestation) an authenticator is no evidence of hardware (WebAuthn §8, §6.5.3).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from keyturn.adapters.attestation.evidence import LARGEST_FIELD, require
from keyturn.domain.encodings import base64url_encode
from keyturn.ports.attestation import AttestationRefused, DeviceKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from webauthn.helpers.structs import AttestationFormat

NAME = "webauthn"
MOST_ID_BYTES = 1023
"""The longest credential id (WebAuthn level 3, §4)."""
MOST_KEY_BYTES = 2048
"""The largest public key: an RSA key of 8192 bits has half of that. The record of an admin contains both."""
AAGUID_EXTENSION = "1.3.6.1.4.1.45724.1.1.4"


@dataclass(frozen=True, slots=True)
class SecurityKeyAttestation:
    """Implements `Attestation`.

    The evidence is `credential`, a RegistrationResponseJSON or AuthenticationResponseJSON. `rp_id` is the domain and
    `origins` are the origins where keys may be used. `roots` holds PEM certificates by attestation format. Only formats
    with roots are allowed. The challenge is the statement's SHA-256.
    """

    rp_id: str
    origins: tuple[str, ...]
    roots: Mapping[str, Sequence[bytes]] = field(repr=False)
    kind: str = NAME
    amr: str = "hwk"

    def register(self, evidence: Mapping[str, object], statement: bytes, now: datetime) -> DeviceKey:  # noqa: ARG002 - the library reads its own clock
        """Return the credential if a trusted manufacturer's certificate attests its authenticator."""
        from webauthn import verify_registration_response  # noqa: PLC0415 - nothing heavy at import time

        credential = _credential(evidence)
        self._require_certificate(credential)
        try:
            registration = verify_registration_response(
                credential=credential,
                expected_challenge=hashlib.sha256(statement).digest(),
                expected_rp_id=self.rp_id,
                expected_origin=list(self.origins),
                require_user_verification=True,
                pem_root_certs_bytes_by_fmt=cast("Mapping[AttestationFormat, list[bytes]]", self._roots()),
            )
        except Exception:  # noqa: BLE001 - the library's errors have no family, and quote what was presented
            raise AttestationRefused("bad_registration") from None
        require(len(registration.credential_id) <= MOST_ID_BYTES, "large_credential")
        require(len(registration.credential_public_key) <= MOST_KEY_BYTES, "large_credential")
        device_id = base64url_encode(registration.credential_id)
        return DeviceKey(NAME, device_id, registration.credential_public_key, registration.sign_count)

    def check(self, evidence: Mapping[str, object], statement: bytes, device: DeviceKey, now: datetime) -> int:  # noqa: ARG002 - an assertion has no time
        """Return the new counter (0 if the key has none) if the device's credential signed the statement."""
        from webauthn import verify_authentication_response  # noqa: PLC0415 - nothing heavy at import time

        credential = _credential(evidence)
        if credential.get("id") != device.device_id:
            raise AttestationRefused("wrong_key_id")
        try:
            authentication = verify_authentication_response(
                credential=credential,
                expected_challenge=hashlib.sha256(statement).digest(),
                expected_rp_id=self.rp_id,
                expected_origin=list(self.origins),
                credential_public_key=device.public_key,
                credential_current_sign_count=device.counter,
                require_user_verification=True,
            )
        except Exception:  # noqa: BLE001 - the library's errors have no family, and quote what was presented
            raise AttestationRefused("bad_assertion") from None
        return authentication.new_sign_count

    def _roots(self) -> dict[str, list[bytes]]:
        return {name: list(certificates) for name, certificates in self.roots.items()}

    def _require_certificate(self, credential: Mapping[str, Any]) -> None:
        from webauthn.helpers import base64url_to_bytes, parse_attestation_object  # noqa: PLC0415 - heavy

        try:
            attestation = parse_attestation_object(base64url_to_bytes(credential["response"]["attestationObject"]))
        except Exception:  # noqa: BLE001 - the library's errors have no family, and quote what was presented
            raise AttestationRefused("malformed_evidence") from None
        chain, data = attestation.att_stmt.x5c, attestation.auth_data.attested_credential_data
        if not self.roots.get(str(attestation.fmt)) or not chain or data is None:
            raise AttestationRefused("format_not_allowed")
        _require_model(chain[0], data.aaguid)


def _credential(evidence: Mapping[str, object]) -> dict[str, Any]:
    credential = evidence.get("credential")
    response = credential.get("response") if isinstance(credential, dict) else None
    fields = response.values() if isinstance(response, dict) else ()
    if not fields or any(isinstance(value, str) and len(value) > LARGEST_FIELD for value in fields):
        raise AttestationRefused("malformed_evidence")
    return cast("dict[str, Any]", credential)


def _require_model(leaf: bytes, aaguid: bytes) -> None:
    """Refuse a certificate that names another model (AAGUID) than the authenticator does (WebAuthn §8.2.1)."""
    from cryptography.x509 import ExtensionNotFound, ObjectIdentifier, load_der_x509_certificate  # noqa: PLC0415 - heavy

    try:
        extension = load_der_x509_certificate(leaf).extensions.get_extension_for_oid(ObjectIdentifier(AAGUID_EXTENSION))
    except ExtensionNotFound:
        return
    except ValueError:
        raise AttestationRefused("malformed_evidence") from None
    # The extension's value is an OCTET STRING of the 16 bytes, in DER.
    if extension.value.public_bytes() != b"\x04\x10" + aaguid:
        raise AttestationRefused("wrong_model")


def read_roots(folder: Path) -> dict[str, list[bytes]]:
    """Return the PEM certificates of a folder's `<format>.pem` files, by format. Each file may hold several."""
    from cryptography.hazmat.primitives.serialization import Encoding  # noqa: PLC0415 - nothing heavy at import time
    from cryptography.x509 import load_pem_x509_certificates  # noqa: PLC0415 - the same

    def certificates(path: Path) -> list[bytes]:
        return [each.public_bytes(Encoding.PEM) for each in load_pem_x509_certificates(path.read_bytes())]

    return {path.stem: certificates(path) for path in sorted(folder.glob("*.pem"))}
