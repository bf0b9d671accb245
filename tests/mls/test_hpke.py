import pytest
from cryptography.hazmat.primitives import hpke as reference
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from keyturn.mls import DecryptionFailed, InvalidArgument, MalformedMessage
from keyturn.mls.hpke import KeyPair, draw, expand, extract, seal, unseal

from tests.mls.people import RANDOM

SUITE = reference.Suite(reference.KEM.X25519, reference.KDF.HKDF_SHA256, reference.AEAD.AES_128_GCM)


def test_the_reference_opens_ours() -> None:
    pair = KeyPair.generate(RANDOM)
    encapsulated, ciphertext = seal(pair.public, b"info", b"plaintext", RANDOM)
    private = X25519PrivateKey.from_private_bytes(pair.private)
    assert SUITE.decrypt(encapsulated + ciphertext, private, b"info") == b"plaintext"


def test_we_open_the_references() -> None:
    pair = KeyPair.generate(RANDOM)
    sealed = SUITE.encrypt(b"plaintext", X25519PublicKey.from_public_bytes(pair.public), b"info")
    assert unseal(pair, b"info", sealed[:32], sealed[32:]) == b"plaintext"
    with pytest.raises(DecryptionFailed):
        unseal(pair, b"other", sealed[:32], sealed[32:])
    with pytest.raises(DecryptionFailed):
        unseal(pair, b"info", sealed[:32], b"")


def test_derive_key_pair_as_the_rfc_does() -> None:
    # RFC 9180 §A.1.1: DHKEM(X25519, HKDF-SHA256), base mode, the recipient's key pair.
    secret = bytes.fromhex("6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037")
    pair = KeyPair.derive(secret)
    assert pair.private.hex() == "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"
    assert pair.public.hex() == "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"


def test_hkdf_as_the_rfc_does() -> None:
    # RFC 5869 §A.1
    key = extract(bytes(range(13)), b"\x0b" * 22)
    assert key.hex() == "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    expected = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert expand(key, bytes(range(0xF0, 0xFA)), 42).hex() == expected
    assert expand(key, b"", 0) == b""


def test_bad_keys_are_malformed() -> None:
    pair = KeyPair.generate(RANDOM)
    with pytest.raises(MalformedMessage):
        seal(pair.public[1:], b"", b"", RANDOM)
    with pytest.raises(MalformedMessage) as low_order:
        unseal(pair, b"", bytes(32), bytes(16))
    assert low_order.value.clause == "RFC 9180 §7.1.4"
    with pytest.raises(MalformedMessage):
        KeyPair.of(bytes(31))


def test_randomness_gives_what_is_asked() -> None:
    with pytest.raises(InvalidArgument):
        draw(lambda size: bytes(size + 1), 4)


def test_a_private_key_is_not_shown() -> None:
    pair = KeyPair.generate(RANDOM)
    assert repr(pair.private) not in repr(pair)
