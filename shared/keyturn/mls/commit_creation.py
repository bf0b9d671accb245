"""Making a commit and the Welcome for those that it adds (RFC 9420 §12.4.1, §12.4.3)."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from . import tree_math
from .cipher_suite import HASH_BYTES
from .encoding import vector
from .epoch_change import Transition, conclude, provisional_context
from .errors import MlsError
from .extensions import EXTERNAL_PUB, RATCHET_TREE, Extension
from .hpke import KeyPair, Random, draw
from .key_schedule import Joiner
from .leaf_node import LeafNode, next_leaf
from .proposal_list import Applied, Pending, apply
from .proposals import CommitContent, Proposal, Reference, Remove
from .protection import protect, sign
from .state import State
from .tree_validation import check_unique
from .update_path import FreshPath, UpdatePath, renew_path, seal_path
from .welcome import GroupInfo, GroupSecrets, Welcome


@dataclass(frozen=True)
class Draft:
    """What to commit and how to send it: pending proposals go by reference, `inline` ones by value."""

    pending: Sequence[Pending]
    inline: Sequence[Proposal]
    authenticated_data: bytes
    public: bool
    padding: int


@dataclass(frozen=True)
class Made:
    """The state after our commit, the commit as MLSMessage, and the Welcome as MLSMessage if a member was added."""

    state: State = field(repr=False)
    message: bytes
    welcome: bytes | None


def create_commit(
    state: State, draft: Draft, external: Mapping[bytes, bytes], *, random: Random, now: datetime
) -> Made:
    """Make a commit, always with a path (RFC 9420 §12.4.1). Raises MlsError when the proposals do not hold.

    external: pre-shared keys by id, for pending proposals that ask for them.
    """
    entries = [*draft.pending, *(Pending(b"", state.own_index, proposal) for proposal in draft.inline)]
    applied = apply(state.tree, state.context, entries, state.own_index, now)
    psk_secret = state.psks(external).secret(applied.psks)
    fresh, path = _renew(state, applied, random)
    check_unique(applied.tree)
    references = (Reference(entry.reference) for entry in draft.pending)
    body = CommitContent((*references, *draft.inline), path)
    signed = sign(state, body, draft.authenticated_data, public=draft.public)
    pairs = {**state.key_pairs, **fresh.key_pairs}
    change = Transition(applied.tree, applied.extensions, pairs, fresh.path.commit_secret, psk_secret)
    entered, joiner, tag = conclude(state, change, signed, now)
    _, message = protect(state, replace(signed, confirmation_tag=tag), random, draft.padding)
    return Made(entered, message, _welcome(entered, applied, fresh, joiner, random))


def choose(state: State, inline: Sequence[Proposal], external: Mapping[bytes, bytes], now: datetime) -> list[Pending]:
    """Choose the pending proposals that may stand in a commit of ours beside the `inline` ones (RFC 9420 §12.2).

    Removes go before updates of the same leaf, and of several updates of a leaf the latest counts. What would make
    the commit invalid (expired meanwhile, excluded by another, our own update) is left out, so that no member can
    keep us from committing by what it proposes.
    """
    selection = [Pending(b"", state.own_index, proposal) for proposal in inline]
    latest_first = state.pending[::-1]
    for entry in sorted(latest_first, key=lambda entry: not isinstance(entry.proposal, Remove)):
        with suppress(MlsError):
            applied = apply(state.tree, state.context, [*selection, entry], state.own_index, now)
            check_unique(applied.tree)
            state.psks(external).secret(applied.psks)
            selection.append(entry)
    return [entry for entry in state.pending if entry in selection]


def _renew(state: State, applied: Applied, random: Random) -> tuple[FreshPath, UpdatePath]:
    """Renew our path in the new tree and seal it to the previous members (RFC 9420 §7.5)."""
    place = state.context.group_id, state.own_index

    def make_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        return next_leaf(state.own_leaf, state.seed, encryption_key, place, parent_hash)

    draws = draw(random, HASH_BYTES), KeyPair.generate(random)
    fresh = renew_path(applied.tree, state.own_index, make_leaf, draws)
    context = provisional_context(state, applied.tree, applied.extensions).encode()
    newcomers = {index for index, _ in applied.added}
    return fresh, seal_path(applied.tree, state.own_index, fresh, newcomers, context, random)


def _welcome(entered: State, applied: Applied, fresh: FreshPath, joiner: Joiner, random: Random) -> bytes | None:
    """Welcome the newcomers, each with the path secret of its lowest ancestor in our path (RFC 9420 §12.4.3.1)."""
    if not applied.added:
        return None
    leaves = entered.tree.leaf_count
    newcomers = []
    for index, package in applied.added:
        shared = tree_math.common_ancestor(index, entered.own_index, leaves)
        secrets = GroupSecrets(joiner.joiner_secret, fresh.path.secrets[shared], applied.psks)
        newcomers.append((package, secrets))
    group_info = joiner.seal_group_info(group_info_of(entered))
    return Welcome.seal(group_info, newcomers, random).message()


def group_info_of(state: State) -> bytes:
    """Encode and sign the GroupInfo of the current epoch, with ratchet tree and external key (RFC 9420 §12.4.3)."""
    extensions = (
        Extension(RATCHET_TREE, state.tree.encode()),
        # ExternalPub holds an HPKEPublicKey, which is a vector itself: its length prefix belongs to the data.
        Extension(EXTERNAL_PUB, vector(state.secrets.external_public())),
    )
    tag = state.secrets.confirmation_tag(state.context.confirmed_transcript_hash)
    return GroupInfo(state.context, extensions, tag, state.own_index).sign(state.seed)
