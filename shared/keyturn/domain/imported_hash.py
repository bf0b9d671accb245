"""Hashes of other systems in one form: the forms of common frameworks in, what is stored and checked out.

    bcrypt      $2b$12$…                                         also after {bcrypt}, bcrypt$, {CRYPT} and the like
    PBKDF2      $pbkdf2-sha256$600000$<salt>$<hash>              also Django, Werkzeug, Passlib and Spring Security
    Argon2id    $argon2id$v=19$m=65536,t=3,p=4$<salt>$<hash>     also after {argon2}, argon2 and the like

Costs are bounded, because each check of such a client's secret costs that much.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import base64url_encode
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.imported_secret import ARGON2ID, BCRYPT, PBKDF2, is_bcrypt_hash

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_ITERATIONS: Final = 2_000_000
MOST_MEMORY_KIB: Final = 128 * 1024
MOST_WORK_KIB: Final = 512 * 1024
"""Memory times passes: about a second."""
_MOST_LANES: Final = 16
_SALT_BYTES: Final = range(1, 65)
_HASH_BYTES: Final = range(16, 65)

# Prefixes that only name the algorithm: Spring Security, LDAP and Dovecot in braces, Django before a dollar sign.
_PREFIX = re.compile(
    r"(?:\{(?:bcrypt|crypt|blf-crypt|argon2(?:@springsecurity_v5_8)?|argon2id|pbkdf2(?:-sha\d+)?)\}"
    r"|bcrypt\$(?=\$2)|argon2(?=\$argon2id\$))",
    re.IGNORECASE,
)
_DJANGO = re.compile(r"pbkdf2_(sha1|sha256)\$(\d{1,9})\$([^$]+)\$([A-Za-z0-9+/=]+)\Z")
_WERKZEUG = re.compile(r"pbkdf2:(sha1|sha256|sha512):(\d{1,9})\$([^$]+)\$([0-9a-f]+)\Z")
_PASSLIB = re.compile(r"\$pbkdf2(?:-(sha256|sha512))?\$(\d{1,9})\$([A-Za-z0-9./]+)\$([A-Za-z0-9./]+)\Z")
_STORED = re.compile(r"\$pbkdf2-(sha1|sha256|sha512)\$(\d{1,9})\$([A-Za-z0-9_-]+)\$([A-Za-z0-9_-]+)\Z")
_SPRING = re.compile(r"\{pbkdf2(@springsecurity_v5_8)?\}([0-9a-f]{80}|[0-9a-f]{96})\Z", re.IGNORECASE)
_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,4}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)\Z", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Pbkdf2Hash:
    """A PBKDF2 hash (RFC 8018 §5.2): hash function (`sha1`, `sha256`, `sha512`), iterations, salt and hash."""

    function: str
    iterations: int
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    def is_bounded(self) -> bool:
        """Return whether its lengths and its cost are supported."""
        lengths_fit = len(self.salt) in _SALT_BYTES and len(self.digest) in _HASH_BYTES
        return lengths_fit and 0 < self.iterations <= MOST_ITERATIONS

    def text(self) -> str:
        """Return the form that is stored."""
        salt, digest = base64url_encode(self.salt), base64url_encode(self.digest)
        return f"$pbkdf2-{self.function}${self.iterations}${salt}${digest}"


def stored_hash(text: str) -> tuple[str, str]:
    """Return the `algo` and the stored form of a hash. Raises `InvalidRequest` unless form and cost are supported."""
    bare = _PREFIX.sub("", text, count=1)
    if is_bcrypt_hash(bare):
        return BCRYPT, bare
    if _is_argon2id_hash(bare):
        return ARGON2ID, bare
    for candidate in (text, bare):
        parsed = _pbkdf2_of(candidate)
        if parsed is not None and parsed.is_bounded():
            return PBKDF2, parsed.text()
    raise InvalidRequest("bad_hash", "This is no bcrypt, PBKDF2 or Argon2id hash of a supported form and cost.")


def is_stored_hash(algo: str, text: str) -> bool:
    """Return whether a text is a stored hash of this `algo`."""
    try:
        return stored_hash(text) == (algo, text)
    except InvalidRequest:
        return False


def parse_pbkdf2(text: str) -> Pbkdf2Hash | None:
    """Return a PBKDF2 hash in its stored form, None for any other text."""
    return _parsed(_STORED, text, _base64url)


def _pbkdf2_of(text: str) -> Pbkdf2Hash | None:
    if spring := _SPRING.match(text):
        return _spring(bytes.fromhex(spring[2]), is_current=spring[1] is not None)
    return (
        parse_pbkdf2(text)
        or _parsed(_PASSLIB, text, _adapted_base64)
        or _parsed(_DJANGO, text, str.encode, base64.b64decode)
        or _parsed(_WERKZEUG, text, str.encode, bytes.fromhex)
    )


def _parsed(
    pattern: re.Pattern[str], text: str, read_salt: Callable[[str], bytes], read: Callable[[str], bytes] | None = None
) -> Pbkdf2Hash | None:
    match = pattern.match(text)
    if match is None:
        return None
    try:
        return Pbkdf2Hash(match[1] or "sha1", int(match[2]), read_salt(match[3]), (read or read_salt)(match[4]))
    except (ValueError, binascii.Error):
        return None


def _spring(data: bytes, *, is_current: bool) -> Pbkdf2Hash:
    # Pbkdf2PasswordEncoder of Spring Security: version 5.8 uses a salt of 16 bytes, older ones of 8 bytes.
    salt_length, iterations, function = (16, 310_000, "sha256") if is_current else (8, 185_000, "sha1")
    return Pbkdf2Hash(function, iterations, data[:salt_length], data[salt_length:])


def _is_argon2id_hash(text: str) -> bool:
    match = _ARGON2.match(text)
    if match is None:
        return False
    memory, passes, lanes = (int(match[group]) for group in (1, 2, 3))
    is_bounded = 8 * lanes <= memory <= MOST_MEMORY_KIB and 0 < memory * passes <= MOST_WORK_KIB
    try:
        salt, digest = (_standard_base64(match[group]) for group in (4, 5))
    except binascii.Error:
        return False
    return is_bounded and 0 < lanes <= _MOST_LANES and 8 <= len(salt) <= 64 and len(digest) in _HASH_BYTES  # noqa: PLR2004 - RFC 9106 §3.1


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _standard_base64(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _adapted_base64(text: str) -> bytes:
    return _standard_base64(text.replace(".", "+"))  # Passlib's ab64
