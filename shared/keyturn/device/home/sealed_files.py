"""The formats of a home's files, and the cryptography that seals them.

    device.json       HomeHeader: name, public key, scrypt cost, and the data key sealed under the passphrase
    state.sealed      HomeState: all secrets of the device, sealed under the data key
    *.counter         RollbackCounter: how often the state has changed, outside of the home, with a MAC

scrypt (RFC 7914) makes guessing the passphrase cost memory. AES-256-GCM (NIST SP 800-38D) binds each sealed text to
associated data that names its purpose. Nonces are random and 96 bits long, which is safe for 2**32 messages per key: a
device writes far fewer.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keyturn.device.home.errors import DamagedError, NewerVersionError, NotAHomeError, WrongPassphraseError
from keyturn.domain.encodings import base64url_decode, base64url_encode, canonical_json, length_prefixed
from keyturn.domain.errors import Refusal
from keyturn.private_files import PRIVATE_FOLDER, replace_private
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

KEY_BYTES = 32
VERSION = 1
_NONCE_BYTES = 12
_SALT_BYTES = 16


# --- sealing ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """RFC 7914 §2: `n` rounds (a power of two), block size `r`, parallelisation `p`. It uses 128·n·r bytes."""

    n: int = 2**15
    r: int = 8
    p: int = 1

    def is_sane(self) -> bool:
        """Return whether a file may demand this cost: a changed file must not exhaust the machine's memory."""
        # At most 2 GiB of memory.
        power_of_two = self.n & (self.n - 1) == 0
        return 1 < self.n <= 2**20 and power_of_two and 1 <= self.r <= 16 and 1 <= self.p <= 16  # noqa: PLR2004 - limits


DEFAULT_COST = ScryptCost()


def composed(passphrase: str) -> str:
    """Return a passphrase in Unicode's composed form: keyboards differ in how they write an accent (RFC 8265 §4.2)."""
    return unicodedata.normalize("NFC", passphrase)


def key_from_passphrase(passphrase: str, salt: bytes, cost: ScryptCost) -> bytes:
    """Return the key (`bytes, 32`) that seals the data key. `passphrase` is in one Unicode form."""
    kdf = Scrypt(salt=salt, length=KEY_BYTES, n=cost.n, r=cost.r, p=cost.p)
    # A terminal may pass bytes that are not UTF-8 as surrogates. They are part of the passphrase, and never an error:
    # an encoding error would carry the passphrase in its text.
    return kdf.derive(passphrase.encode("utf-8", "surrogatepass"))


def seal(key: bytes, plaintext: bytes, associated_data: bytes, random: Callable[[int], bytes]) -> bytes:
    """Return nonce and ciphertext; `key` is `bytes, 32`."""
    nonce = random(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, associated_data)


def unseal(key: bytes, sealed: bytes, associated_data: bytes) -> bytes | None:
    """Return the plaintext, or None unless key, text and associated data are exactly those of `seal`."""
    if len(sealed) < _NONCE_BYTES:
        return None
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], associated_data)
    except InvalidTag:
        return None


# --- device.json -----------------------------------------------------------------------------------------------------

_MARK = "keyturn_device"


@dataclass(frozen=True, slots=True)
class HomeHeader:
    """The device's name, its public key (64 hex digits), and the data key sealed under the passphrase.

    An unkeyed checksum distinguishes damage from a wrong passphrase. It is no protection: an attacker can recompute
    it. The seal of the data key covers name, public key and cost, and detects a deliberate change.
    """

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
        associated_data = canonical_json(_sealed_fields(self.name, self.public_key, self.cost, self.salt))
        # A home from before passphrases were composed may have the decomposed form of some keyboards.
        for form in dict.fromkeys((composed(passphrase), passphrase, unicodedata.normalize("NFD", passphrase))):
            wrapping_key = key_from_passphrase(form, self.salt, self.cost)
            if (key := unseal(wrapping_key, self.wrapped_key, associated_data)) is not None:
                return key
        raise WrongPassphraseError


def create_header(
    name: str,
    public_key: str,
    *,
    passphrase: str,
    data_key: bytes,
    cost: ScryptCost,
    random: Callable[[int], bytes],
) -> HomeHeader:
    """Return a header in which the passphrase opens `data_key` (`bytes, 32`)."""
    salt = random(_SALT_BYTES)
    wrapping_key = key_from_passphrase(composed(passphrase), salt, cost)
    associated_data = canonical_json(_sealed_fields(name, public_key, cost, salt))
    return HomeHeader(name, public_key, cost, salt, seal(wrapping_key, data_key, associated_data, random))


def parse_header(data: bytes) -> HomeHeader:
    """Return the header; `NotAHomeError`, `NewerVersionError` or `DamagedError` for any other data."""
    try:
        fields = load_object(data)
        _check_version(fields.get(_MARK))
        checksum = fields.pop("checksum", None)
        if checksum != _checksum(fields):  # not a secret: no constant time needed
            raise DamagedError
        return _header(fields)
    except (Refusal, ValueError, RecursionError):
        raise DamagedError from None


def _check_version(version: object) -> None:
    if not isinstance(version, int):
        raise NotAHomeError
    if version > VERSION:
        raise NewerVersionError


def _header(fields: Mapping[str, object]) -> HomeHeader:
    texts = [str(fields.get(name)) for name in ("name", "public_key", "salt", "wrapped_key")]
    numbers = [fields.get(name) for name in ("scrypt_n", "scrypt_r", "scrypt_p")]
    cost = ScryptCost(*(number if isinstance(number, int) else 0 for number in numbers))
    if not cost.is_sane():
        raise DamagedError
    return HomeHeader(texts[0], texts[1], cost, base64url_decode(texts[2]), base64url_decode(texts[3]))


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


# --- state.sealed ----------------------------------------------------------------------------------------------------

_MAGIC = b"keyturn-state"

RecordKey = tuple[str, str]
"""Kind and id of a record, such as ("group", "admins")."""


@dataclass(frozen=True, slots=True)
class HomeState:
    """The device's private key (`bytes, 32`), its records, and how often they have changed.

    All of it is one sealed file. A group's state, the position in its log and a notice that was just decrypted change
    together: decryption deletes the message key, so a crash between two files would lose the notice.
    """

    counter: int
    private_key: bytes = field(repr=False)
    records: Mapping[RecordKey, bytes] = field(repr=False)

    def with_changes(self, changes: Mapping[RecordKey, bytes | None]) -> HomeState:
        """Return the next state: each record is set, or deleted if its value is None."""
        merged = {**self.records, **changes}
        records = {key: value for key, value in merged.items() if value is not None}
        return HomeState(self.counter + 1, self.private_key, records)


def seal_state(state: HomeState, data_key: bytes, public_key: str, random: Callable[[int], bytes]) -> bytes:
    """Return the file's content, bound to its purpose, its version and the device's public key."""
    return _MAGIC + bytes([VERSION]) + seal(data_key, _encode(state), _associated_data(public_key), random)


def open_state(data: bytes, data_key: bytes, public_key: str) -> HomeState:
    """Return the state; `NewerVersionError` or `DamagedError` for any other data."""
    magic, version, sealed = data[: len(_MAGIC)], data[len(_MAGIC) : len(_MAGIC) + 1], data[len(_MAGIC) + 1 :]
    if magic != _MAGIC or not version:
        raise DamagedError
    if version[0] > VERSION:
        raise NewerVersionError
    plaintext = unseal(data_key, sealed, _associated_data(public_key)) if version[0] == VERSION else None
    if plaintext is None:
        raise DamagedError
    return _decode(plaintext)


def _associated_data(public_key: str) -> bytes:
    return length_prefixed("keyturn/device-state", str(VERSION), public_key)


def _encode(state: HomeState) -> bytes:
    rows = [[kind, name, base64url_encode(value)] for (kind, name), value in sorted(state.records.items())]
    key = base64url_encode(state.private_key)
    fields = {"counter": state.counter, "private_key": key, "records": rows}
    # JSON escapes all but ASCII. So no id can make the encoder fail, and no error can carry the secrets.
    return json.dumps(fields).encode("ascii")


def _decode(plaintext: bytes) -> HomeState:
    try:
        fields = load_object(plaintext)
        counter, key, rows = fields["counter"], fields["private_key"], fields["records"]
        if not isinstance(counter, int) or not isinstance(key, str) or not isinstance(rows, list):
            raise DamagedError
        records = {(kind, name): base64url_decode(value) for kind, name, value in rows}
        return HomeState(counter, base64url_decode(key), records)
    except (Refusal, KeyError, TypeError, ValueError, AttributeError):
        raise DamagedError from None


# --- the rollback counter --------------------------------------------------------------------------------------------

_COUNTER_LABEL = "keyturn/device-counter/v1"
_SHOWN_DIGITS = 16


class RollbackCounter:
    """A copy of the state's counter in the user's state folder, outside of the home.

    A backup of the home does not contain it. So when an older copy of the home is restored, its counter is lower than
    this one. The MAC is under a key that only the opened home has. A missing or forged file counts as 0. An attacker
    that can write the file can suppress this warning, or make the device come back with new keys, and nothing else.

    `public_key` is 64 hex digits, `data_key` the home's (`bytes, 32`).
    """

    def __init__(self, folder: Path, public_key: str, data_key: bytes) -> None:
        self._path = folder / f"device-{public_key[:_SHOWN_DIGITS]}.counter"
        self._public_key = public_key
        # One key for one purpose: the data key itself only seals.
        self._key = HKDF(SHA256(), KEY_BYTES, salt=None, info=_COUNTER_LABEL.encode("ascii")).derive(data_key)

    def read(self) -> int:
        """Return the counter that was saved last, 0 if there is none; `OSError` if it can't be read."""
        try:
            line = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        digits, _, tag = line.decode("ascii", "replace").strip().partition(" ")
        is_genuine = hmac.compare_digest(tag.encode(), self._tag(digits).encode())
        return int(digits) if is_genuine else 0

    def save(self, counter: int) -> None:
        """Save a counter; `OSError` if that fails."""
        self._path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        replace_private(self._path, f"{counter} {self._tag(str(counter))}\n".encode("ascii"))

    def _tag(self, digits: str) -> str:
        message = length_prefixed(_COUNTER_LABEL, self._public_key, digits)
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()
