"""Public keys for people: `npub1…` (NIP-19 "Bare keys and ids"), which is bech32 (BIP-173).

Only for display and input. On the wire and in the store a key is 64 hex digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from keyturn.proofs.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = "npub"
_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_KEY_BYTES = 32
_KEY_SYMBOLS = 52  # 256 bits and 4 of padding, by five
_CHECKSUM_SYMBOLS = 6
# BIP-173 "Checksum": the prefix enters as its high bits, a zero, and its low bits.
_EXPANDED_PREFIX = (*(ord(letter) >> 5 for letter in _PREFIX), 0, *(ord(letter) & 31 for letter in _PREFIX))


def encode_npub(pubkey: str) -> str:
    """Return the npub of a public key of 64 hex digits."""
    number = int.from_bytes(bytes.fromhex(pubkey)) << 4
    symbols = [number >> 5 * place & 31 for place in reversed(range(_KEY_SYMBOLS))]
    checksum = _remainder((*_EXPANDED_PREFIX, *symbols, *[0] * _CHECKSUM_SYMBOLS)) ^ 1
    symbols += [checksum >> 5 * place & 31 for place in reversed(range(_CHECKSUM_SYMBOLS))]
    return f"{_PREFIX}1" + "".join(_ALPHABET[symbol] for symbol in symbols)


def decode_npub(text: str) -> str:
    """Return the public key, 64 lower-case hex digits, of an npub in one letter case. Raises `Malformed` otherwise."""
    lower_case = text.lower()
    prefix, _, data = lower_case.rpartition("1")
    # BIP-173 forbids mixed case: a typing mistake must not pass as the same key.
    if text not in {lower_case, text.upper()} or prefix != _PREFIX or len(data) != _KEY_SYMBOLS + _CHECKSUM_SYMBOLS:
        _refuse()
    symbols = [_ALPHABET.find(letter) for letter in data]
    if min(symbols) < 0 or _remainder((*_EXPANDED_PREFIX, *symbols)) != 1:
        _refuse()
    return _key(symbols[:_KEY_SYMBOLS])


def _key(symbols: list[int]) -> str:
    number = 0
    for symbol in symbols:
        number = number << 5 | symbol
    if number & 0b1111:  # BIP-173 "Segwit address format": the padding bits are zero
        _refuse()
    return (number >> 4).to_bytes(_KEY_BYTES).hex()


def _remainder(symbols: Iterable[int]) -> int:
    remainder = 1
    for symbol in symbols:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ symbol
        for place, term in enumerate(_GENERATOR):
            remainder ^= term if top >> place & 1 else 0
    return remainder


def _refuse() -> NoReturn:
    raise Malformed("malformed_npub", "This is not a well-formed npub.")
