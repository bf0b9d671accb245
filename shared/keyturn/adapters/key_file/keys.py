"""Keys of one machine: MAC, sealing and signing (ES256, RS256) with keys from a private file, in place of Cloud KMS.

Every purpose has its own key versions, named `local/<purpose>/<number>`. The newest enabled version signs and seals.
Every enabled version verifies and unseals. A disabled version is not used until it is enabled in the file.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace
from typing import TYPE_CHECKING

from keyturn.adapters.key_file.file import (
    FIRST_PURPOSES,
    P256_ORDER,
    PURPOSES,
    RSA_PURPOSE,
    SECRET_BYTES,
    KeyFile,
    LocalKey,
)
from keyturn.adapters.key_file.private_keys import SigningKey, new_rsa_key, signing_key
from keyturn.ports.keys import KeyRefused, KeyUnavailable
from keyturn.proofs.jwk import ES256, RS256

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from keyturn.proofs.jwk import PublicKey

SIGNING_PURPOSES = ("sign", RSA_PURPOSE)
SEALED_FORMAT = 1
NONCE_BYTES = 12
_NOT_OURS = "the sealed bytes do not belong to this key and associated data"


class LocalKeys:
    """All keys of one file. `mac`, `sealer` and the signers implement the ports. `random(n)` returns n random bytes."""

    def __init__(self, file: KeyFile, random: Callable[[int], bytes]) -> None:
        self._file = file
        self._random = random
        self._sorted: tuple[Sequence[LocalKey], Mapping[str, Sequence[LocalKey]]] = ((), {})
        self.mac = LocalMacKey(self)
        self.sealer = LocalSealer(self, random)
        self.signer = LocalSigner(self, "sign", ES256)
        self.rs256_signer = LocalSigner(self, RSA_PURPOSE, RS256)

    @classmethod
    def open_or_create(cls, path: Path, random: Callable[[int], bytes]) -> LocalKeys:
        """Open the key file at `path`. If it does not exist, create it with one key per purpose.

        `KeyUnavailable` if the file is refused.
        """
        file = KeyFile(path)
        file.create(lambda: [_new_key(purpose, 1, random) for purpose in FIRST_PURPOSES])
        file.read()
        return cls(file, random)

    def add_version(self, purpose: str) -> str:
        """Add a version for a purpose and return its name. It is the current one from now on."""
        if purpose not in PURPOSES:
            raise ValueError("a purpose is one of mac, seal, sign and sign_rs256")
        new_keys: list[LocalKey] = []

        def edit(keys: Sequence[LocalKey]) -> Sequence[LocalKey]:
            number = 1 + max((_number(key) for key in keys if key.purpose == purpose), default=0)
            new_keys.append(_new_key(purpose, number, self._random))
            return [*keys, *new_keys]

        self._file.change(edit)
        return new_keys[0].name

    def disable(self, name: str) -> None:
        """Disable a key version. `KeyRefused` if there is none of that name."""

        def edit(keys: Sequence[LocalKey]) -> Sequence[LocalKey]:
            if all(key.name != name for key in keys):
                raise KeyRefused("no such key version")
            return [replace(key, enabled=key.enabled and key.name != name) for key in keys]

        self._file.change(edit)

    def enabled(self, purpose: str) -> Sequence[LocalKey]:
        """Return the enabled key versions of a purpose, newest first."""
        keys = self._file.read()
        cached_keys, by_purpose = self._sorted
        if keys is not cached_keys:  # the file returns the same object until it changes
            enabled = sorted((key for key in keys if key.enabled), key=_number, reverse=True)
            by_purpose = {name: tuple(key for key in enabled if key.purpose == name) for name in PURPOSES}
            self._sorted = (keys, by_purpose)
        return by_purpose.get(purpose, ())

    def kid_of(self, name: str) -> str:
        """Return the `kid` of an enabled version of a signing key, "" for any other name."""
        purpose = name.split("/")[1] if name.count("/") else ""
        signing_keys = self.enabled(purpose) if purpose in SIGNING_PURPOSES else ()
        return next((signing_key(key).public.kid for key in signing_keys if key.name == name), "")

    def create_missing(self, purpose: str) -> None:
        """Add the first version of a purpose, unless there is one. A disabled one counts, too."""

        def edit(keys: Sequence[LocalKey]) -> Sequence[LocalKey]:
            exists = any(key.purpose == purpose for key in keys)
            return keys if exists else [*keys, _new_key(purpose, 1, self._random)]

        self._file.change(edit)

    def current(self, purpose: str) -> LocalKey:
        """Return the newest enabled key version. `KeyUnavailable` if all are disabled."""
        for key in self.enabled(purpose):
            return key
        raise KeyUnavailable("every key version of this purpose is disabled")

    def find(self, purpose: str, name: str) -> LocalKey:
        """Return the enabled key version of that name. `KeyRefused` if it is unknown or disabled."""
        for key in self.enabled(purpose):
            if key.name == name:
                return key
        raise KeyRefused("the key version is unknown or disabled")


class LocalMacKey:
    """Implements `keyturn.ports.keys.MacKey` with HMAC-SHA-256."""

    def __init__(self, keys: LocalKeys) -> None:
        self._keys = keys

    def current(self) -> str:
        """Return the name of the key version that new secrets use."""
        return self._keys.current("mac").name

    def sign(self, mac_key_ref: str, data: bytes) -> bytes:
        """Return the tag (bytes, 32). `KeyRefused` if the version is unknown or disabled."""
        return hmac.digest(self._keys.find("mac", mac_key_ref).secret, data, hashlib.sha256)

    def verify(self, mac_key_ref: str, data: bytes, tag: bytes) -> bool:
        """Return whether `tag` is right, compared in constant time. `KeyRefused` as in `sign`."""
        return hmac.compare_digest(self.sign(mac_key_ref, data), tag)


class LocalSealer:
    """Implements `keyturn.ports.keys.Sealer` with AES-256-GCM.

    Sealed bytes: format (1 byte), length of the key's name (1 byte), name, nonce (12 bytes), ciphertext and tag. The
    header, that is everything before the nonce, is authenticated too: it precedes the associated data.
    """

    def __init__(self, keys: LocalKeys, random: Callable[[int], bytes]) -> None:
        self._keys = keys
        self._random = random

    def seal(self, plaintext: bytes, associated_data: bytes) -> bytes:
        """Return sealed bytes that name their own key version."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - nothing heavy at import time

        key = self._keys.current("seal")
        header = bytes([SEALED_FORMAT, len(key.name)]) + key.name.encode()
        nonce = self._random(NONCE_BYTES)
        return header + nonce + AESGCM(key.secret).encrypt(nonce, plaintext, header + associated_data)

    def unseal(self, sealed: bytes, associated_data: bytes) -> bytes:
        """Return the plaintext. `KeyRefused` unless both arguments are exactly those of `seal`."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - nothing heavy at import time
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - the same

        header, name, rest = _split(sealed)
        key = self._keys.find("seal", name)
        try:
            return AESGCM(key.secret).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], header + associated_data)
        except (InvalidTag, ValueError) as error:
            raise KeyRefused(_NOT_OURS) from error


class LocalSigner:
    """Implements `keyturn.ports.keys.TokenSigner` with ES256 or RS256. The first RSA key is made when it is needed."""

    def __init__(self, keys: LocalKeys, purpose: str, algorithm: str) -> None:
        self._keys = keys
        self._purpose = purpose
        self.algorithm = algorithm

    def current(self) -> str:
        """Return the `kid` that signs now."""
        if self._purpose == RSA_PURPOSE and not self._keys.enabled(RSA_PURPOSE):
            self._keys.create_missing(RSA_PURPOSE)
        return signing_key(self._keys.current(self._purpose)).public.kid

    def sign(self, kid: str, data: bytes) -> bytes:
        """Return the signature. `KeyRefused` if the key is unknown or disabled."""
        for key in self._signing_keys():
            if key.public.kid == kid:
                return key.sign(data)
        raise KeyRefused("the key version is unknown or disabled")

    def public_keys(self) -> Sequence[PublicKey]:
        """Return every enabled key, newest first."""
        return tuple(key.public for key in self._signing_keys())

    def _signing_keys(self) -> Iterator[SigningKey]:
        return map(signing_key, self._keys.enabled(self._purpose))


def _number(key: LocalKey) -> int:
    return int(key.name.rpartition("/")[2])


def _new_key(purpose: str, number: int, random: Callable[[int], bytes]) -> LocalKey:
    return LocalKey(f"local/{purpose}/{number}", purpose, enabled=True, secret=_secret(purpose, random))


def _secret(purpose: str, random: Callable[[int], bytes]) -> bytes:
    if purpose == RSA_PURPOSE:
        return new_rsa_key()
    if purpose != "sign":
        return random(SECRET_BYTES)
    # FIPS 186-5 A.2.1: 64 more bits than the order has make the scalar's bias negligible.
    scalar = 1 + int.from_bytes(random(SECRET_BYTES + 8), "big") % (P256_ORDER - 1)
    return scalar.to_bytes(SECRET_BYTES, "big")


def _split(sealed: bytes) -> tuple[bytes, str, bytes]:
    """Split sealed bytes into header, key name and the rest. `KeyRefused` if they do not have this form."""
    end = 2 + sealed[1] if len(sealed) > 1 else 0
    name = sealed[2:end]
    # The lengths are not authenticated yet. AES-GCM checks them with the header, so only slicing must be safe here.
    if sealed[:1] != bytes([SEALED_FORMAT]) or len(sealed) < end + NONCE_BYTES or not name.isascii():
        raise KeyRefused(_NOT_OURS)
    return sealed[:end], name.decode("ascii"), sealed[end:]
