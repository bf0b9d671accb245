"""Taking in a message: which kind it is, whether it holds, and what it changes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from .commit_processing import process_commit
from .encoding import Reader
from .errors import InvalidProposal, MalformedMessage, ReplayedMessage
from .events import ApplicationReceived, Event, Member, ProposalReceived
from .framing import (
    PRIVATE_MESSAGE,
    PUBLIC_MESSAGE,
    AuthenticatedContent,
    read_message_header,
)
from .key_package import LifetimeCheck, LifetimePolicy
from .private_message import PrivateMessage
from .proposal_list import Pending, validate
from .proposals import Add, CommitContent, Proposal, Remove, Update
from .protection import Opened, open_private, open_public
from .public_message import PublicMessage
from .secret_tree import APPLICATION as APPLICATION_RATCHET
from .state import State

MOST_PENDING = 1000


def receive(
    state: State, message: bytes, external: Mapping[bytes, bytes], lifetimes: LifetimePolicy, now: datetime
) -> tuple[State, Event]:
    """Process an MLSMessage from another member. `external` has pre-shared keys by id. Raises MlsError.

    now: when an epoch ends by this message. Lifetimes of received leaves are not held against it (RFC 9420 §7.3).
    """
    check_lifetime = LifetimeCheck(lifetimes)
    next_state, authenticated, sender = _open(state, message)
    body, content = authenticated.content.body, authenticated.content
    if isinstance(body, bytes):
        steps = _generation(next_state, sender, content.epoch) - _generation(state, sender, content.epoch)
        return next_state, ApplicationReceived(sender, body, content.authenticated_data, content.epoch, steps)
    if isinstance(body, CommitContent):
        return process_commit(next_state, authenticated, body, external, check_lifetime, now)
    return _keep_proposal(next_state, authenticated, body, sender, check_lifetime)


def _open(state: State, message: bytes) -> Opened:
    reader = Reader(message)
    wire_format = read_message_header(reader)
    if wire_format == PRIVATE_MESSAGE:
        private = PrivateMessage.read(reader)
        reader.finish()
        return open_private(state, private)
    if wire_format == PUBLIC_MESSAGE:
        public = PublicMessage.read(reader)
        reader.finish()
        return open_public(state, public)
    raise MalformedMessage("the message is not one of a group's members", "RFC 9420 §6")


def _generation(state: State, sender: Member, epoch: int) -> int:
    """Return the next generation of a member's application ratchet in the current or a past epoch."""
    past_trees = {past.context.epoch: past.secret_tree for past in state.past}
    ratchets = {state.context.epoch: state.secret_tree, **past_trees}[epoch].ratchets
    key = (sender.leaf_index, APPLICATION_RATCHET)
    return ratchets[key].generation if key in ratchets else 0


def _keep_proposal(
    state: State, authenticated: AuthenticatedContent, proposal: Proposal, sender: Member, check_lifetime: LifetimeCheck
) -> tuple[State, ProposalReceived]:
    reference = authenticated.reference()
    # Public proposals can be delivered twice, and each counts once.
    if any(entry.reference == reference for entry in state.pending):
        raise ReplayedMessage("the proposal is pending already", "RFC 9420 §12.1")
    # A member could otherwise fill every other member's saved state.
    if len(state.pending) == MOST_PENDING:
        raise InvalidProposal("too many proposals are pending", "RFC 9420 §12.1")
    entry = Pending(reference, sender.leaf_index, proposal)
    validate(state.tree, state.context, entry, check_lifetime)
    event = ProposalReceived(sender, proposal.kind, reference, _subject(state, entry), state.context.epoch)
    return replace(state, pending=(*state.pending, entry)), event


def _subject(state: State, entry: Pending) -> Member | None:
    match entry.proposal:
        case Remove(removed=index):
            return state.members.get(index)
        case Update(leaf=leaf):
            return Member.of(entry.sender, leaf)
        case Add(key_package=package):
            return Member.of(0, package.leaf)
        case _:
            return None
