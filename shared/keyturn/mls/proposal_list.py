"""The proposals of a commit: which lists are valid, and what they do to the tree (RFC 9420 §12.1 to §12.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from .cipher_suite import HASH_BYTES
from .errors import InvalidProposal, UnsupportedFeature
from .extensions import Extensions
from .hpke import KeyPair
from .key_package import KeyPackage
from .key_schedule import GroupContext
from .leaf_node import UPDATE, LeafNode
from .proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    Reference,
    ReInit,
    Remove,
    Update,
)
from .psk import APPLICATION, RESUMPTION, PskId
from .ratchet_tree import RatchetTree

LIST_CLAUSE = "RFC 9420 §12.2"
NEED_PATH = (Update, Remove, GroupContextExtensions)
P = TypeVar("P", Add, Update, Remove, PreSharedKey, GroupContextExtensions)


@dataclass(frozen=True)
class Pending:
    """A proposal with its ProposalRef (empty when it comes by value) and its sender's leaf index.

    own_pair: for our own Update, the key pair of the proposed leaf.
    """

    reference: bytes
    sender: int
    proposal: Proposal
    own_pair: KeyPair | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Applied:
    """The tree and group context extensions after a list of proposals, and all members by leaf index."""

    tree: RatchetTree
    extensions: Extensions
    added: tuple[tuple[int, KeyPackage], ...]
    removed: tuple[int, ...]
    updated: tuple[tuple[int, LeafNode], ...]
    psks: tuple[PskId, ...]
    needs_path: bool
    own_pairs: dict[int, KeyPair] = field(repr=False)


def validate(tree: RatchetTree, context: GroupContext, entry: Pending, now: datetime) -> None:
    """Check one proposal against the group (RFC 9420 §12.1). Raises MlsError.

    Lifetimes are checked at `now`. `context` has the extensions that the leaves must support.
    """
    proposal = entry.proposal
    if isinstance(proposal, Add):
        proposal.key_package.validate(now, context.extensions)
    elif isinstance(proposal, Update):
        _validate_update(tree, context, entry.sender, proposal)
    elif isinstance(proposal, Remove) and tree.leaf(proposal.removed) is None:
        raise InvalidProposal("there is no such member to remove", "RFC 9420 §12.1.3")
    elif isinstance(proposal, PreSharedKey):
        _validate_psk(proposal.psk)
    elif isinstance(proposal, GroupContextExtensions):
        for _, leaf in tree.leaves():
            leaf.fit(proposal.extensions)
    elif isinstance(proposal, ReInit | ExternalInit):
        raise UnsupportedFeature("this kind of proposal is not supported", "RFC 9420 §12.1")


def _validate_update(tree: RatchetTree, context: GroupContext, sender: int, proposal: Update) -> None:
    proposal.leaf.validate(UPDATE, context.extensions)
    proposal.leaf.verify(context.group_id, sender)
    if any(leaf.encryption_key == proposal.leaf.encryption_key for _, leaf in tree.leaves()):
        raise InvalidProposal("an update does not bring a new encryption key", "RFC 9420 §7.3")


def _validate_psk(psk: PskId) -> None:
    if len(psk.nonce) != HASH_BYTES:
        raise InvalidProposal("a pre-shared key's nonce has the wrong length", "RFC 9420 §12.1.4")
    if psk.kind == RESUMPTION and psk.usage != APPLICATION:
        raise InvalidProposal("a pre-shared key for another group is proposed", "RFC 9420 §12.1.4")


def resolve(entries: Iterable[Proposal | Reference], pending: Iterable[Pending], committer: int) -> list[Pending]:
    """Look up a commit's references. Raises InvalidProposal when one is unknown or repeated (RFC 9420 §12.4)."""
    pending_by_reference = {entry.reference: entry for entry in pending}
    resolved = []
    for entry in entries:
        if not isinstance(entry, Reference):
            resolved.append(Pending(b"", committer, entry))
        elif entry.value in pending_by_reference:
            resolved.append(pending_by_reference.pop(entry.value))
        else:
            raise InvalidProposal("a proposal is referred to that is not pending", "RFC 9420 §12.4")
    return resolved


def _only(entries: Iterable[Pending], kind: type[P]) -> list[tuple[int, P]]:
    return [(entry.sender, entry.proposal) for entry in entries if isinstance(entry.proposal, kind)]


def _distinct(values: Iterable[object]) -> None:
    entries = list(values)
    if len(set(entries)) != len(entries):
        raise InvalidProposal("two proposals of the list exclude each other", LIST_CLAUSE)


def validate_list(entries: Sequence[Pending], committer: int) -> None:
    """Check the rules between the proposals of a commit (RFC 9420 §12.2). Raises InvalidProposal when one is broken."""
    updated = [sender for sender, _ in _only(entries, Update)]
    removed = [proposal.removed for _, proposal in _only(entries, Remove)]
    if committer in updated + removed:
        raise InvalidProposal("a committer updates or removes itself by a proposal", LIST_CLAUSE)
    _distinct(updated + removed)
    _distinct(proposal.key_package.leaf.signature_key for _, proposal in _only(entries, Add))
    _distinct(proposal.psk for _, proposal in _only(entries, PreSharedKey))
    _distinct(type(proposal) for _, proposal in _only(entries, GroupContextExtensions))


def apply(
    tree: RatchetTree, context: GroupContext, entries: Sequence[Pending], committer: int, now: datetime
) -> Applied:
    """Validate a commit's proposals and apply them to a copy of the tree, in the order of RFC 9420 §12.3."""
    validate_list(entries, committer)
    extensions = next((new.extensions for _, new in _only(entries, GroupContextExtensions)), context.extensions)
    next_context = GroupContext(context.group_id, context.epoch, b"", b"", extensions)
    for entry in entries:
        validate(tree, next_context, entry, now)
    changed, updates = tree.copy(), _only(entries, Update)
    for sender, update in updates:
        changed.update(sender, update.leaf)
    removed = tuple(remove.removed for _, remove in _only(entries, Remove))
    for index in removed:
        changed.remove(index)
    packages = [add.key_package for _, add in _only(entries, Add)]
    return Applied(
        tree=changed,
        extensions=extensions,
        added=tuple((changed.add(package.leaf), package) for package in packages),
        removed=removed,
        updated=tuple((sender, update.leaf) for sender, update in updates),
        psks=tuple(proposal.psk for _, proposal in _only(entries, PreSharedKey)),
        needs_path=not entries or any(isinstance(entry.proposal, NEED_PATH) for entry in entries),
        own_pairs={2 * entry.sender: entry.own_pair for entry in entries if entry.own_pair is not None},
    )
