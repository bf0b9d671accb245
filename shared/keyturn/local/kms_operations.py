"""The methods of the KMS emulator, computed from a key file: request in, response out.

They follow the documentation of the real service: checksums, purposes, states, the 64 KiB limit of Encrypt, gRPC codes.
Two things are simpler: a version is either enabled or disabled, and the primary version is always the newest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import google_crc32c
import grpc
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from google.cloud.kms_v1.types import resources, service

from keyturn.adapters.key_file.file import RSA_PURPOSE
from keyturn.adapters.key_file.keys import SIGNING_PURPOSES
from keyturn.adapters.key_file.private_keys import p256_private_key, rsa_private_key
from keyturn.local.kms_names import KmsFault, KmsNames, number_of
from keyturn.ports.keys import KeyRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from keyturn.adapters.key_file.file import KeyFile, LocalKey
    from keyturn.adapters.key_file.keys import LocalKeys

Message: TypeAlias = Any
"""Any request or response of the interface."""
Method: TypeAlias = "tuple[Callable[[Message], Message], type[Any], type[Any]]"
"""A handler, and the types of its request and response."""

LARGEST_BYTES = 64 * 1024
DEFAULT_PAGE = 100
DIGEST_BYTES = 32
_Code = grpc.StatusCode
_State = resources.CryptoKeyVersion.CryptoKeyVersionState
_Algorithm = resources.CryptoKeyVersion.CryptoKeyVersionAlgorithm
_Purpose = resources.CryptoKey.CryptoKeyPurpose
_ALGORITHMS = {
    "mac": _Algorithm.HMAC_SHA256,
    "seal": _Algorithm.GOOGLE_SYMMETRIC_ENCRYPTION,
    "sign": _Algorithm.EC_SIGN_P256_SHA256,
    "sign_rs256": _Algorithm.RSA_SIGN_PKCS1_2048_SHA256,
}
_PURPOSES = {
    "mac": _Purpose.MAC,
    "seal": _Purpose.ENCRYPT_DECRYPT,
    "sign": _Purpose.ASYMMETRIC_SIGN,
    "sign_rs256": _Purpose.ASYMMETRIC_SIGN,
}


class KmsOperations:
    """The methods over the keys of one file, under the names of one key ring."""

    def __init__(self, keys: LocalKeys, file: KeyFile, ring: str) -> None:
        self._keys = keys
        self._file = file
        self._names = KmsNames(file, ring)

    def methods(self) -> Mapping[str, Method]:
        """Return all methods by name: the handler, and the types of its request and response."""
        key, version = resources.CryptoKey, resources.CryptoKeyVersion
        return {
            "MacSign": (self.mac_sign, service.MacSignRequest, service.MacSignResponse),
            "MacVerify": (self.mac_verify, service.MacVerifyRequest, service.MacVerifyResponse),
            "Encrypt": (self.encrypt, service.EncryptRequest, service.EncryptResponse),
            "Decrypt": (self.decrypt, service.DecryptRequest, service.DecryptResponse),
            "AsymmetricSign": (self.asymmetric_sign, service.AsymmetricSignRequest, service.AsymmetricSignResponse),
            "GetPublicKey": (self.get_public_key, service.GetPublicKeyRequest, resources.PublicKey),
            "GetCryptoKey": (self.get_crypto_key, service.GetCryptoKeyRequest, key),
            "ListCryptoKeyVersions": (
                self.list_versions,
                service.ListCryptoKeyVersionsRequest,
                service.ListCryptoKeyVersionsResponse,
            ),
            "CreateCryptoKeyVersion": (self.create_version, service.CreateCryptoKeyVersionRequest, version),
            "UpdateCryptoKeyVersion": (self.update_version, service.UpdateCryptoKeyVersionRequest, version),
            "UpdateCryptoKeyPrimaryVersion": (
                self.update_primary,
                service.UpdateCryptoKeyPrimaryVersionRequest,
                key,
            ),
        }

    # --- cryptography ------------------------------------------------------------------------------------------------

    def mac_sign(self, request: service.MacSignRequest) -> service.MacSignResponse:
        """Answer MacSign."""
        verified = _verified(request.data, request.data_crc32c)
        mac = self._keys.mac.sign(self._names.enabled(request.name, "mac").name, request.data)
        return service.MacSignResponse(
            name=request.name, mac=mac, mac_crc32c=_crc32c(mac), verified_data_crc32c=verified
        )

    def mac_verify(self, request: service.MacVerifyRequest) -> service.MacVerifyResponse:
        """Answer MacVerify."""
        verified = _verified(request.data, request.data_crc32c), _verified(request.mac, request.mac_crc32c)
        success = self._keys.mac.verify(self._names.enabled(request.name, "mac").name, request.data, request.mac)
        return service.MacVerifyResponse(
            name=request.name,
            success=success,
            verified_success_integrity=success,
            verified_data_crc32c=verified[0],
            verified_mac_crc32c=verified[1],
        )

    def encrypt(self, request: service.EncryptRequest) -> service.EncryptResponse:
        """Answer Encrypt, with the primary version."""
        plaintext, associated = request.plaintext, request.additional_authenticated_data
        verified = _verified(plaintext, request.plaintext_crc32c)
        verified_associated = _verified(associated, request.additional_authenticated_data_crc32c)
        if len(plaintext) + len(associated) > LARGEST_BYTES:
            raise KmsFault(_Code.INVALID_ARGUMENT)
        primary = self._names.enabled(self._names.primary(request.name), "seal")
        # The sealer uses the newest enabled version. That is the primary one, because it was just found to be enabled.
        ciphertext = self._keys.sealer.seal(plaintext, associated)
        return service.EncryptResponse(
            name=self._names.name_of(primary),
            ciphertext=ciphertext,
            ciphertext_crc32c=_crc32c(ciphertext),
            verified_plaintext_crc32c=verified,
            verified_additional_authenticated_data_crc32c=verified_associated,
        )

    def decrypt(self, request: service.DecryptRequest) -> service.DecryptResponse:
        """Answer Decrypt, with the version that the ciphertext names."""
        ciphertext, associated = request.ciphertext, request.additional_authenticated_data
        _verified(ciphertext, request.ciphertext_crc32c)
        _verified(associated, request.additional_authenticated_data_crc32c)
        self._names.purpose(request.name, "seal")
        # Sealed bytes name their key after two bytes (key_file/keys.py). Like the real service, distinguish a disabled
        # version from a ciphertext of another key.
        if any(not key.enabled and ciphertext[2:].startswith(key.name.encode()) for key in self._file.read()):
            raise KmsFault(_Code.FAILED_PRECONDITION)
        try:
            plaintext = self._keys.sealer.unseal(ciphertext, associated)
        except KeyRefused:
            raise KmsFault(_Code.INVALID_ARGUMENT) from None
        return service.DecryptResponse(plaintext=plaintext, plaintext_crc32c=_crc32c(plaintext))

    def asymmetric_sign(self, request: service.AsymmetricSignRequest) -> service.AsymmetricSignResponse:
        """Answer AsymmetricSign: ECDSA or RSA (PKCS #1 v1.5) over a SHA-256 digest."""
        digest = request.digest.sha256
        verified = _verified(digest, request.digest_crc32c)
        if len(digest) != DIGEST_BYTES:
            raise KmsFault(_Code.INVALID_ARGUMENT)
        signature = _signature(self._names.enabled(request.name, *SIGNING_PURPOSES), digest)
        return service.AsymmetricSignResponse(
            name=request.name,
            signature=signature,
            signature_crc32c=_crc32c(signature),
            verified_digest_crc32c=verified,
        )

    def get_public_key(self, request: service.GetPublicKeyRequest) -> resources.PublicKey:
        """Answer GetPublicKey, in PEM."""
        key = self._names.enabled(request.name, *SIGNING_PURPOSES)
        private_key = rsa_private_key(key) if key.purpose == RSA_PURPOSE else p256_private_key(key)
        public = private_key.public_key()
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return resources.PublicKey(
            name=request.name, pem=pem.decode(), pem_crc32c=_crc32c(pem), algorithm=_ALGORITHMS[key.purpose]
        )

    # --- key management --------------------------------------------------------------------------------------

    def get_crypto_key(self, request: service.GetCryptoKeyRequest) -> resources.CryptoKey:
        """Answer GetCryptoKey."""
        purpose = self._names.purpose(request.name)
        primary = self._version(self._names.newest(purpose)) if purpose == "seal" else None
        return resources.CryptoKey(name=request.name, purpose=_PURPOSES[purpose], primary=primary)

    def list_versions(self, request: service.ListCryptoKeyVersionsRequest) -> service.ListCryptoKeyVersionsResponse:
        """Answer ListCryptoKeyVersions: one page of all versions, or of those with `state=ENABLED`."""
        if request.filter not in {"", "state=ENABLED"} or not re.fullmatch(r"[0-9]*", request.page_token):
            raise KmsFault(_Code.INVALID_ARGUMENT)
        keys = self._names.versions(self._names.purpose(request.parent))
        listed = [self._version(key) for key in keys if key.enabled or not request.filter]
        start = int(request.page_token or 0)
        end = start + (request.page_size or DEFAULT_PAGE)
        return service.ListCryptoKeyVersionsResponse(
            crypto_key_versions=listed[start:end],
            next_page_token=str(end) if end < len(listed) else "",
            total_size=len(listed),
        )

    def create_version(self, request: service.CreateCryptoKeyVersionRequest) -> resources.CryptoKeyVersion:
        """Answer CreateCryptoKeyVersion."""
        name = self._keys.add_version(self._names.purpose(request.parent))
        return self._version(next(key for key in self._file.read() if key.name == name))

    def update_version(self, request: service.UpdateCryptoKeyVersionRequest) -> resources.CryptoKeyVersion:
        """Answer UpdateCryptoKeyVersion, which can only disable a version."""
        if list(request.update_mask.paths) != ["state"] or request.crypto_key_version.state != _State.DISABLED:
            raise KmsFault(_Code.UNIMPLEMENTED)
        name = self._names.find(request.crypto_key_version.name).name
        self._keys.disable(name)
        return self._version(self._names.find(request.crypto_key_version.name))

    def update_primary(self, request: service.UpdateCryptoKeyPrimaryVersionRequest) -> resources.CryptoKey:
        """Answer UpdateCryptoKeyPrimaryVersion, for the newest version only."""
        if request.crypto_key_version_id != number_of(self._names.newest(self._names.purpose(request.name, "seal"))):
            raise KmsFault(_Code.UNIMPLEMENTED)
        return self.get_crypto_key(service.GetCryptoKeyRequest(name=request.name))

    def _version(self, key: LocalKey) -> resources.CryptoKeyVersion:
        state = _State.ENABLED if key.enabled else _State.DISABLED
        return resources.CryptoKeyVersion(
            name=self._names.name_of(key), state=state, algorithm=_ALGORITHMS[key.purpose]
        )


def _signature(key: LocalKey, digest: bytes) -> bytes:
    algorithm = utils.Prehashed(SHA256())
    if key.purpose == RSA_PURPOSE:
        return rsa_private_key(key).sign(digest, PKCS1v15(), algorithm)
    return p256_private_key(key).sign(digest, ec.ECDSA(algorithm))


def _crc32c(data: bytes) -> int:
    return int(google_crc32c.value(data))


def _verified(data: bytes, checksum: object) -> bool:
    """Return whether the request has a checksum of `data`. A wrong one ends the call."""
    if checksum is not None and checksum != _crc32c(data):
        raise KmsFault(_Code.INVALID_ARGUMENT)
    return checksum is not None
