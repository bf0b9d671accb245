"""Forms of a secret: the plain one, and one that secret scanners recognise (docs/secret-format.md).

    plain       <43 characters>                                          base64url of 32 random bytes
    scannable   keyturn_<hint, 8>_<43 characters><checksum, 6>           66 characters

The hint is the end of the version's id, so that a sighted value says which version it is. The checksum is base64url of
the CRC-32 of all that stands before it: a scanner tells a secret from what only looks like one without asking anybody.
Neither takes from the 256 random bits. What is hashed, sent and presented is always the whole value.
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
"""What a scanner looks for; the two classes of few characters are where unused bits are zero."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]{43}\Z")
_SCANNABLE = re.compile(rf"{PATTERN}\Z")
_SIGHTED = re.compile(rf"(?<![A-Za-z0-9_-])(?:{PATTERN}|[A-Za-z0-9_-]{{43}})(?![A-Za-z0-9_-])")


def scannable_secret(randomness: bytes, version_id: str) -> str:
    """Return the scannable secret of a version, of `randomness` (`bytes, 32` from the operating system's CSPRNG)."""
    body = f"{PREFIX}{version_hint(version_id)}_{new_secret(randomness)}"
    return body + _checksum(body)


def version_hint(version_id: str) -> str:
    """Return what a scannable secret says of its version: the last 40 of the 80 random bits of the version's id."""
    return version_id[-HINT_LENGTH:]


def well_formed(secret: str) -> bool:
    """Return whether a presented value could be a secret that was born here: its length and alphabet, in either form.

    The checksum is not looked at: it is for scanners, and a verifier finds out anyway.
    """
    return (_PLAIN if len(secret) < SCANNABLE_LENGTH else _SCANNABLE).match(secret) is not None


def hint_of(secret: str) -> str | None:
    """Return the hint of a value in the scannable form, None for any other."""
    found = len(secret) == SCANNABLE_LENGTH and _SCANNABLE.match(secret)
    return secret[len(PREFIX) : len(PREFIX) + HINT_LENGTH] if found else None


def checksum_holds(secret: str) -> bool:
    """Return whether the checksum of a value in the scannable form is right."""
    return _checksum(secret[:-CHECKSUM_LENGTH]) == secret[-CHECKSUM_LENGTH:]


def sighted_in(text: str) -> list[str]:
    """Return everything in a text that has the form of a secret, standing by itself, in order."""
    return _SIGHTED.findall(text)


def _checksum(body: str) -> str:
    return base64url_encode(binascii.crc32(body.encode("ascii")).to_bytes(4, "big"))
