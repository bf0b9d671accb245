"""Which pending proposals go into a commit of ours (RFC 9420 §12.2, §12.4).

A committer should include every valid proposal, and no member may keep it from committing by what it proposes. So
every proposal is tried by itself and against what was chosen before, each in constant time: trying the whole list
again for each would cost the square of their number.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from .errors import InvalidProposal, MlsError
from .extensions import Extensions
from .key_package import LifetimeCheck
from .leaf_node import LeafNode
from .proposal_list import LIST_CLAUSE, Pending, apply, validate
from .proposals import Add, GroupContextExtensions, PreSharedKey, Proposal, Remove, Update
from .psk import PskId, PskSource
from .state import State

ORDER = (Remove, Update, Add, PreSharedKey, GroupContextExtensions)


@dataclass
class _Choice:
    """What the chosen proposals use up: leaves, keys, pre-shared keys, and the one change of extensions."""

    state: State
    psks: PskSource
    touched: set[int] = field(default_factory=set)
    signature_keys: set[bytes] = field(default_factory=set)
    encryption_keys: set[bytes] = field(default_factory=set)
    used_psks: set[PskId] = field(default_factory=set)
    new_extensions: Extensions | None = None

    def __post_init__(self) -> None:
        self.signature_keys |= {leaf.signature_key for _, leaf in self.state.tree.leaves()}
        self.encryption_keys |= {node.encryption_key for node in self.state.tree.nodes if node is not None}

    def admit(self, entry: Pending) -> None:
        """Take a proposal in. Raises InvalidProposal or another MlsError when it does not go with the others."""
        match entry.proposal:
            case Remove(removed=index):
                self._touch(index)
                self._drop_keys(index)
            case Update(leaf=leaf):
                leaf.fit(self.state.context.extensions)
                self._require_new_keys(leaf, instead_of=entry.sender)
                self._touch(entry.sender)
                self._drop_keys(entry.sender)
                self._take_keys(leaf)
            case Add(key_package=package):
                package.leaf.fit(self.state.context.extensions)
                self._require_new_keys(package.leaf)
                self._take_keys(package.leaf)
            case PreSharedKey(psk=psk):
                _require(psk not in self.used_psks)
                self.psks.find(psk)
                self.used_psks.add(psk)
            case GroupContextExtensions(extensions=extensions):
                _require(self.new_extensions is None)
                self.new_extensions = extensions

    def _touch(self, index: int) -> None:
        _require(index not in self.touched and index != self.state.own_index)
        self.touched.add(index)

    def _drop_keys(self, index: int) -> None:
        leaf = self.state.tree.leaf(index)
        if leaf is not None:
            self.signature_keys.discard(leaf.signature_key)

    def _require_new_keys(self, leaf: LeafNode, instead_of: int | None = None) -> None:
        replaced = None if instead_of is None else self.state.tree.leaf(instead_of)
        same = replaced is not None and replaced.signature_key == leaf.signature_key
        _require(same or leaf.signature_key not in self.signature_keys)
        # Keys that the commit blanks count as well. A key package or an update has fresh ones anyway.
        _require(leaf.encryption_key not in self.encryption_keys)

    def _take_keys(self, leaf: LeafNode) -> None:
        self.signature_keys.add(leaf.signature_key)
        self.encryption_keys.add(leaf.encryption_key)


def _require(condition: bool) -> None:  # noqa: FBT001 - an assertion's one argument
    if not condition:
        raise InvalidProposal("the proposal does not go with the others", LIST_CLAUSE)


def choose(
    state: State, inline: Sequence[Proposal], external: Mapping[bytes, bytes], check_lifetime: LifetimeCheck
) -> list[Pending]:
    """Choose the pending proposals that go into a commit of ours beside the `inline` ones.

    Removes go before updates of the same leaf, and of several updates of a leaf the latest counts (RFC 9420 §12.2).
    Left out is what would make the commit invalid: an expired key package, our own update, a conflict with another.
    """
    choice = _Choice(state, state.psks(external))
    for proposal in inline:
        with suppress(MlsError):  # an invalid inline proposal is reported when the commit is made
            choice.admit(Pending(b"", state.own_index, proposal))
    chosen = []
    latest_first = list(reversed(state.pending))
    for entry in sorted(latest_first, key=_rank):  # a stable sort: the latest of each kind stays first
        with suppress(MlsError):
            validate(state.tree, state.context, entry, check_lifetime)
            choice.admit(entry)
            chosen.append(entry)
    references = {entry.reference for entry in _without_unsupported(state, inline, chosen, check_lifetime)}
    return [entry for entry in state.pending if entry.reference in references]


def _rank(entry: Pending) -> int:
    return ORDER.index(type(entry.proposal)) if type(entry.proposal) in ORDER else len(ORDER)


def _without_unsupported(
    state: State, inline: Sequence[Proposal], chosen: list[Pending], check_lifetime: LifetimeCheck
) -> list[Pending]:
    """Leave out a change of extensions that a member of the new tree does not support (RFC 9420 §12.1.7)."""
    others = [entry for entry in chosen if not isinstance(entry.proposal, GroupContextExtensions)]
    if len(others) < len(chosen):
        entries = [*chosen, *(Pending(b"", state.own_index, proposal) for proposal in inline)]
        try:
            apply(state.tree, state.context, entries, state.own_index, check_lifetime)
        except MlsError:
            return others
    return chosen
