from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyturn.proofs.errors import Malformed
from keyturn.proofs.npub import decode_npub, encode_npub

# The two examples of NIP-19.
PUBLISHED = {
    "npub180cvv07tjdrrgpa0j7j7tmnyl2yr6yr7l8j4s3evf6u64th6gkwsyjh6w6": (
        "3bf0c63fcb93463407af97a5e5ee64fa883d107ef9e558472c4eb9aaaefa459d"
    ),
    "npub10elfcs4fr0l0r8af98jlmgdh9c8tcxjvz9qkw038js35mp4dma8qzvjptg": (
        "7e7e9c42a91bfef19fa929e5fda1b72e0ebc1a4c1141673e2794234d86addf4e"
    ),
}
NPUB, PUBKEY = next(iter(PUBLISHED.items()))


@pytest.mark.parametrize(("npub", "pubkey"), PUBLISHED.items())
def test_published_examples(npub: str, pubkey: str) -> None:
    assert encode_npub(pubkey) == npub
    assert decode_npub(npub) == pubkey
    assert decode_npub(npub.upper()) == pubkey


WRONG = {
    "nothing": "",
    "prefix only": "npub1",
    "no separator": NPUB.replace("npub1", "npub"),
    "a private key (NIP-19's example)": "nsec1vl029mgpspedva04g90vltkh6fvh240zqtv9k0t9af8935ke9laqsnlfe5",
    "other prefix, same data": NPUB.replace("npub", "note"),
    "mixed case": NPUB[:-1] + NPUB[-1].upper() if NPUB[-1].isalpha() else "NPUB" + NPUB[4:],
    "one letter short": NPUB[:-1],
    "one letter more": NPUB + "q",
    "letter outside of the alphabet": NPUB[:20] + "b" + NPUB[21:],
    "spaces": f" {NPUB}",
    "hex": PUBKEY,
    "bech32m checksum": NPUB[:-6] + "qqqqqq",
    "other script": NPUB[:20] + "\N{FULLWIDTH LATIN SMALL LETTER Q}" + NPUB[21:],
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode_npub(text)
    assert caught.value.reason == "malformed_npub"


def test_padding_bits_are_zero() -> None:
    # The same key with a padding bit set and a right checksum, found by trying: one key has one npub.
    from keyturn.proofs import npub as module

    symbols = [module._ALPHABET.index(letter) for letter in NPUB[5:57]]
    symbols[-1] |= 1
    checksum = module._remainder((*module._EXPANDED_PREFIX, *symbols, *[0] * 6)) ^ 1
    symbols += [checksum >> 5 * place & 31 for place in reversed(range(6))]
    with pytest.raises(Malformed):
        decode_npub("npub1" + "".join(module._ALPHABET[symbol] for symbol in symbols))


@settings(max_examples=60, deadline=None)
@given(key=st.binary(min_size=32, max_size=32))
def test_every_key_comes_back(key: bytes) -> None:
    assert decode_npub(encode_npub(key.hex())) == key.hex()


@settings(max_examples=100, deadline=None)
@given(place=st.integers(5, len(NPUB) - 1), letter=st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_one_wrong_letter_is_noticed(place: int, letter: str) -> None:
    changed = NPUB[:place] + letter + NPUB[place + 1 :]
    if changed != NPUB:
        with pytest.raises(Malformed):
            decode_npub(changed)
