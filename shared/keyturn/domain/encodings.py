"""Encodings and identifiers, exact to the byte (docs/protocol.md §2)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.domain.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRET_BYTES = 32
SECRET_LENGTH = 43
"""Characters of a secret: base64url of 32 bytes."""
ULID_RANDOM_BYTES = 10
DUE_SHARDS = 16
"""Into how many shards clients are hashed: an index never begins with a value that only rises."""

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,127}\Z")
_NPUB = re.compile(r"[0-9a-f]{64}\Z")
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_quoted = json.encoder.encode_basestring_ascii
_MAX_SAFE_INTEGER = 2**53 - 1
_MAX_MILLISECONDS = 253_402_300_799_999  # the last of the year 9999, where datetime ends


def base64url_encode(data: bytes) -> str:
    """Return unpadded base64url (RFC 4648 §5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str) -> bytes:
    """Return the bytes of unpadded, canonical base64url. Raises `InvalidRequest` on anything else."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        data = b""
    # Python's decoder is lenient. Comparing the re-encoded bytes refuses padding and set trailing bits as well, so that
    # no two texts stand for the same bytes.
    if base64url_encode(data) != text:
        raise InvalidRequest("not_base64url", "A value is not unpadded, canonical base64url.")
    return data


def length_prefixed(*fields: str) -> bytes:
    """Return LP(fields): each field's UTF-8 length as 32-bit unsigned big-endian, then its UTF-8 bytes.

    Raises `InvalidRequest` for a lone surrogate, which JSON can contain and UTF-8 cannot.
    """
    encoded = [_utf8(field) for field in fields]
    return b"".join(len(data).to_bytes(4, "big") + data for data in encoded)


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidRequest("not_unicode", "A text is not valid Unicode: it has half of a surrogate pair.") from None


def canonical_input(client_id: str, version_id: str, secret: str) -> bytes:
    """Return the MAC's input: LP(client_id, version_id, secret)."""
    return length_prefixed(client_id, version_id, secret)


def canonical_json(value: object) -> bytes:
    """Return RFC 8785 canonical JSON of strings, integers, booleans, nulls, lists and objects (no floats).

    Raises `InvalidRequest` for other numbers, for lone surrogates (RFC 8785 §3.2.2.2) and for very deep nesting.
    """
    try:
        return _utf8(json.dumps(_ordered(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False))
    except RecursionError:
        raise InvalidRequest("not_canonical", "A value is nested too deeply.") from None


def flat_json(fields: Mapping[str, object]) -> str | None:
    """Return an object of texts and integers as JSON, or None if it has anything else.

    It is faster for small objects than `json.dumps`, which sets up an encoder for each call.
    """
    members = []
    for name, value in fields.items():
        if type(value) is str:
            members.append(f"{_quoted(name)}:{_quoted(value)}")
        elif type(value) is int:
            members.append(f"{_quoted(name)}:{value}")
        else:
            return None
    return "{" + ",".join(members) + "}"


def _ordered(value: object) -> object:
    if isinstance(value, dict):
        # RFC 8785 §3.2.3 sorts by UTF-16 code units. A lone surrogate passes here and is refused in `_utf8`.
        by_utf16 = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
        return {key: _ordered(value[key]) for key in by_utf16}
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    if isinstance(value, float) or (isinstance(value, int) and abs(value) > _MAX_SAFE_INTEGER):
        raise InvalidRequest("not_canonical", "A number is not an integer of at most 53 bits.")
    return value


def digest(value: Mapping[str, object]) -> str:
    """Return the base64url SHA-256 of an object's canonical JSON."""
    return base64url_encode(hashlib.sha256(canonical_json(value)).digest())


def milliseconds(span: timedelta) -> int:
    """Return whole milliseconds, rounded down."""
    return span // timedelta(milliseconds=1)


def to_milliseconds(moment: datetime) -> int:
    """Return integer Unix milliseconds, rounded down."""
    return milliseconds(moment - _EPOCH)


def from_milliseconds(milliseconds: int) -> datetime:
    """Return the aware UTC datetime. Raises `InvalidRequest` outside 1970 to 9999."""
    if not 0 <= milliseconds <= _MAX_MILLISECONDS:
        raise InvalidRequest("time_out_of_range", "A time is out of range.")
    return _EPOCH + timedelta(milliseconds=milliseconds)


def identifier(text: str) -> str:
    """Return a client, group or user id unchanged. Raises `InvalidRequest` if it is malformed."""
    if not _IDENTIFIER.match(text):
        raise InvalidRequest("bad_identifier", "Invalid id: 1 to 128 of A-Z a-z 0-9 . _ ~ -, first a letter or digit.")
    return text


def npub_identifier(text: str) -> str:
    """Return a Nostr public key (64 lower-case hex digits) unchanged. Raises `InvalidRequest` if it is malformed."""
    if not _NPUB.match(text):
        raise InvalidRequest("bad_npub", "A key is 64 lower-case hex digits.")
    return text


def rotation_identifier(text: str) -> str:
    """Return a rotation id unchanged. Raises `InvalidRequest` unless it is an upper-case ULID or a lower-case UUID."""
    if not (_ULID.match(text) or _UUID.match(text)):
        raise InvalidRequest("bad_rotation_id", "A rotation id is an upper-case ULID or a lower-case UUID.")
    return text


def version_identifier(text: str) -> str:
    """Return a version id unchanged. Raises `InvalidRequest` unless it is an upper-case ULID."""
    if not _ULID.match(text):
        raise InvalidRequest("bad_version_id", "A version id is an upper-case ULID.")
    return text


def ulid(now: datetime, randomness: bytes) -> str:
    """Return a ULID: 48 bits of milliseconds and 80 bits of `randomness` (`bytes, 10` or more)."""
    if len(randomness) < ULID_RANDOM_BYTES:
        raise ValueError("a ULID takes 10 random bytes")
    return crockford(to_milliseconds(now) << 80 | int.from_bytes(randomness[:ULID_RANDOM_BYTES], "big"))


def crockford(number: int) -> str:
    """Return a number below 2^128 in Crockford's base32: 26 upper-case characters."""
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def new_secret(randomness: bytes) -> str:
    """Return a secret (`bytes, 32` from the operating system's CSPRNG): 43 base64url characters."""
    if len(randomness) != SECRET_BYTES:
        raise ValueError("a secret is made of 32 random bytes")
    return base64url_encode(randomness)


def invite_id(code: str) -> str:
    """Return an invite's id: SHA-256 of its code, lower-case hex. It does not reveal the code (128 random bits)."""
    return hashlib.sha256(code.encode("utf-8")).hexdigest()


def due_shard(client_id: str) -> int:
    """Return the sweep shard of a client, 0 to 15: the first byte of SHA-256(client_id) mod DUE_SHARDS."""
    return hashlib.sha256(client_id.encode("utf-8")).digest()[0] % DUE_SHARDS
