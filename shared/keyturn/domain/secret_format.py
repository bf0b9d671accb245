"""Forms of a secret: the plain one, and one that secret scanners recognise (docs/secret-format.md).

    plain       <43 characters>                                          base64url of 32 random bytes
    scannable   keyturn_<hint, 8>_<43 characters><checksum, 6>           66 characters

The hint is the end of the version's id, so that a leaked value names its version. The checksum is base64url of the
CRC-32 of everything before it, so that a scanner can recognise a secret offline. Neither uses any of the 256 random
bits. The whole value is the secret: it is hashed, sent and presented as it is.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from keyturn.domain.encodings import base64url_encode, new_secret

PREFIX: Final = "keyturn_"
HINT_LENGTH: Final = 8
CHECKSUM_LENGTH: Final = 6
SCANNABLE_LENGTH: Final = 66
PATTERN: Final = r"keyturn_[0-9A-HJKMNP-TV-Z]{8}_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048][A-Za-z0-9_-]{5}[AQgw]"
"""The pattern for scanners. The two short character classes are those in which unused bits must be zero."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_SCANNABLE = re.compile(rf"{PATTERN}\Z")
# Only whole words: a longer base64url text contains many 43-character parts that are no secrets.
_CANDIDATE = re.compile(rf"(?<![A-Za-z0-9_-])(?:{PATTERN}|[A-Za-z0-9_-]{{43}})(?![A-Za-z0-9_-])")

_ANYWHERE = re.compile(PATTERN)


def scannable_secret(randomness: bytes, version_id: str) -> str:
    """Return the scannable secret of a version, of `randomness` (`bytes, 32` from the operating system's CSPRNG)."""
    body = f"{PREFIX}{version_hint(version_id)}_{new_secret(randomness)}"
    return body + _checksum(body)


def version_hint(version_id: str) -> str:
    """Return a version's hint in its scannable secret: the last 40 of the 80 random bits of the version's id."""
    return version_id[-HINT_LENGTH:]


def well_formed(secret: str) -> bool:
    """Return whether a presented value can be a secret that this package generated, by its length and alphabet.

    The checksum is not checked: it is for scanners, and a verifier compares the whole value.
    """
    # The forms differ in length, so one pattern is enough for each value.
    return (_PLAIN if len(secret) < SCANNABLE_LENGTH else _SCANNABLE).match(secret) is not None


def hint_of(secret: str) -> str | None:
    """Return the hint of a value in the scannable form, or None for any other value."""
    scannable = len(secret) == SCANNABLE_LENGTH and _SCANNABLE.match(secret)
    return secret[len(PREFIX) : len(PREFIX) + HINT_LENGTH] if scannable else None


def checksum_holds(secret: str) -> bool:
    """Return whether the checksum of a value in the scannable form is right."""
    return _checksum(secret[:-CHECKSUM_LENGTH]) == secret[-CHECKSUM_LENGTH:]


def secrets_in(text: str) -> list[str]:
    """Return all words of a text that have the form of a secret, in order."""
    return _CANDIDATE.findall(text)


def contains_secret(text: str) -> bool:
    """Return whether a text contains a word in the form of a secret, or the scannable form anywhere in a word."""
    return bool(secrets_in(text)) or _ANYWHERE.search(text) is not None


def _checksum(body: str) -> str:
    return base64url_encode(binascii.crc32(body.encode("ascii")).to_bytes(4, "big"))
