"""Members that hold every key of the epoch, and put words into others' mouths: refused, and nothing changes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from keyturn.mls import (
    DecryptionFailed,
    GenerationTooFar,
    InvalidSignature,
    InvalidTag,
    MalformedMessage,
    MlsError,
    OwnMessage,
    ReplayedMessage,
    UnknownSender,
    WrongEpoch,
)
from keyturn.mls.cipher_suite import aead_seal, sign_with_label
from keyturn.mls.encoding import decode, uint16, vector
from keyturn.mls.framing import (
    APPLICATION,
    COMMIT,
    PRIVATE_MESSAGE,
    PROPOSAL,
    PUBLIC_MESSAGE,
    AuthenticatedContent,
    encode_body,
    message_header,
)
from keyturn.mls.key_schedule import GroupContext
from keyturn.mls.private_message import PrivateMessage, SenderData, guard_nonce, sender_data_keys
from keyturn.mls.proposals import Remove
from keyturn.mls.protection import ratchet_kind
from keyturn.mls.public_message import PublicMessage
from keyturn.mls.receiving import _open
from keyturn.mls.state import State

from tests.mls.hostile import flipped, received, shifted, truncated
from tests.mls.people import NOW, RANDOM, deliver, group_of, person

ALICE, BOB, CAROL = group_of(3)
INSIDER: State = CAROL.state
OUTSIDER = RANDOM(32)
GUARD = bytes(4)


def honest() -> dict[str, AuthenticatedContent]:
    """Take what Alice said out of each kind of message, as another member finds it there."""
    sent = {"application": ALICE.encrypt(b"text", random=RANDOM)[1]}
    for framing, public in (("private", False), ("public", True)):
        sent[f"{framing} proposal"] = ALICE.propose_update(random=RANDOM, now=NOW, public=public)[1]
        sent[f"{framing} commit"] = ALICE.commit(random=RANDOM, now=NOW, public=public).message
    return {name: _open(INSIDER, message)[1] for name, message in sent.items()}


HONEST = honest()
each_kind = pytest.mark.parametrize("name", HONEST)


def sealed(content_type: int, plaintext: bytes, leaf: int = 0, generation: int = 0, kind: int | None = None) -> bytes:
    """Encrypt anything as a PrivateMessage of anybody, as whoever has the epoch's keys is able to (RFC 9420 §6.3)."""
    ratchet = ratchet_kind(content_type) if kind is None else kind
    _, key = INSIDER.secret_tree.take(0, ratchet, min(generation, 1000))
    shell = PrivateMessage(b"group", 1, content_type, b"", b"", b"")
    nonce = guard_nonce(key.nonce, GUARD)
    ciphertext = aead_seal(key.key, nonce, plaintext, shell._head + vector(b""))
    who = SenderData(leaf, generation, GUARD).encode()
    sender_data = aead_seal(*sender_data_keys(INSIDER.secrets.sender_data, ciphertext), who, shell._head)
    return replace(shell, sender_data=sender_data, ciphertext=ciphertext).message()


def inside(said: AuthenticatedContent) -> bytes:
    """PrivateMessageContent without padding (RFC 9420 §6.3.1)."""
    return encode_body(said.content.body) + said.auth()


def reframed(said: AuthenticatedContent) -> bytes:
    """Frame what Alice is made to say, with keys and tags that hold."""
    if said.wire_format == PRIVATE_MESSAGE:
        return sealed(said.content.content_type, inside(said))
    return PublicMessage.protect(said, INSIDER.context.encode(), INSIDER.secrets.membership_key).message()


def signed(said: AuthenticatedContent, seed: bytes, context: GroupContext = INSIDER.context) -> AuthenticatedContent:
    """Sign the same content with a key, in the epoch of a context; a commit keeps its confirmation tag."""
    anew = AuthenticatedContent.sign(said.wire_format, said.content, context.encode(), seed)
    return replace(anew, confirmation_tag=said.confirmation_tag)


def relabelled(said: AuthenticatedContent) -> AuthenticatedContent:
    tbs = said.content.tbs(said.wire_format, INSIDER.context.encode())
    return replace(said, signature=sign_with_label(ALICE.state.seed, "GroupInfoTBS", tbs))


def of_another_content(said: AuthenticatedContent) -> AuthenticatedContent:
    other = replace(said, content=replace(said.content, authenticated_data=b"else"))
    return replace(said, signature=signed(other, ALICE.state.seed).signature)


def of_the_other_framing(said: AuthenticatedContent) -> AuthenticatedContent:
    other = PUBLIC_MESSAGE if said.wire_format == PRIVATE_MESSAGE else PRIVATE_MESSAGE
    return replace(said, signature=signed(replace(said, wire_format=other), ALICE.state.seed).signature)


FORGERIES: dict[str, Callable[[AuthenticatedContent], AuthenticatedContent]] = {
    "no signature": lambda said: replace(said, signature=b""),
    "zeros": lambda said: replace(said, signature=bytes(64)),
    "a short one": lambda said: replace(said, signature=said.signature[:-1]),
    "a long one": lambda said: replace(said, signature=said.signature + b"\x00"),
    "the insider's": lambda said: signed(said, INSIDER.seed),
    "the recipient's": lambda said: signed(said, BOB.state.seed),
    "an outsider's": lambda said: signed(said, OUTSIDER),
    "another epoch's": lambda said: signed(said, ALICE.state.seed, replace(INSIDER.context, epoch=2)),
    "another group's": lambda said: signed(said, ALICE.state.seed, replace(INSIDER.context, group_id=b"other")),
    "another tree's": lambda said: signed(said, ALICE.state.seed, replace(INSIDER.context, tree_hash=bytes(32))),
    "another label's": relabelled,
    "another content's": of_another_content,
    "the other framing's": of_the_other_framing,
}


@each_kind
def test_what_was_said_may_be_framed_anew(name: str) -> None:
    message = reframed(HONEST[name])
    assert received(BOB, [message]) == [message]
    assert received(BOB, [reframed(signed(HONEST[name], ALICE.state.seed))]) != []


@each_kind
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_signature_is_refused(name: str, forgery: str) -> None:
    message = reframed(FORGERIES[forgery](HONEST[name]))
    assert received(BOB, [message]) == []
    with pytest.raises(InvalidSignature):
        BOB.receive(message, now=NOW)


@each_kind
def test_what_was_said_does_not_change_its_framing(name: str) -> None:
    said = HONEST[name]
    other = PUBLIC_MESSAGE if said.wire_format == PRIVATE_MESSAGE else PRIVATE_MESSAGE
    with pytest.raises(MalformedMessage if name == "application" else InvalidSignature):
        BOB.receive(reframed(replace(said, wire_format=other)), now=NOW)


@each_kind
def test_no_byte_within_a_valid_frame_may_change(name: str) -> None:
    said = HONEST[name]
    if said.wire_format == PRIVATE_MESSAGE:
        plain, content_type = inside(said), said.content.content_type
        hostile = (*flipped(plain), *shifted(plain), *truncated(plain), plain + b"\x01", plain + b"\x00\x01")
        messages = [sealed(content_type, data) for data in hostile if not padded(data, plain)]
    else:
        encoded = said.content.encode() + said.auth()
        hostile = (*flipped(encoded), *shifted(encoded), *truncated(encoded), encoded + b"\x00")
        messages = [retagged(data) for data in hostile]
    assert received(BOB, messages) == []


def padded(data: bytes, plain: bytes) -> bool:
    """Whether it is the same with zero bytes behind it: that is padding, and says nothing else (RFC 9420 §6.3.1)."""
    return data.startswith(plain) and not any(data[len(plain) :])


def retagged(encoded: bytes) -> bytes:
    """Give bent content a membership tag that holds, as far as it can be read at all."""
    try:
        said = decode(AuthenticatedContent.read, uint16(PUBLIC_MESSAGE) + encoded)
    except MlsError:
        return message_header(PUBLIC_MESSAGE) + encoded + vector(bytes(32))
    return reframed(said)


@each_kind
def test_a_message_says_what_it_is(name: str) -> None:
    plain = inside(HONEST[name])
    others = {APPLICATION, PROPOSAL, COMMIT} - {HONEST[name].content.content_type}
    # Of the ratchet that belongs to the type that it pretends to be, and of the other one.
    assert received(BOB, [sealed(other, plain, kind=kind) for other in others for kind in (0, 1)]) == []
    # The type stands in the clear; sender data and ciphertext are bound to it.
    message = sealed(HONEST[name].content.content_type, plain)
    at = message.index(b"\x05group") + 14
    for other in others:
        with pytest.raises(DecryptionFailed):
            BOB.receive(message[:at] + bytes([other]) + message[at + 1 :], now=NOW)


@pytest.mark.parametrize(
    ("leaf", "generation", "error"),
    [
        (1, 0, OwnMessage),
        (2, 0, DecryptionFailed),
        (3, 0, UnknownSender),
        (4, 0, UnknownSender),
        (2**32 - 1, 0, UnknownSender),
        (0, 1001, GenerationTooFar),
        (0, 2**32 - 1, GenerationTooFar),
    ],
)
def test_the_sender_is_who_has_the_key(leaf: int, generation: int, error: type[MlsError]) -> None:
    said = HONEST["application"]
    with pytest.raises(error):
        BOB.receive(sealed(APPLICATION, inside(said), leaf, generation), now=NOW)


def test_a_generation_is_not_another() -> None:
    message = sealed(APPLICATION, inside(HONEST["application"]), generation=3)
    after, _ = BOB.receive(message, now=NOW)
    with pytest.raises(ReplayedMessage):
        after.receive(message, now=NOW)
    _, key = INSIDER.secret_tree.take(0, 1, 3)
    mistaken = replace(key, generation=2)
    wrong = PrivateMessage.protect(HONEST["application"], mistaken, INSIDER.secrets.sender_data, RANDOM)
    with pytest.raises(DecryptionFailed):
        BOB.receive(wrong.message(), now=NOW)


@pytest.mark.parametrize("name", ["private proposal", "public proposal"])
def test_a_proposal_counts_once_however_it_is_framed(name: str) -> None:
    said = HONEST[name]
    after, _ = BOB.receive(reframed(said), now=NOW)
    again = sealed(PROPOSAL, inside(said), generation=1) if name.startswith("private") else reframed(said)
    assert received(after, [again]) == []
    with pytest.raises(ReplayedMessage):
        after.receive(again, now=NOW)


def test_a_member_is_able_to_repeat_what_another_said_in_the_epoch() -> None:
    # The limit of RFC 9420: the generation is not signed (§6.1), and all members know all ratchets. What a message
    # asks for has to bear being asked for twice; who says it, to whom and in which epoch is beyond doubt.
    plain = inside(HONEST["application"])
    once, first = BOB.receive(sealed(APPLICATION, plain), now=NOW)
    _, second = once.receive(sealed(APPLICATION, plain, generation=1), now=NOW)
    assert first == second


@each_kind
def test_an_epochs_words_do_not_pass_into_the_next(name: str) -> None:
    groups = deliver([ALICE, BOB, CAROL], ALICE.commit(random=RANDOM, now=NOW).message, 0)
    insider, said = groups[2].state, HONEST[name]
    for epoch, errors in ((1, (WrongEpoch, DecryptionFailed)), (2, (InvalidSignature,))):
        message = reframed_in(insider, replace(said, content=replace(said.content, epoch=epoch)))
        assert received(groups[1], [message]) == []
        with pytest.raises(errors):
            groups[1].receive(message, now=NOW)


def reframed_in(insider: State, said: AuthenticatedContent) -> bytes:
    """Frame something in the insider's current epoch, whatever epoch it says it is of."""
    if said.wire_format == PUBLIC_MESSAGE:
        return PublicMessage.protect(said, insider.context.encode(), insider.secrets.membership_key).message()
    _, key = insider.secret_tree.take(0, ratchet_kind(said.content.content_type), 0)
    return PrivateMessage.protect(said, key, insider.secrets.sender_data, RANDOM).message()


@pytest.mark.parametrize("name", ["private commit", "public commit"])
def test_a_commit_is_confirmed_by_who_knows_the_new_epoch(name: str) -> None:
    tag = HONEST[name].confirmation_tag
    for wrong in (b"", bytes(32), tag[:-1], tag + b"\x00"):
        with pytest.raises(InvalidTag, match=r"\(RFC 9420 §12\.4\.2\)$"):
            BOB.receive(reframed(replace(HONEST[name], confirmation_tag=wrong)), now=NOW)


def test_the_removed_cannot_come_back_by_what_they_know() -> None:
    made = ALICE.commit(random=RANDOM, now=NOW, remove=[2], add=[person("new").key_package])
    after, _ = BOB.receive(made.message, now=NOW)
    # Carol's place is another's now; she signs for it with the keys of the epoch that she was in.
    said = AuthenticatedContent.sign(
        PRIVATE_MESSAGE, replace(HONEST["application"].content, body=Remove(0)), INSIDER.context.encode(), INSIDER.seed
    )
    for epoch in (1, 2):
        assert received(after, [reframed_in(INSIDER, replace(said, content=replace(said.content, epoch=epoch)))]) == []
    assert [member.identity for member in after.members] == [b"0", b"1", b"new"]
