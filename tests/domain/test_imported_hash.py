"""Hashes of other systems: the forms that are taken, what is stored for each, and the bounds of their cost."""

from __future__ import annotations

import base64
import hashlib
import os

import bcrypt
import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.imported_hash import is_stored_hash, stored_hash
from keyturn.verifier.hash_functions import check_hash

SECRET = "the secret of öld"
BCRYPT = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode()
ARGON2ID = Argon2id(salt=os.urandom(16), length=32, iterations=1, lanes=1, memory_cost=64).derive_phc_encoded(
    SECRET.encode()
)
SALT = "saltsalt"


def pbkdf2(function: str, iterations: int, salt: bytes = SALT.encode(), length: int | None = None) -> bytes:
    return hashlib.pbkdf2_hmac(function, SECRET.encode(), salt, iterations, length)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ab64(data: bytes) -> str:
    return b64(data).rstrip("=").replace("+", ".")


FORMS = {
    "bcrypt": ("bcrypt", BCRYPT),
    "Spring bcrypt": ("bcrypt", "{bcrypt}" + BCRYPT),
    "Django bcrypt": ("bcrypt", "bcrypt$" + BCRYPT),
    "LDAP bcrypt": ("bcrypt", "{CRYPT}" + BCRYPT),
    "Dovecot bcrypt": ("bcrypt", "{BLF-CRYPT}" + BCRYPT),
    "Argon2id": ("argon2id", ARGON2ID),
    "Django Argon2id": ("argon2id", "argon2" + ARGON2ID),
    "Spring Argon2id": ("argon2id", "{argon2@SpringSecurity_v5_8}" + ARGON2ID),
    "Dovecot Argon2id": ("argon2id", "{ARGON2ID}" + ARGON2ID),
    "Django PBKDF2": ("pbkdf2", f"pbkdf2_sha256$1000${SALT}${b64(pbkdf2('sha256', 1000))}"),
    "Django PBKDF2 with SHA-1": ("pbkdf2", f"pbkdf2_sha1$1000${SALT}${b64(pbkdf2('sha1', 1000))}"),
    "Werkzeug PBKDF2": ("pbkdf2", f"pbkdf2:sha512:1000${SALT}${pbkdf2('sha512', 1000).hex()}"),
    "Passlib PBKDF2": ("pbkdf2", f"$pbkdf2-sha256$1000${ab64(SALT.encode())}${ab64(pbkdf2('sha256', 1000))}"),
    "Passlib PBKDF2 with SHA-1": ("pbkdf2", f"$pbkdf2$1000${ab64(SALT.encode())}${ab64(pbkdf2('sha1', 1000))}"),
    "Spring PBKDF2": (
        "pbkdf2",
        "{pbkdf2@SpringSecurity_v5_8}" + (bytes(range(16)) + pbkdf2("sha256", 310_000, bytes(range(16)))).hex(),
    ),
    "Spring PBKDF2 before 5.8": (
        "pbkdf2",
        "{pbkdf2}" + (bytes(8) + pbkdf2("sha1", 185_000, bytes(8), 32)).hex(),
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_hash_of_a_framework_is_stored_in_one_form_and_checked(name: str) -> None:
    algo, text = FORMS[name]
    stored = stored_hash(text)
    assert stored[0] == algo
    assert stored_hash(stored[1]) == stored
    assert is_stored_hash(*stored)
    assert check_hash(SECRET.encode(), stored[1])
    assert not check_hash(SECRET.encode() + b"!", stored[1])


BAD = {
    "plain": "the secret itself",
    "Spring plain": "{noop}secret",
    "MD5": "{MD5}CY9rzUYh03PK3k6DJie09g==",
    "too many iterations": f"pbkdf2_sha256$2000001${SALT}${b64(bytes(32))}",
    "no iterations": f"pbkdf2_sha256$0${SALT}${b64(bytes(32))}",
    "endless iterations": f"pbkdf2_sha256${'9' * 40}${SALT}${b64(bytes(32))}",
    "short hash": f"pbkdf2_sha256$1000${SALT}${b64(bytes(8))}",
    "long hash": f"pbkdf2_sha256$1000${SALT}${b64(bytes(100))}",
    "no base64": f"pbkdf2_sha256$1000${SALT}$=====",
    "unknown function": f"pbkdf2:md5:1000${SALT}${bytes(32).hex()}",
    "short Spring": "{pbkdf2}" + "00" * 20,
    "too much memory": ARGON2ID.replace("m=64", "m=131073"),
    "too many passes": ARGON2ID.replace("t=1", "t=9000"),
    "too little memory": ARGON2ID.replace("p=1", "p=16"),
    "Argon2i": ARGON2ID.replace("argon2id", "argon2i"),
    "an old version": ARGON2ID.replace("v=19", "v=16"),
    "line end": BCRYPT + "\n",
}


@pytest.mark.parametrize("name", BAD)
def test_no_other_hash_is_taken_nor_echoed(name: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        stored_hash(BAD[name])
    assert refused.value.reason == "bad_hash"
    assert BAD[name] not in str(refused.value)
    assert not is_stored_hash("pbkdf2", BAD[name])


def test_costs_at_the_bounds_are_taken() -> None:
    assert stored_hash(f"pbkdf2_sha256$2000000${SALT}${b64(bytes(32))}")
    assert stored_hash(ARGON2ID.replace("m=64,t=1,p=1", "m=131072,t=4,p=16"))
