"""Protecting and unprotecting messages of a group with the keys of its epochs (RFC 9420 §6)."""

from dataclasses import replace

from . import secret_tree
from .errors import MlsError, OwnMessage, UnknownSender, UnsupportedFeature, WrongEpoch, WrongGroup
from .events import Member
from .framing import (
    APPLICATION,
    MEMBER,
    PRIVATE_MESSAGE,
    PUBLIC_MESSAGE,
    AuthenticatedContent,
    Body,
    FramedContent,
    Sender,
    content_type_of,
)
from .hpke import Random
from .past_epoch import PastEpoch
from .private_message import PrivateMessage
from .public_message import PublicMessage
from .secret_tree import SecretTree
from .state import State

Opened = tuple[State, AuthenticatedContent, Member]


def ratchet_kind(content_type: int) -> int:
    """Which of a leaf's two ratchets protects that content type (RFC 9420 §9)."""
    return secret_tree.APPLICATION if content_type == APPLICATION else secret_tree.HANDSHAKE


def sign(state: State, body: Body, authenticated_data: bytes, *, public: bool) -> AuthenticatedContent:
    """Frame and sign a body of ours in the current epoch."""
    context, sender = state.context, Sender(MEMBER, state.own_index)
    content = FramedContent(context.group_id, context.epoch, sender, authenticated_data, body)
    wire_format = PUBLIC_MESSAGE if public else PRIVATE_MESSAGE
    return AuthenticatedContent.sign(wire_format, content, context.encode(), state.seed)


def protect(state: State, signed: AuthenticatedContent, random: Random, padding: int) -> tuple[State, bytes]:
    """Protect our signed content as its wire format says. The returned state no longer has the used key."""
    if signed.wire_format == PUBLIC_MESSAGE:
        message = PublicMessage.protect(signed, state.context.encode(), state.secrets.membership_key)
        return state, message.message()
    kind = ratchet_kind(content_type_of(signed.content.body))
    tree, key = state.secret_tree.next(state.own_index, kind)
    sealed = PrivateMessage.protect(signed, key, state.secrets.sender_data, random, padding)
    return replace(state, secret_tree=tree), sealed.message()


def _require_group(state: State, group_id: bytes) -> None:
    if group_id != state.context.group_id:
        raise WrongGroup("the message is of another group", "RFC 9420 §6.1")


def _wrong_epoch(state: State, epoch: int) -> MlsError:
    text = "no keys for the epoch of this message"
    return WrongEpoch(text, "RFC 9420 §12.4.2", message_epoch=epoch, group_epoch=state.context.epoch)


def open_public(state: State, message: PublicMessage) -> Opened:
    """Check a PublicMessage of the current epoch: tag, sender, signature. Raises MlsError."""
    content = message.authenticated.content
    _require_group(state, content.group_id)
    if content.epoch != state.context.epoch:
        raise _wrong_epoch(state, content.epoch)
    # External senders and joiners are not supported, so nothing of theirs is even verified (§12.1.8).
    if content.sender.kind != MEMBER:
        raise UnsupportedFeature("only members may send here", "RFC 9420 §6")
    context = state.context.encode()
    authenticated = message.open(context, state.secrets.membership_key)
    sender = _sender(state.own_index, state.members.get(content.sender.index), content.sender.index)
    authenticated.verify(context, sender.signature_key)
    return state, authenticated, sender


def _sender(own_index: int, member: Member | None, index: int) -> Member:
    # Our own message comes back from the delivery service. Its key is used up, and its content is known.
    if index == own_index:
        raise OwnMessage("the message is our own", "RFC 9420 §12.4")
    if member is None:
        raise UnknownSender("the sender is no member", "RFC 9420 §6.3.2")
    return member


def open_private(state: State, message: PrivateMessage) -> Opened:
    """Open a PrivateMessage of the current epoch, or application data of a past one that is kept. Raises MlsError."""
    _require_group(state, message.group_id)
    if message.epoch == state.context.epoch:
        tree, authenticated, sender = _open_in(state, state.secrets.sender_data, state.own_index, message)
        return replace(state, secret_tree=tree), authenticated, sender
    past_epoch = next((epoch for epoch in state.past if epoch.context.epoch == message.epoch), None)
    # Only application data may be late. A handshake of a past epoch can't change the current one (§12.4.2).
    if past_epoch is None or message.content_type != APPLICATION:
        raise _wrong_epoch(state, message.epoch)
    tree, authenticated, sender = _open_in(past_epoch, past_epoch.sender_data, state.own_index, message)
    used = replace(past_epoch, secret_tree=tree)
    past = tuple(used if epoch is past_epoch else epoch for epoch in state.past)
    return replace(state, past=past), authenticated, sender


def _open_in(
    epoch: State | PastEpoch, sender_data_secret: bytes, own_index: int, message: PrivateMessage
) -> tuple[SecretTree, AuthenticatedContent, Member]:
    """Open it with one epoch's keys: the secret tree that no longer has the message's key comes back with it."""
    data = message.open_sender(sender_data_secret)
    sender = _sender(own_index, epoch.members.get(data.leaf_index), data.leaf_index)
    tree, key = epoch.secret_tree.take(data.leaf_index, ratchet_kind(message.content_type), data.generation)
    authenticated = message.open(data, key)
    # Members share the message keys, so only the signature shows which of them wrote it (§6.1).
    authenticated.verify(epoch.context.encode(), sender.signature_key)
    return tree, authenticated, sender
