"""Compact JWS (RFC 7515 §3.1, RFC 7519) with strict rules: one algorithm per use, known keys, a minimal header.

1. The verifier fixes the algorithm. The token's own header selects only the key (RFC 8725 §3.1).
2. The header has `alg`, `kid` and `typ` and nothing else: no key, no URL of a key, no `crit` (RFC 8725 §3.10).
3. `typ` separates tokens of different uses, even under the same key (RFC 8725 §3.11).
4. A function of the caller signs the bytes, so private keys never leave their store.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from keyturn.domain.encodings import base64url_decode, base64url_encode, flat_json
from keyturn.domain.errors import InvalidRequest
from keyturn.proofs.errors import Malformed, Unproven
from keyturn.proofs.jwk import ES256
from keyturn.proofs.strict_json import load_object

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from joserfc.jwk import ECKey, RSAKey

MAX_TOKEN = 4096
"""The longest token, in characters. Longer ones are refused before anything is decoded."""
_PARTS = 3
_HEADER = {"alg", "kid", "typ"}


@dataclass(frozen=True, slots=True)
class Unverified:
    """The unverified content of a token. Use it only to find the key and the documents for the verification."""

    header: Mapping[str, str]
    claims: Mapping[str, object] = field(repr=False)


def compact(
    claims: Mapping[str, object], *, kid: str, typ: str, sign: Callable[[bytes], bytes], algorithm: str = ES256
) -> str:
    """Return the JWS of claims. `sign` returns the signature of its argument, for ES256 r and s (`bytes, 64`)."""
    signing_input = f"{_header(algorithm, kid, typ)}.{_encode(claims)}"
    return f"{signing_input}.{base64url_encode(sign(signing_input.encode('ascii')))}"


def read_unverified(token: str) -> Unverified:
    """Return header and claims of a well-formed token, without verifying it. Raises `Malformed` otherwise."""
    parts = token.split(".") if len(token) <= MAX_TOKEN else []
    if len(parts) != _PARTS:
        _refuse()
    header, claims = _object(parts[0]), _object(parts[1])
    if set(header) != _HEADER or not all(isinstance(value, str) for value in header.values()):
        _refuse()
    return Unverified({name: str(value) for name, value in header.items()}, claims)


def verified_claims(token: str, jwk: Mapping[str, str] | None, *, algorithm: str, typ: str) -> Mapping[str, object]:
    """Return the claims of a token after verifying its signature. The claims themselves are not checked here.

    `jwk` is the trusted key for the token's `kid`, or None if there is none. Raises `Malformed`, or `Unproven` with
    reason `wrong_token_type`, `unknown_key` or `bad_signature`.
    """
    from joserfc import jws  # noqa: PLC0415 - nothing heavy at import time
    from joserfc.errors import JoseError  # noqa: PLC0415 - the same

    unverified = read_unverified(token)
    if unverified.header["alg"] != algorithm or unverified.header["typ"] != typ:
        raise Unproven("wrong_token_type", "The token has another type.")
    if jwk is None or jwk.get("kid") != unverified.header["kid"]:
        raise Unproven("unknown_key", "The token's key is not trusted.")
    try:
        jws.deserialize_compact(token, _key(jwk, algorithm), algorithms=[algorithm])
    except (JoseError, ValueError):  # without its cause, which can quote the token
        raise Unproven("bad_signature", "The token's signature does not verify.") from None
    return unverified.claims


def _key(jwk: Mapping[str, str], algorithm: str) -> ECKey | RSAKey:
    from joserfc.jwk import ECKey, RSAKey  # noqa: PLC0415 - nothing heavy at import time

    # The algorithm decides the type of the key: an RSA key can never be used as an HMAC key (RFC 8725 §2.1).
    names = ("kty", "crv", "x", "y") if algorithm == ES256 else ("kty", "n", "e")
    public: dict[str, str | list[str]] = {name: jwk[name] for name in names if name in jwk}
    return ECKey.import_key(public) if algorithm == ES256 else RSAKey.import_key(public)


# A deployment signs with few keys, so the encoded headers are the same again and again.
@functools.lru_cache(maxsize=32)
def _header(algorithm: str, kid: str, typ: str) -> str:
    return _encode({"alg": algorithm, "kid": kid, "typ": typ})


def _encode(part: Mapping[str, object]) -> str:
    return base64url_encode((flat_json(part) or json.dumps(part, separators=(",", ":"))).encode("utf-8"))


def _object(part: str) -> dict[str, object]:
    try:
        return load_object(base64url_decode(part))
    except InvalidRequest:
        _refuse()


def _refuse() -> NoReturn:
    raise Malformed("malformed_token", "This is not a well-formed token.")
