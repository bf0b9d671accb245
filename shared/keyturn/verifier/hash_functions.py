"""Check a value against the hash of an imported version: bcrypt, PBKDF2 or Argon2id. Each is slow by design."""

from __future__ import annotations

import hmac

from keyturn.domain.imported_hash import parse_pbkdf2
from keyturn.domain.imported_secret import BCRYPT_BYTES


def check_hash(secret: bytes, hashed: str) -> bool:
    """Return whether a value has this hash, in its stored form. ValueError for a malformed one."""
    if hashed.startswith("$argon2id$"):
        return _check_argon2id(secret, hashed)
    if hashed.startswith("$pbkdf2-"):
        return _check_pbkdf2(secret, hashed)
    import bcrypt  # noqa: PLC0415 - few verifiers ever need it

    return bcrypt.checkpw(secret[:BCRYPT_BYTES], hashed.encode("ascii"))


def _check_pbkdf2(secret: bytes, hashed: str) -> bool:
    from hashlib import pbkdf2_hmac  # noqa: PLC0415 - few verifiers ever need it

    parsed = parse_pbkdf2(hashed)
    if parsed is None or not parsed.is_bounded():
        raise ValueError("the stored hash is malformed")
    digest = pbkdf2_hmac(parsed.function, secret, parsed.salt, parsed.iterations, len(parsed.digest))
    return hmac.compare_digest(digest, parsed.digest)


def _check_argon2id(secret: bytes, hashed: str) -> bool:
    from cryptography.exceptions import InvalidKey  # noqa: PLC0415 - few verifiers ever need it
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id  # noqa: PLC0415 - the same

    try:
        Argon2id.verify_phc_encoded(secret, hashed)
    except InvalidKey:
        return False
    return True
