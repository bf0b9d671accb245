"""Cloud KMS's RPCs, with CRC32C checks in both directions ("Verifying end-to-end data integrity", Cloud KMS guides).

1. Every request carries checksums of its data. The response must confirm that the service verified each of them.
2. Every response must match its own checksum and name the requested key.
3. A response that fails 1 or 2 was corrupted in transit, and counts as no response.

This module imports the vendor's client, which takes half a second. Only `CloudKeys` imports it, on first use.
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
    ("grpc.keepalive_time_ms", 60_000),  # notices a dead connection before a request waits for it
    ("grpc.keepalive_timeout_ms", 10_000),
)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_ENABLED = resources.CryptoKeyVersion.CryptoKeyVersionState.ENABLED
_DISABLED = resources.CryptoKeyVersion.CryptoKeyVersionState.DISABLED


class KmsRpc:
    """Cloud KMS over one channel. Any number of threads may share it. All calls raise as `RetryingCalls` says."""

    def __init__(self, emulator_host: str | None, retry_policy: KmsRetryPolicy) -> None:
        self._channel = _emulator(emulator_host) if emulator_host else _cloud()
        self._client = KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=self._channel))
        self._calls = RetryingCalls(retry_policy)

    def mac_sign(self, name: str, data: bytes) -> bytes:
        """Return the tag of `data` under the key version `name`."""
        request = service.MacSignRequest(name=name, data=data, data_crc32c=crc32c(data))

        def call(seconds: float) -> bytes:
            answer = self._call(self._client.mac_sign, request, seconds)
            _require(answer.name == name, answer.verified_data_crc32c)
            return _intact(answer.mac, answer.mac_crc32c)

        return self._calls(call)

    def mac_verify(self, name: str, data: bytes, tag: bytes) -> bool:
        """Return whether `tag` is that of `data` under the key version `name`. The service compares."""
        request = service.MacVerifyRequest(
            name=name, data=data, data_crc32c=crc32c(data), mac=tag, mac_crc32c=crc32c(tag)
        )

        def call(seconds: float) -> bool:
            answer = self._call(self._client.mac_verify, request, seconds)
            _require(answer.name == name, answer.verified_data_crc32c, answer.verified_mac_crc32c)
            _require(answer.verified_success_integrity == answer.success)
            return bool(answer.success)

        return self._calls(call)

    def encrypt(self, key: str, plaintext: bytes, associated_data: bytes) -> bytes:
        """Encrypt with the primary version of `key`. Plaintext and associated data have at most 64 KiB together."""
        request = service.EncryptRequest(
            name=key,
            plaintext=plaintext,
            plaintext_crc32c=crc32c(plaintext),
            additional_authenticated_data=associated_data,
            additional_authenticated_data_crc32c=crc32c(associated_data),
        )

        def call(seconds: float) -> bytes:
            answer = self._call(self._client.encrypt, request, seconds)
            _require(answer.name.startswith(f"{key}/cryptoKeyVersions/"), answer.verified_plaintext_crc32c)
            _require(answer.verified_additional_authenticated_data_crc32c)
            return _intact(answer.ciphertext, answer.ciphertext_crc32c)

        return self._calls(call)

    def decrypt(self, key: str, ciphertext: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext. `KeyRefused` unless `key` encrypted exactly this with this associated data."""
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
                return None  # the ciphertext does not belong to this key and data, which is a valid response
            return _intact(answer.plaintext, answer.plaintext_crc32c)

        # The service can't tell a request corrupted in transit from a foreign ciphertext, so one such response is no
        # proof. Two are.
        for _ in range(2):
            plaintext = self._calls(call)
            if plaintext is not None:
                return plaintext
        raise KeyRefused("the sealed bytes do not belong to this key and associated data")

    def asymmetric_sign(self, name: str, digest: bytes) -> bytes:
        """Return the signature (DER) of a SHA-256 digest (32 bytes) by the key version `name`."""
        request = service.AsymmetricSignRequest(
            name=name, digest=service.Digest(sha256=digest), digest_crc32c=crc32c(digest)
        )

        def call(seconds: float) -> bytes:
            answer = self._call(self._client.asymmetric_sign, request, seconds)
            _require(answer.name == name, answer.verified_digest_crc32c)
            return _intact(answer.signature, answer.signature_crc32c)

        return self._calls(call)

    def public_key(self, name: str) -> bytes:
        """Return the public key (PEM) of the key version `name`."""
        request = service.GetPublicKeyRequest(name=name)

        def call(seconds: float) -> bytes:
            answer = self._call(self._client.get_public_key, request, seconds)
            _require(answer.name == name)
            return _intact(answer.pem.encode(), answer.pem_crc32c)

        return self._calls(call)

    def enabled_versions(self, key: str) -> Mapping[str, datetime]:
        """Return the enabled versions of `key`, unordered: the creation time (aware UTC) by name."""
        request = service.ListCryptoKeyVersionsRequest(parent=key, filter="state=ENABLED")

        def call(seconds: float) -> dict[str, datetime]:
            pages = self._client.list_crypto_key_versions(request=request, retry=None, timeout=seconds)
            return {version.name: _created_at(version) for version in pages if version.state == _ENABLED}

        return self._calls(call)

    def create_version(self, key: str) -> str:
        """Create a version of `key` and return its name. Not retried, as a retry might create a second version."""
        request = service.CreateCryptoKeyVersionRequest(parent=key, crypto_key_version=resources.CryptoKeyVersion())
        created = self._calls.once(
            lambda seconds: self._client.create_crypto_key_version(request=request, retry=None, timeout=seconds)
        )
        return str(created.name)

    def make_primary(self, key: str, version_id: str) -> None:
        """Make that version the one that `key` encrypts with."""
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
    def _call(method: Any, request: Any, seconds: float) -> Any:  # noqa: ANN401 - any of the client's methods
        """Return the response to a request built only from our own values.

        Such a request is valid, so INVALID_ARGUMENT means that it was corrupted in transit.
        """
        try:
            return method(request=request, retry=None, timeout=seconds)
        except InvalidArgument:
            raise CorruptedResponse from None


def crc32c(data: bytes) -> int:
    """Return the CRC32C (Castagnoli, RFC 3720 §12.1) of `data`."""
    return int(google_crc32c.value(data))


def _intact(data: bytes, checksum: object) -> bytes:
    _require(checksum == crc32c(data))
    return data


def _created_at(version: resources.CryptoKeyVersion) -> datetime:
    # A key pair may be generated some time after its version is created, and is published only then.
    times = (version.generate_time, version.create_time)
    known_times = cast("tuple[datetime | None, ...]", times)  # the stubs have the wire type
    return next((time for time in known_times if time is not None), _LONG_AGO)


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
