import pytest
from keyturn.mls import DecryptionFailed, InvalidArgument, InvalidSignature, InvalidTag, MalformedMessage
from keyturn.mls.cipher_suite import (
    aead_open,
    aead_seal,
    check_mac,
    expand_with_label,
    mac,
    sign_with_label,
    signature_public,
    signing_key,
    verify_with_label,
)

SEED = bytes(range(32))


def test_a_signature_is_bound_to_label_content_and_key() -> None:
    signature, public = sign_with_label(SEED, "label", b"content"), signature_public(SEED)
    verify_with_label(public, "label", b"content", signature)
    for label, content, given in (
        ("other", b"content", signature),
        ("label", b"other", signature),
        ("label", b"content", b""),
        ("label", b"content", bytes(64)),
    ):
        with pytest.raises(InvalidSignature):
            verify_with_label(public, label, content, given)
    with pytest.raises(InvalidSignature):
        verify_with_label(signature_public(bytes(32)), "label", b"content", signature)


def test_keys_have_their_length() -> None:
    with pytest.raises(MalformedMessage):
        verify_with_label(bytes(31), "label", b"", bytes(64))
    with pytest.raises(InvalidArgument):
        signing_key(bytes(33))


def test_a_tag_verifies_whole() -> None:
    tag = mac(SEED, b"data")
    check_mac(SEED, b"data", tag, "clause")
    for wrong in (b"", tag[:-1], tag + b"\x00", bytes(32)):
        with pytest.raises(InvalidTag) as refused:
            check_mac(SEED, b"data", wrong, "clause")
        assert str(refused.value) == "a tag does not verify (clause)"


def test_a_ciphertext_opens_with_its_key_nonce_and_data() -> None:
    sealed = aead_seal(SEED[:16], SEED[:12], b"text", b"data")
    assert aead_open(SEED[:16], SEED[:12], sealed, b"data") == b"text"
    for ciphertext, data in ((sealed, b"other"), (sealed[:-1], b"data"), (b"", b"data")):
        with pytest.raises(DecryptionFailed):
            aead_open(SEED[:16], SEED[:12], ciphertext, data)


@pytest.mark.parametrize("length", [-1, 255 * 32 + 1])
def test_an_expansion_has_bounds(length: int) -> None:
    with pytest.raises(InvalidArgument):
        expand_with_label(SEED, "label", b"", length)
    assert len(expand_with_label(SEED, "label", b"", 255 * 32)) == 255 * 32
