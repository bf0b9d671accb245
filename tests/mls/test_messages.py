"""PublicMessage and PrivateMessage, as a member with bad intentions would make them."""

from dataclasses import replace

import pytest
from keyturn.mls import (
    DecryptionFailed,
    Group,
    InvalidArgument,
    InvalidSignature,
    InvalidTag,
    MalformedMessage,
    MlsError,
    UnknownSender,
    UnsupportedFeature,
)
from keyturn.mls.encoding import decode, vector
from keyturn.mls.framing import PUBLIC_MESSAGE, AuthenticatedContent, FramedContent, Sender, encode_body
from keyturn.mls.private_message import PrivateMessage, SenderData, guard_nonce
from keyturn.mls.proposals import Remove
from keyturn.mls.protection import protect, sign
from keyturn.mls.public_message import PublicMessage

from tests.mls.people import NOW, RANDOM, group_of

ALICE, BOB, CAROL = group_of(3)
CONTEXT, SECRETS = ALICE.state.context.encode(), ALICE.state.secrets


def refused(message: bytes, error: type[MlsError], by: Group = BOB) -> None:
    before = by.to_bytes()
    with pytest.raises(error):
        by.receive(message, now=NOW)
    assert by.to_bytes() == before


def private(authenticated: AuthenticatedContent, leaf: int = 0) -> bytes:
    _, key = ALICE.state.secret_tree.next(leaf, 1)
    return PrivateMessage.protect(authenticated, key, SECRETS.sender_data, RANDOM).message()


def test_a_nonce_is_guarded_in_its_first_bytes() -> None:
    assert guard_nonce(bytes(12), b"\x01\x02\x03\x04") == b"\x01\x02\x03\x04" + bytes(8)


def test_padding_is_zero_and_counted() -> None:
    signed = sign(ALICE.state, b"text", b"", public=False)
    lengths = [len(protect(ALICE.state, signed, RANDOM, padding)[1]) for padding in (0, 32)]
    assert lengths[1] - lengths[0] == 32
    assert len(private(signed)) == lengths[0]
    with pytest.raises(InvalidArgument):
        protect(ALICE.state, signed, RANDOM, -1)


def test_padding_that_says_something_is_malformed() -> None:
    signed = sign(ALICE.state, b"text", b"", public=False)
    hidden = replace(signed, signature=signed.signature)
    object.__setattr__(hidden, "auth", lambda: vector(signed.signature) + b"\x00\x01")
    refused(private(hidden), MalformedMessage)


def test_every_message_needs_its_senders_signature() -> None:
    signed = sign(ALICE.state, b"text", b"", public=False)
    for signature in (b"", bytes(64), signed.signature[::-1]):
        refused(private(replace(signed, signature=signature)), InvalidSignature)
    other = replace(CAROL.state, own_index=0)
    refused(private(sign(other, b"text", b"", public=False)), InvalidSignature)
    context = replace(ALICE.state.context, tree_hash=bytes(32))
    refused(private(sign(replace(ALICE.state, context=context), b"text", b"", public=False)), InvalidSignature)


def test_a_sender_is_a_member() -> None:
    stranger = FramedContent(b"group", 1, Sender(1, 3), b"", b"text")
    signed = AuthenticatedContent.sign(2, stranger, CONTEXT, ALICE.state.seed)
    refused(private(signed), UnknownSender)
    proposal = FramedContent(b"group", 1, Sender(1, 3), b"", Remove(1))
    tagged = AuthenticatedContent.sign(PUBLIC_MESSAGE, proposal, CONTEXT, ALICE.state.seed)
    refused(PublicMessage.protect(tagged, CONTEXT, SECRETS.membership_key).message(), UnknownSender)


@pytest.mark.parametrize("kind", [2, 3, 4])
def test_outsiders_are_not_supported(kind: int) -> None:
    content = FramedContent(b"group", 1, Sender(kind), b"", Remove(1))
    signed = AuthenticatedContent.sign(PUBLIC_MESSAGE, content, CONTEXT, ALICE.state.seed)
    refused(PublicMessage(signed, b"").message(), UnsupportedFeature)
    assert decode(PublicMessage.read, PublicMessage(signed, b"tag").encode()) == PublicMessage(signed, b"")


def test_application_data_is_never_public() -> None:
    signed = sign(ALICE.state, b"text", b"", public=True)
    refused(PublicMessage.protect(signed, CONTEXT, SECRETS.membership_key).message(), MalformedMessage)


def test_a_public_message_needs_tag_and_signature() -> None:
    signed = sign(ALICE.state, Remove(2), b"", public=True)
    for tag in (b"", bytes(32)):
        refused(PublicMessage(signed, tag).message(), InvalidTag)
        with pytest.raises(InvalidTag, match=r"\(RFC 9420 §6\.2\)$"):
            BOB.receive(PublicMessage(signed, tag).message(), now=NOW)
    unsigned = replace(signed, signature=bytes(64))
    refused(PublicMessage.protect(unsigned, CONTEXT, SECRETS.membership_key).message(), InvalidSignature)


def test_sender_data_is_bound_to_its_message() -> None:
    _, message = ALICE.encrypt(b"text", random=RANDOM)
    for content_type in (1, 2, 3):
        parsed = PrivateMessage(b"group", 1, content_type, b"", bytes(28), message[-80:])
        refused(parsed.message(), DecryptionFailed)
    refused(PrivateMessage(b"group", 1, 4, b"", b"", b"").message(), MalformedMessage)
    refused(PrivateMessage(b"group", 1, 1, b"", b"", b"").message(), DecryptionFailed)


def test_structures_are_read_as_written() -> None:
    assert SenderData(1, 2, b"abcd").encode() == bytes.fromhex("0000000100000002") + b"abcd"
    assert encode_body(b"text") == b"\x04text"
