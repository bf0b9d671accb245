"""`device.json`: whose device this is, and the data key under the passphrase.

A plain checksum tells damage from a wrong passphrase; whoever changes name, key or cost on purpose and mends the
checksum is caught by the seal of the data key, which covers them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.device.home.errors import DamagedError, NewerVersionError, NotAHomeError, WrongPassphraseError
from keyturn.device.home.sealing import SALT_BYTES, ScryptCost, key_from_passphrase, seal, unseal
from keyturn.domain.encodings import base64url_decode, base64url_encode, canonical_json
from keyturn.domain.errors import Refusal
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION = 1
_MARK = "keyturn_device"


@dataclass(frozen=True, slots=True)
class Header:
    """The device's name, its public key (64 hex digits), and what opens its data key."""

    name: str
    public_key: str
    cost: ScryptCost
    salt: bytes = field(repr=False)
    wrapped_key: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the file's content."""
        fields = _sealed_fields(self.name, self.public_key, self.cost, self.salt)
        fields["wrapped_key"] = base64url_encode(self.wrapped_key)
        return canonical_json({**fields, "checksum": _checksum(fields)})

    def data_key(self, passphrase: str) -> bytes:
        """Return the data key (`bytes, 32`); `WrongPassphraseError` if the passphrase does not open it."""
        wrapping_key = key_from_passphrase(passphrase, self.salt, self.cost)
        covered = canonical_json(_sealed_fields(self.name, self.public_key, self.cost, self.salt))
        key = unseal(wrapping_key, self.wrapped_key, covered)
        if key is None:
            raise WrongPassphraseError
        return key


def create_header(
    name: str,
    public_key: str,
    *,
    passphrase: str,
    data_key: bytes,
    cost: ScryptCost,
    random: Callable[[int], bytes],
) -> Header:
    """Return a header that opens `data_key` (`bytes, 32`) with the passphrase."""
    salt = random(SALT_BYTES)
    wrapping_key = key_from_passphrase(passphrase, salt, cost)
    covered = canonical_json(_sealed_fields(name, public_key, cost, salt))
    return Header(name, public_key, cost, salt, seal(wrapping_key, data_key, covered, random))


def parse_header(data: bytes) -> Header:
    """Return the header; `NotAHomeError`, `NewerVersionError` or `DamagedError` if it is none of ours."""
    try:
        fields = load_object(data)
        _check_version(fields.get(_MARK))
        checksum = fields.pop("checksum", None)
        if checksum != _checksum(fields):  # no secret: anyone can compute it
            raise DamagedError
        return _header(fields)
    except (Refusal, ValueError, RecursionError):
        raise DamagedError from None


def _check_version(version: object) -> None:
    if not isinstance(version, int):
        raise NotAHomeError
    if version > VERSION:
        raise NewerVersionError


def _header(fields: Mapping[str, object]) -> Header:
    texts = [str(fields.get(name)) for name in ("name", "public_key", "salt", "wrapped_key")]
    numbers = [fields.get(name) for name in ("scrypt_n", "scrypt_r", "scrypt_p")]
    cost = ScryptCost(*(number if isinstance(number, int) else 0 for number in numbers))
    if not cost.is_sane():
        raise DamagedError
    return Header(texts[0], texts[1], cost, base64url_decode(texts[2]), base64url_decode(texts[3]))


def _sealed_fields(name: str, public_key: str, cost: ScryptCost, salt: bytes) -> dict[str, object]:
    return {
        _MARK: VERSION,
        "name": name,
        "public_key": public_key,
        "scrypt_n": cost.n,
        "scrypt_r": cost.r,
        "scrypt_p": cost.p,
        "salt": base64url_encode(salt),
    }


def _checksum(fields: Mapping[str, object]) -> str:
    return hashlib.sha256(canonical_json(dict(fields))).hexdigest()
