"""The proposals of a commit: which lists are valid, and what they do to the tree (RFC 9420 §12.1 to §12.3)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from .cipher_suite import HASH_BYTES
from .errors import InvalidProposal, UnsupportedFeature
from .extensions import Extensions
from .hpke import KeyPair
from .key_package import KeyPackage, LifetimeCheck
from .key_schedule import GroupContext
from .leaf_node import UPDATE, LeafNode, check_own_support
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

    own_pair, own_seed: for our own Update, the key pair of the proposed leaf, and its signature key if that changes.
    """

    reference: bytes
    sender: int
    proposal: Proposal
    own_pair: KeyPair | None = field(default=None, repr=False)
    own_seed: bytes | None = field(default=None, repr=False)


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
    own_seed: bytes | None = field(repr=False)


def validate(tree: RatchetTree, context: GroupContext, entry: Pending, check_lifetime: LifetimeCheck) -> None:
    """Check one proposal by itself (RFC 9420 §12.1). Raises MlsError.

    Whether the members support the group's extensions is a question to the tree after the whole list (§12.1.7, §12.3):
    a required capability may come with the removal of the one member that lacks it. `apply` checks it.
    """
    proposal = entry.proposal
    if isinstance(proposal, Add):
        proposal.key_package.validate(check_lifetime)
    elif isinstance(proposal, Update):
        _validate_update(tree, context, entry.sender, proposal)
    elif isinstance(proposal, Remove) and tree.leaf(proposal.removed) is None:
        raise InvalidProposal("there is no such member to remove", "RFC 9420 §12.1.3")
    elif isinstance(proposal, PreSharedKey):
        _validate_psk(proposal.psk)
    elif isinstance(proposal, GroupContextExtensions):
        check_own_support(proposal.extensions)
    elif isinstance(proposal, ReInit | ExternalInit):
        raise UnsupportedFeature("this kind of proposal is not supported", "RFC 9420 §12.1")


def _validate_update(tree: RatchetTree, context: GroupContext, sender: int, proposal: Update) -> None:
    proposal.leaf.validate(UPDATE)
    proposal.leaf.verify(context.group_id, sender)
    replaced = tree.leaf(sender)
    if replaced is None or replaced.encryption_key == proposal.leaf.encryption_key:
        raise InvalidProposal("an update does not bring a new encryption key", "RFC 9420 §7.3")


def _validate_psk(psk: PskId) -> None:
    # A short nonce could repeat, and with it the derived secret (§12.1.4).
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
    # A committer renews itself by the path. By a proposal it would undo its own path (§12.2).
    if committer in updated + removed:
        raise InvalidProposal("a committer updates or removes itself by a proposal", LIST_CLAUSE)
    _distinct(updated + removed)
    _distinct(proposal.key_package.leaf.signature_key for _, proposal in _only(entries, Add))
    _distinct(proposal.psk for _, proposal in _only(entries, PreSharedKey))
    _distinct(type(proposal) for _, proposal in _only(entries, GroupContextExtensions))


def apply(
    tree: RatchetTree,
    context: GroupContext,
    entries: Sequence[Pending],
    committer: int,
    check_lifetime: LifetimeCheck,
) -> Applied:
    """Validate a commit's proposals and apply them to a copy of the tree, in the order of RFC 9420 §12.3."""
    validate_list(entries, committer)
    extensions = next((new.extensions for _, new in _only(entries, GroupContextExtensions)), context.extensions)
    for entry in entries:
        validate(tree, context, entry, check_lifetime)
    # Updates, then removes, then adds (§12.3): an added member may take the place of a removed one.
    changed, updates = tree.copy(), _only(entries, Update)
    for sender, update in updates:
        changed.update(sender, update.leaf)
    removed = tuple(remove.removed for _, remove in _only(entries, Remove))
    for index in removed:
        changed.remove(index)
    packages = [add.key_package for _, add in _only(entries, Add)]
    places = changed.add_all([package.leaf for package in packages])
    _check_support(changed, extensions, None if extensions != context.extensions else (*dict(updates), *places))
    return Applied(
        tree=changed,
        extensions=extensions,
        added=tuple(zip(places, packages, strict=True)),
        removed=removed,
        updated=tuple((sender, update.leaf) for sender, update in updates),
        psks=tuple(proposal.psk for _, proposal in _only(entries, PreSharedKey)),
        # An empty commit has no other purpose than the path (§12.4).
        needs_path=not entries or any(isinstance(entry.proposal, NEED_PATH) for entry in entries),
        own_pairs={2 * entry.sender: entry.own_pair for entry in entries if entry.own_pair is not None},
        own_seed=next((entry.own_seed for entry in entries if entry.own_seed is not None), None),
    )


def _check_support(tree: RatchetTree, extensions: Extensions, changed: Iterable[int] | None) -> None:
    """Check that members support the new GroupContext (RFC 9420 §12.1.7, §13.4): `changed` leaf indices, None for all.

    A member that supported the old extensions supports them still, so only new leaves are checked unless they change.
    """
    for index in (at for at, _ in tree.leaves()) if changed is None else changed:
        leaf = tree.leaf(index)
        if leaf is not None:
            leaf.fit(extensions)
