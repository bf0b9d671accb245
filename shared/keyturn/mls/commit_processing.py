"""Processing a commit from another member (RFC 9420 §12.4.2)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from .cipher_suite import check_mac
from .epoch_change import EpochTransition, conclude, fitting, provisional_context
from .errors import InvalidCommit
from .events import CommitReceived, Member
from .framing import AuthenticatedContent
from .key_package import LifetimeCheck
from .leaf_node import COMMIT
from .proposal_list import Applied, apply, resolve
from .proposals import CommitContent
from .state import State
from .tree_validation import check_unique
from .update_path import NO_PATH_SECRETS, PathSecrets, UpdatePath, check_keys, merge_path, open_path


def process_commit(
    state: State,
    authenticated: AuthenticatedContent,
    commit: CommitContent,
    external: Mapping[bytes, bytes],
    check_lifetime: LifetimeCheck,
    now: datetime,
) -> tuple[State, CommitReceived]:
    """Apply the commit in `authenticated`, after its framing, signature and epoch were checked.

    external: pre-shared keys by id. InvalidCommit or another MlsError when it does not hold (RFC 9420 §12.4.2).
    """
    committer = authenticated.content.sender.index
    # References are looked up first: a commit over an unknown proposal can't be followed (RFC 9420 §12.4).
    entries = resolve(commit.proposals, state.pending, committer)
    applied = apply(state.tree, state.context, entries, committer, check_lifetime)
    if commit.path is not None:
        _merge(state, applied, committer, commit.path)
    elif applied.needs_path:
        raise InvalidCommit("the commit needs a path", "RFC 9420 §12.4")
    # The tree after the whole commit has to be valid, not each step on the way (§12.2).
    check_unique(applied.tree)
    # A removed member can't open the path, so it stops here and has no new epoch to confirm (§12.4.2).
    event = _event(state, applied, committer)
    if event.self_removed:
        return state.removed(), event
    path = _open(state, applied, committer, commit.path)
    pairs = path.key_pairs()
    # The committer could seal a secret that doesn't belong to the public keys it published (§7.5).
    check_keys(applied.tree, pairs)
    own_pairs = {**state.key_pairs, **applied.own_pairs, **pairs}
    psk_secret = state.psks(external).secret(applied.psks)
    change = EpochTransition(applied.tree, applied.extensions, own_pairs, path.commit_secret, psk_secret)
    renewed = replace(state, seed=applied.own_seed or state.seed)
    entered, _, _tag = conclude(renewed, change, authenticated, now)
    secrets, confirmed = entered.secrets, entered.context.confirmed_transcript_hash
    # Last, because it proves that both sides derived the same epoch. Until here nothing was kept.
    check_mac(secrets.confirmation_key, confirmed, authenticated.confirmation_tag, "RFC 9420 §12.4.2")
    return entered, event


def _merge(state: State, applied: Applied, committer: int, path: UpdatePath) -> None:
    path.leaf.validate(COMMIT)
    path.leaf.fit(applied.extensions)
    path.leaf.verify(state.context.group_id, committer)
    # Reused keys would let the holder of an old private key read the new epoch (§12.4.2, §16.7).
    fresh = {path.leaf.encryption_key, *(node.encryption_key for node in path.nodes)}
    if not fresh.isdisjoint(node.encryption_key for node in applied.tree.nodes if node is not None):
        raise InvalidCommit("a key of the path is in the tree already", "RFC 9420 §12.4.2")
    merge_path(applied.tree, committer, path)


def _open(state: State, applied: Applied, committer: int, path: UpdatePath | None) -> PathSecrets:
    if path is None:
        return NO_PATH_SECRETS
    context = provisional_context(state, applied.tree, applied.extensions).encode()
    newcomers = {index for index, _ in applied.added}
    pairs = fitting(applied.tree, {**state.key_pairs, **applied.own_pairs})
    return open_path(applied.tree, (committer, state.own_index), path, pairs, newcomers, context)


def _event(state: State, applied: Applied, committer: int) -> CommitReceived:
    return CommitReceived(
        committer=state.members[committer],
        committer_after=Member.of(committer, leaf) if (leaf := applied.tree.leaf(committer)) else None,
        added=tuple(Member.of(index, package.leaf) for index, package in applied.added),
        removed=tuple(state.members[index] for index in applied.removed),
        updated=tuple(Member.of(index, leaf) for index, leaf in applied.updated),
        self_removed=state.own_index in applied.removed,
        epoch=state.context.epoch + 1,
    )
