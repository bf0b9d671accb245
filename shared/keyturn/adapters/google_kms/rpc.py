"""Cloud KMS's calls, each with CRC32C checked both ways ("Verifying end-to-end data integrity", Cloud KMS guides).

1. Every request carries checksums of what it sends; the answer must say that each was verified.
2. Every answer's bytes must have the checksum that stands beside them, and name the key that was asked for.
3. What fails 1 or 2 was damaged on the way: as if there had been no answer.

Imports the vendor's client (half a second): only `CloudKeys` does so, on first use.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import google_crc32c
import grpc
from google.api_core.exceptions import InvalidArgument
from google.auth.exceptions import GoogleAuthError
from google.cloud.kms_v1.services.key_management_service import KeyManagementServiceClient
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport
from google.cloud.kms_v1.types import resources, service
from google.protobuf.field_mask_pb2 import FieldMask

from keyturn.adapters.google_kms.retry import CorruptedResponse, RetryingCalls
from keyturn.ports.keys import KeyRefused, KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from keyturn.adapters.google_kms.retry import KmsRetryPolicy

ADDRESS = "cloudkms.googleapis.com"
_CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 60_000),  # a dead connection is noticed before the next request waits for it
    ("grpc.keepalive_timeout_ms", 10_000),
)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_ENABLED = resources.CryptoKeyVersion.CryptoKeyVersionState.ENABLED
_DISABLED = resources.CryptoKeyVersion.CryptoKeyVersionState.DISABLED


class KmsRpc:
    """Cloud KMS over one channel; any number of threads may share it. All calls raise as `RetryingCalls` says."""

    def __init__(self, emulator_host: str | None, retry_policy: KmsRetryPolicy) -> None:
        self._channel = _emulator(emulator_host) if emulator_host else _cloud()
        self._client = KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=self._channel))
        self._calls = RetryingCalls(retry_policy)

    def mac_sign(self, name: str, data: bytes) -> bytes:
        """Return the tag of `data` under the key version `name`."""
        request = service.MacSignRequest(name=name, data=data, data_crc32c=crc32c(data))

        def call(seconds: float) -> bytes:
            answer = self._ours(self._client.mac_sign, request, seconds)
            _require(answer.name == name, answer.verified_data_crc32c)
            return _whole(answer.mac, answer.mac_crc32c)

        return self._calls(call)

    def mac_verify(self, name: str, data: bytes, tag: bytes) -> bool:
        """Return whether `tag` is that of `data` under the key version `name`; the service compares."""
        request = service.MacVerifyRequest(
            name=name, data=data, data_crc32c=crc32c(data), mac=tag, mac_crc32c=crc32c(tag)
        )

        def call(seconds: float) -> bool:
            answer = self._ours(self._client.mac_verify, request, seconds)
            _require(answer.name == name, answer.verified_data_crc32c, answer.verified_mac_crc32c)
            _require(answer.verified_success_integrity == answer.success)
            return bool(answer.success)

        return self._calls(call)

    def encrypt(self, key: str, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return ciphertext of at most 64 KiB of plaintext and associated data, by the primary version of `key`."""
        request = service.EncryptRequest(
            name=key,
            plaintext=plaintext,
            plaintext_crc32c=crc32c(plaintext),
            additional_authenticated_data=associated_data,
            additional_authenticated_data_crc32c=crc32c(associated_data),
        )

        def call(seconds: float) -> bytes:
            answer = self._ours(self._client.encrypt, request, seconds)
            _require(answer.name.startswith(f"{key}/cryptoKeyVersions/"), answer.verified_plaintext_crc32c)
            _require(answer.verified_additional_authenticated_data_crc32c)
            return _whole(answer.ciphertext, answer.ciphertext_crc32c)

        return self._calls(call)

    def decrypt(self, key: str, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext; `KeyRefused` unless both are what `key` encrypted."""
        request = service.DecryptRequest(
            name=key,
            ciphertext=ciphertext,
            ciphertext_crc32c=crc32c(ciphertext),
            additional_authenticated_data=associated_data,
            additional_authenticated_data_crc32c=crc32c(associated_data),
        )

        def call(seconds: float) -> bytes | None:
            try:
                answer = self._client.decrypt(request=request, retry=None, timeout=seconds)
            except InvalidArgument:
                return None  # the ciphertext isn't of this key and associated data: an answer, no failure
            return _whole(answer.plaintext, answer.plaintext_crc32c)

        # Damage on the way there looks the same to the service as a foreign ciphertext: only two equal answers count.
        for _ in range(2):
            plaintext = self._calls(call)
            if plaintext is not None:
                return plaintext
        raise KeyRefused("the sealed bytes are not of this key and associated data")

    def asymmetric_sign(self, name: str, digest: bytes) -> bytes:
        """Return the signature (DER) of a SHA-256 digest (32 bytes) by the key version `name`."""
        request = service.AsymmetricSignRequest(
            name=name, digest=service.Digest(sha256=digest), digest_crc32c=crc32c(digest)
        )

        def call(seconds: float) -> bytes:
            answer = self._ours(self._client.asymmetric_sign, request, seconds)
            _require(answer.name == name, answer.verified_digest_crc32c)
            return _whole(answer.signature, answer.signature_crc32c)

        return self._calls(call)

    def public_key(self, name: str) -> bytes:
        """Return the public key (PEM) of the key version `name`."""
        request = service.GetPublicKeyRequest(name=name)

        def call(seconds: float) -> bytes:
            answer = self._ours(self._client.get_public_key, request, seconds)
            _require(answer.name == name)
            return _whole(answer.pem.encode(), answer.pem_crc32c)

        return self._calls(call)

    def enabled_versions(self, key: str) -> Mapping[str, datetime]:
        """Return the enabled versions of `key` by name, in no order: since when there is each (aware UTC)."""
        request = service.ListCryptoKeyVersionsRequest(parent=key, filter="state=ENABLED")

        def call(seconds: float) -> dict[str, datetime]:
            pages = self._client.list_crypto_key_versions(request=request, retry=None, timeout=seconds)
            return {version.name: _made_at(version) for version in pages if version.state == _ENABLED}

        return self._calls(call)

    def create_version(self, key: str) -> str:
        """Create a version of `key`; its name. Not tried again: a second try would make a second version."""
        request = service.CreateCryptoKeyVersionRequest(parent=key, crypto_key_version=resources.CryptoKeyVersion())
        created = self._calls.once(
            lambda seconds: self._client.create_crypto_key_version(request=request, retry=None, timeout=seconds)
        )
        return str(created.name)

    def make_primary(self, key: str, version_id: str) -> None:
        """Have `key` encrypt with that version from now on."""
        request = service.UpdateCryptoKeyPrimaryVersionRequest(name=key, crypto_key_version_id=version_id)
        self._calls(
            lambda seconds: self._client.update_crypto_key_primary_version(request=request, retry=None, timeout=seconds)
        )

    def disable_version(self, name: str) -> None:
        """Disable the key version `name`."""
        version = resources.CryptoKeyVersion(name=name, state=_DISABLED)
        request = service.UpdateCryptoKeyVersionRequest(
            crypto_key_version=version, update_mask=FieldMask(paths=["state"])
        )
        self._calls(
            lambda seconds: self._client.update_crypto_key_version(request=request, retry=None, timeout=seconds)
        )

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    @staticmethod
    def _ours(method: Any, request: Any, seconds: float) -> Any:  # noqa: ANN401 - any of the client's methods
        """Return the answer to a request that holds nothing but ours: if the service finds it wrong, it is damaged."""
        try:
            return method(request=request, retry=None, timeout=seconds)
        except InvalidArgument:
            raise CorruptedResponse from None


def crc32c(data: bytes) -> int:
    """Return the CRC32C (Castagnoli; RFC 3720 §12.1) of `data`."""
    return int(google_crc32c.value(data))


def _whole(data: bytes, checksum: object) -> bytes:
    _require(checksum == crc32c(data))
    return data


def _made_at(version: resources.CryptoKeyVersion) -> datetime:
    # A key pair is generated some time after its version was created; a service that does not say made it long ago.
    told = cast(
        "tuple[datetime | None, ...]", (version.generate_time, version.create_time)
    )  # the stubs know the wire's
    return next((time for time in told if time is not None), _LONG_AGO)


def _require(*conditions: bool) -> None:
    if not all(conditions):
        raise CorruptedResponse


def _emulator(host: str) -> grpc.Channel:
    return grpc.insecure_channel(host, options=_CHANNEL_OPTIONS)


def _cloud() -> grpc.Channel:
    try:
        return KeyManagementServiceGrpcTransport.create_channel(ADDRESS, options=_CHANNEL_OPTIONS)
    except GoogleAuthError:
        raise KeyUnavailable("there are no credentials for the key service") from None
