"""Making a commit and the Welcome for those that it adds (RFC 9420 §12.4.1, §12.4.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from . import tree_math
from .cipher_suite import HASH_BYTES
from .epoch_change import EpochTransition, conclude, provisional_context
from .errors import InvalidCommit
from .extensions import RATCHET_TREE, Extension
from .hpke import KeyPair, Random, draw
from .key_package import LifetimeCheck, LifetimePolicy
from .key_schedule import Joiner
from .leaf_node import LeafNode, next_leaf
from .proposal_list import Applied, Pending, apply
from .proposals import CommitContent, Proposal, Reference
from .protection import protect, sign
from .state import State
from .tree_validation import check_unique
from .update_path import NO_PATH_SECRETS, PathSecrets, UpdatePath, renew_path, seal_path
from .welcome import GroupInfo, GroupSecrets, Welcome


@dataclass(frozen=True)
class Draft:
    """What to commit and how to send it: pending proposals go by reference, `inline` ones by value.

    path: whether to renew our path. new_seed: the signature key (bytes, 32) to change to, with the path.
    """

    pending: Sequence[Pending]
    inline: Sequence[Proposal]
    authenticated_data: bytes = b""
    public: bool = False
    padding: int = 0
    path: bool = True
    new_seed: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Made:
    """The state after our commit, the commit as MLSMessage, and the Welcome as MLSMessage if a member was added."""

    state: State = field(repr=False)
    message: bytes
    welcome: bytes | None


def create_commit(
    state: State,
    draft: Draft,
    external: Mapping[bytes, bytes],
    *,
    lifetimes: LifetimePolicy,
    random: Random,
    now: datetime,
) -> Made:
    """Make a commit (RFC 9420 §12.4.1). Raises MlsError when the proposals are not valid.

    external: pre-shared keys by id, for pending proposals that ask for them.
    """
    entries = [*draft.pending, *(Pending(b"", state.own_index, proposal) for proposal in draft.inline)]
    applied = apply(state.tree, state.context, entries, state.own_index, LifetimeCheck(lifetimes, now))
    # A missing key is an error before anything is generated.
    psk_secret = state.psks(external).secret(applied.psks)
    if not draft.path and (applied.needs_path or draft.new_seed):
        raise InvalidCommit("the commit needs a path", "RFC 9420 §12.4")
    next_seed = draft.new_seed or state.seed
    secrets, fresh_pairs, path = (
        _renew(state, applied, next_seed, random) if draft.path else (NO_PATH_SECRETS, {}, None)
    )
    check_unique(applied.tree)
    # Pending proposals go by reference: their senders signed them, and receivers have them (§12.4).
    references = (Reference(entry.reference) for entry in draft.pending)
    body = CommitContent((*references, *draft.inline), path)
    # Signed with the old epoch's context and key, even if this commit changes the signature key (§12.4.1).
    signed = sign(state, body, draft.authenticated_data, public=draft.public)
    pairs = {**state.key_pairs, **fresh_pairs}
    change = EpochTransition(applied.tree, applied.extensions, pairs, secrets.commit_secret, psk_secret)
    # The confirmation tag covers the signed content, so the new epoch is derived before the message is framed.
    entered, joiner, tag = conclude(replace(state, seed=next_seed), change, signed, now)
    _, message = protect(state, replace(signed, confirmation_tag=tag), random, draft.padding)
    return Made(entered, message, _welcome(entered, applied, secrets, joiner, random))


def _renew(
    state: State, applied: Applied, seed: bytes, random: Random
) -> tuple[PathSecrets, dict[int, KeyPair], UpdatePath]:
    """Renew our path in the new tree and seal it to the previous members (RFC 9420 §7.5)."""
    place = state.context.group_id, state.own_index

    def make_leaf(encryption_key: bytes, parent_hash: bytes) -> LeafNode:
        return next_leaf(state.own_leaf, seed, encryption_key, place, parent_hash)

    draws = draw(random, HASH_BYTES), KeyPair.generate(random)
    fresh = renew_path(applied.tree, state.own_index, make_leaf, draws)
    context = provisional_context(state, applied.tree, applied.extensions).encode()
    # New members get their secrets by the Welcome. Sealing to their leaves as well would only add bytes (§7.6).
    newcomers = {index for index, _ in applied.added}
    path = seal_path(applied.tree, state.own_index, fresh, newcomers, context, random)
    return fresh.path, fresh.key_pairs, path


def _welcome(entered: State, applied: Applied, path: PathSecrets, joiner: Joiner, random: Random) -> bytes | None:
    """Make the Welcome of the new members (RFC 9420 §12.4.3.1).

    Each gets the path secret of its lowest ancestor in our path, or none when the commit has no path.
    """
    if not applied.added:
        return None
    leaves = entered.tree.leaf_count
    newcomers = []
    for index, package in applied.added:
        # A new member gets the one path secret from which all those above it follow (§12.4.3.1).
        shared = tree_math.common_ancestor(index, entered.own_index, leaves)
        secrets = GroupSecrets(joiner.joiner_secret, path.secrets.get(shared), applied.psks)
        newcomers.append((package, secrets))
    group_info = joiner.seal_group_info(group_info_of(entered))
    return Welcome.seal(group_info, newcomers, random).message()


def group_info_of(state: State) -> bytes:
    """Encode and sign the GroupInfo of the current epoch, with the ratchet tree (RFC 9420 §12.4.3).

    It offers no external_pub: external commits are refused here, so no client should try one (§12.4.3.2).
    """
    extensions = (Extension(RATCHET_TREE, state.tree.encode()),)
    tag = state.secrets.confirmation_tag(state.context.confirmed_transcript_hash)
    return GroupInfo(state.context, extensions, tag, state.own_index).sign(state.seed)
