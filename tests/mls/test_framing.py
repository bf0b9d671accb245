from dataclasses import replace

import pytest
from keyturn.mls import InvalidSignature, MalformedMessage, UnsupportedFeature
from keyturn.mls.encoding import Reader, decode
from keyturn.mls.framing import (
    EXTERNAL,
    MEMBER,
    NEW_MEMBER_COMMIT,
    NEW_MEMBER_PROPOSAL,
    PRIVATE_MESSAGE,
    AuthenticatedContent,
    FramedContent,
    Sender,
    content_type_of,
    read_body,
    read_message_header,
)
from keyturn.mls.proposals import CommitContent, Remove

from tests.mls.people import RANDOM, group_of

SEED, CONTEXT = RANDOM(32), b"encoded context"


def content(kind: int = MEMBER) -> FramedContent:
    return FramedContent(b"group", 7, Sender(kind), b"data", Remove(3))


@pytest.mark.parametrize("kind", [MEMBER, EXTERNAL, NEW_MEMBER_PROPOSAL, NEW_MEMBER_COMMIT])
def test_a_sender_is_read_as_written(kind: int) -> None:
    sender = Sender(kind, 5 if kind in (MEMBER, EXTERNAL) else 0)
    assert decode(Sender.read, sender.encode()) == sender
    assert decode(FramedContent.read, content(kind).encode()) == content(kind)


@pytest.mark.parametrize(("kind", "bound"), [(1, True), (2, False), (3, False), (4, True)])
def test_only_insiders_sign_the_group_context(kind: int, bound: bool) -> None:  # noqa: FBT001 - a parameter of the test
    signed = bytes.fromhex("00010001") + content(kind).encode() + (CONTEXT if bound else b"")
    assert content(kind).tbs(1, CONTEXT) == signed


def test_unknown_kinds_are_malformed() -> None:
    for kind in (0, 5):
        with pytest.raises(MalformedMessage):
            decode(Sender.read, bytes([kind]) + bytes(4))
    for content_type in (0, 4):
        with pytest.raises(MalformedMessage):
            read_body(content_type, Reader(b"\x00"))
    with pytest.raises(UnsupportedFeature):
        read_message_header(Reader(b"\x00\x02\x00\x01"))


def test_content_types() -> None:
    assert [content_type_of(body) for body in (b"", Remove(1), CommitContent((), None))] == [1, 2, 3]


def test_a_signature_binds_content_wire_format_and_context() -> None:
    signed = AuthenticatedContent.sign(PRIVATE_MESSAGE, content(), CONTEXT, SEED)
    public = group_of(2)[0].state.own_leaf.signature_key
    assert decode(AuthenticatedContent.read, signed.encode()) == signed
    assert len(signed.reference()) == 32
    for altered, context in (
        (signed, b"other"),
        (replace(signed, wire_format=1), CONTEXT),
        (replace(signed, content=replace(content(), epoch=8)), CONTEXT),
        (signed, CONTEXT),
    ):
        with pytest.raises(InvalidSignature):
            altered.verify(context, public)


def test_what_is_said_is_not_shown() -> None:
    assert "secret" not in repr(FramedContent(b"", 0, Sender(1), b"", b"secret"))
