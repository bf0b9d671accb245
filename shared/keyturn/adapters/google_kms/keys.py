"""Keys in Cloud KMS: MAC, envelope sealing, and ES256 and RS256 signing with keys that never leave KMS.

1. New secrets use the newest enabled version of the MAC key, which is looked up again after LAG_SECONDS. An older
   version keeps verifying the secrets that name it, until it is disabled.
2. Sealed data may have any size. A fresh AES-256-GCM key seals it in this process, and KMS wraps that key with the same
   associated data. The wrapped key names its own version.
3. The public keys of all enabled versions of the signing key are published, newest first. A new version starts to sign
   when it has been published for PUBLISHED_SECONDS, because by then every verifier has refreshed its cached key set.
   If no older version is enabled, it signs at once.
4. A name that cannot be a version of our own key is refused without calling KMS.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import utc_now
from keyturn.adapters.google_kms.key_versions import CloudKey
from keyturn.adapters.google_kms.retry import KmsRetryPolicy
from keyturn.adapters.signing_keys import public_key_of
from keyturn.ports.keys import KeyRefused, KeyUnavailable
from keyturn.proofs.jwk import COORDINATE_BYTES, ES256, RS256

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from keyturn.adapters.google_kms.rpc import KmsRpc
    from keyturn.proofs.jwk import PublicKey

LAG_SECONDS = 60.0
"""How long a process may still use a list of versions in which a disabled version is enabled or a new one missing."""
PUBLISHED_SECONDS = 600.0
"""Twice the time that verifiers cache a key set (300 s is usual for JWKS libraries, and ours). It covers our lag."""
PURPOSES = ("mac", "seal", "sign", "sign_rs256")
DEFAULT_RETRY_POLICY = KmsRetryPolicy()
TAG_BYTES = 32
SEALED_FORMAT = 2
_KEY_BYTES = 32
_NONCE_BYTES = 12
_HEAD_BYTES = 3
_NOT_OURS = "the sealed bytes do not belong to this key and associated data"


@dataclass(frozen=True, slots=True)
class CloudKeyNames:
    """Resource names (`projects/…/cryptoKeys/…`): an HMAC-SHA-256, a symmetric and two signing keys, EC P-256 and RSA.

    A deployment without RS256 has no RSA key, and an empty name for it.
    """

    mac: str
    seal: str
    sign: str
    sign_rs256: str = ""

    @classmethod
    def of_ring(cls, ring: str) -> CloudKeyNames:
        """Return the names of the keys in `projects/…/keyRings/…`, each named after its purpose."""
        return cls(*(f"{ring}/cryptoKeys/{purpose}" for purpose in PURPOSES))


@dataclass(frozen=True, slots=True)
class CloudKeyVersion:
    """An enabled key version, by its full resource name."""

    name: str


class CloudKeys:
    """All keys of one deployment. `mac`, `sealer` and both signers implement the ports. Connects on first use.

    `emulator_host` (`address:port`) is an emulator, called without TLS and credentials. None means Google.
    """

    def __init__(
        self,
        names: CloudKeyNames,
        random: Callable[[int], bytes],
        *,
        emulator_host: str | None = None,
        retry_policy: KmsRetryPolicy = DEFAULT_RETRY_POLICY,
        lag_seconds: float = LAG_SECONDS,
        published_seconds: float = PUBLISHED_SECONDS,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._emulator_host = emulator_host
        self._retry_policy = retry_policy
        self._keys = {
            purpose: CloudKey(lambda: self.rpc, getattr(names, purpose), retry_policy.clock, lag_seconds)
            for purpose in PURPOSES
        }
        self.mac = CloudMacKey(self._keys["mac"])
        self.sealer = CloudSealer(self._keys["seal"], random)

        def published_by() -> datetime:
            return now() - timedelta(seconds=published_seconds)

        self.signer = CloudSigner(self._keys["sign"], published_by, ES256)
        self.rs256_signer = CloudSigner(self._keys["sign_rs256"], published_by, RS256)

    @functools.cached_property
    def rpc(self) -> KmsRpc:
        """The connection. `KeyUnavailable` without credentials."""
        from keyturn.adapters.google_kms.rpc import KmsRpc  # noqa: PLC0415 - the vendor's client takes half a second

        return KmsRpc(self._emulator_host, self._retry_policy)

    def enabled(self, purpose: str) -> Sequence[CloudKeyVersion]:
        """Return the enabled key versions of a purpose, newest first, without using the cache."""
        key = self._key(purpose)
        if not key.name:
            return []
        key.forget()
        return [CloudKeyVersion(name) for name in key.enabled()]

    def add_version(self, purpose: str) -> str:
        """Add a version for a purpose and return its name. It is the current one from now on.

        Other processes use it after at most LAG_SECONDS. A version of a signing key starts later (rule 3).
        """
        key = self._key(purpose)
        name = self.rpc.create_version(key.name)
        if purpose == "seal":  # only symmetric keys have a primary version, which Encrypt uses
            self.rpc.make_primary(key.name, name.rpartition("/")[2])
        key.forget()
        return name

    def kid_of(self, name: str) -> str:
        """Return the `kid` of an enabled version of a signing key, "" for any other name."""
        return self.signer.kid_of(name) or self.rs256_signer.kid_of(name)

    def disable(self, name: str) -> None:
        """Disable a key version. `KeyRefused` if there is none of that name."""
        for key in self._keys.values():
            if key.has(name):
                self.rpc.disable_version(name)
                key.forget()
                return
        raise KeyRefused("no such key version")

    def _key(self, purpose: str) -> CloudKey:
        if purpose not in self._keys:
            raise ValueError("a purpose is one of mac, seal, sign and sign_rs256")
        return self._keys[purpose]


class CloudMacKey:
    """Implements `keyturn.ports.keys.MacKey`. `mac_key_ref` is the full name of a cryptoKeyVersion."""

    def __init__(self, key: CloudKey) -> None:
        self._key = key

    def current(self) -> str:
        """Return the name of the key version that new secrets use."""
        return self._key.current()

    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        """Return the tag (bytes, 32). `KeyRefused` if the version is unknown or disabled."""
        self._key.require(mac_key_ref)
        try:
            tag = self._key.rpc.mac_sign(mac_key_ref, data)
        except KeyRefused:
            self._key.forget()  # it may have been the current version, and a retry must get the next one
            raise
        if len(tag) != TAG_BYTES:
            raise KeyUnavailable("the key's algorithm is not HMAC-SHA-256")
        return tag

    def verify(self, mac_key_ref: str, data: bytes, tag: bytes) -> bool:
        """Return whether `tag` is right, compared in KMS. `KeyRefused` if the version is unknown or disabled."""
        self._key.require(mac_key_ref)
        # A tag of another length is wrong under any key, and KMS would reject the request as malformed.
        return len(tag) == TAG_BYTES and self._key.rpc.mac_verify(mac_key_ref, data, tag)


class CloudSealer:
    """Implements `keyturn.ports.keys.Sealer`.

    Sealed bytes: format (1 byte), length of the wrapped key (2 bytes), wrapped key, nonce (12 bytes), ciphertext and
    tag. The header, that is everything before the nonce, is authenticated too: it precedes the associated data.
    """

    def __init__(self, key: CloudKey, random: Callable[[int], bytes]) -> None:
        self._key = key
        self._random = random

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return sealed bytes that name their own key version."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - nothing heavy at import time

        data_key, nonce = self._random(_KEY_BYTES), self._random(_NONCE_BYTES)
        try:
            wrapped = self._key.rpc.encrypt(self._key.name, data_key, associated_data)
        except KeyRefused:  # this call names no version, so the key has no usable primary one
            raise KeyUnavailable("the sealing key has no enabled primary version") from None
        head = bytes([SEALED_FORMAT]) + len(wrapped).to_bytes(2, "big") + wrapped
        return head + nonce + AESGCM(data_key).encrypt(nonce, plaintext, head + associated_data)

    def unseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext. `KeyRefused` unless both arguments are exactly those of `seal`."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - nothing heavy at import time
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - the same

        head, rest = _split(sealed)
        data_key = self._key.rpc.decrypt(self._key.name, head[_HEAD_BYTES:], associated_data)
        try:
            return AESGCM(data_key).decrypt(rest[:_NONCE_BYTES], rest[_NONCE_BYTES:], head + associated_data)
        except (InvalidTag, ValueError):
            raise KeyRefused(_NOT_OURS) from None


class CloudSigner:
    """Implements `keyturn.ports.keys.TokenSigner` with ES256 or RS256. A key without a name has no versions."""

    def __init__(self, key: CloudKey, published_by: Callable[[], datetime], algorithm: str) -> None:
        self._key = key
        self._published_by = published_by
        self.algorithm = algorithm
        self._public: dict[str, PublicKey] = {}  # by version name, and a version's public key never changes

    def current(self) -> str:
        """Return the `kid` that signs now."""
        if not self._key.name:
            raise KeyUnavailable("the settings name no RSA signing key")
        for _ in range(2):  # the first version may turn out to be disabled since the versions were listed
            public_key = self._public_key(self._key.current_since(self._published_by()))
            if public_key is not None:
                return public_key.kid
        raise KeyUnavailable("the versions of the signing key are changing")

    def sign(self, kid: str, data: bytes) -> bytes:
        """Return the signature. `KeyRefused` if the key is unknown or disabled."""
        name = self._version_name(kid)
        try:
            signature = self._key.rpc.asymmetric_sign(name, hashlib.sha256(data).digest())
        except KeyRefused:
            self._key.forget()
            raise
        return _raw(signature) if self.algorithm == ES256 else signature

    def public_keys(self) -> Sequence[PublicKey]:
        """Return every enabled key, newest first."""
        keys = [self._public_key(name) for name in self._key.enabled()] if self._key.name else []
        return tuple(key for key in keys if key is not None)

    def kid_of(self, name: str) -> str:
        """Return the `kid` of an enabled version, "" for any other name."""
        is_enabled = self._key.name and self._key.has(name) and name in self._key.enabled()
        public_key = self._public_key(name) if is_enabled else None
        return public_key.kid if public_key is not None else ""

    def _version_name(self, kid: str) -> str:
        for name in self._key.enabled() if self._key.name else ():
            public_key = self._public_key(name)
            if public_key is not None and public_key.kid == kid:
                return name
        raise KeyRefused("the key version is unknown or disabled")

    def _public_key(self, name: str) -> PublicKey | None:
        if name not in self._public:
            try:
                self._public[name] = self._load(self._key.rpc.public_key(name))
            except KeyRefused:  # disabled since the versions were listed
                self._key.forget()
                return None
        return self._public[name]

    def _load(self, pem: bytes) -> PublicKey:
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415 - nothing heavy

        return public_key_of(load_pem_public_key(pem), self.algorithm)


def _split(sealed: bytes) -> tuple[bytes, bytes]:
    """Split sealed bytes into the head with the wrapped key, and the rest. `KeyRefused` without this form."""
    end = _HEAD_BYTES + int.from_bytes(sealed[1:_HEAD_BYTES], "big")
    if sealed[:1] != bytes([SEALED_FORMAT]) or end == _HEAD_BYTES or len(sealed) < end + _NONCE_BYTES:
        raise KeyRefused(_NOT_OURS)
    return sealed[:end], sealed[end:]


def _raw(signature: bytes) -> bytes:
    """Return r and s, 32 bytes each, of a DER signature. RFC 7518 §3.4 wants them without DER."""
    from cryptography.hazmat.primitives.asymmetric import utils  # noqa: PLC0415 - nothing heavy at import time

    try:
        return b"".join(part.to_bytes(COORDINATE_BYTES, "big") for part in utils.decode_dss_signature(signature))
    except (ValueError, OverflowError):
        raise KeyUnavailable("the key's algorithm is not EC P-256") from None
