"""From one epoch to the next: what creating and processing a commit have in common (RFC 9420 §12.4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from .errors import InvalidCommit
from .extensions import Extensions
from .framing import AuthenticatedContent
from .hpke import KeyPair
from .key_package import seconds
from .key_schedule import GroupContext, Joiner, confirmed_hash, interim_hash
from .past_epoch import keep
from .ratchet_tree import RatchetTree
from .secret_tree import SecretTree
from .state import State

LAST_EPOCH = 2**64 - 1


@dataclass(frozen=True)
class EpochTransition:
    """What turns one epoch into the next, apart from the commit's own words.

    extensions: of the group context. key_pairs: all of ours that may still fit.
    """

    tree: RatchetTree
    extensions: Extensions
    key_pairs: Mapping[int, KeyPair] = field(repr=False)
    commit_secret: bytes = field(repr=False)
    psk_secret: bytes = field(repr=False)


def provisional_context(state: State, tree: RatchetTree, extensions: Extensions) -> GroupContext:
    """Context of the coming epoch with the old transcript hash (RFC 9420 §12.4.1)."""
    # Epoch numbers never wrap: messages of two epochs with one number could be confused (§8.1).
    if state.context.epoch == LAST_EPOCH:
        raise InvalidCommit("the group is in its last epoch", "RFC 9420 §8.1")
    context = replace(state.context, epoch=state.context.epoch + 1, extensions=extensions)
    return replace(context, tree_hash=tree.root_hash)


def fitting(tree: RatchetTree, pairs: Mapping[int, KeyPair]) -> dict[int, KeyPair]:
    """Keep the key pairs that are still in the tree and delete the outdated ones (RFC 9420 §7.5)."""
    nodes = dict(enumerate(tree.nodes))
    return {at: pair for at, pair in pairs.items() if (node := nodes.get(at)) and node.encryption_key == pair.public}


def conclude(
    state: State, change: EpochTransition, authenticated: AuthenticatedContent, now: datetime
) -> tuple[State, Joiner, bytes]:
    """Enter the new epoch: its state, the joiner secret for Welcomes, and the confirmation tag (RFC 9420 §12.4)."""
    provisional = provisional_context(state, change.tree, change.extensions)
    confirmed = confirmed_hash(state.interim_hash, authenticated.transcript_input())
    context = replace(provisional, confirmed_transcript_hash=confirmed)
    joiner = Joiner.advance(state.secrets.init, change.commit_secret, context.encode(), change.psk_secret)
    secrets = joiner.epoch(context.encode())
    tag, ended = secrets.confirmation_tag(confirmed), seconds(now)
    entered = State(
        context=context,
        tree=change.tree,
        own_index=state.own_index,
        seed=state.seed,
        key_pairs=fitting(change.tree, change.key_pairs),
        # Every message key of the epoch follows from the encryption secret, so only the secret tree keeps it (§9.2).
        secrets=secrets.without_encryption(),
        interim_hash=interim_hash(confirmed, tag),
        secret_tree=SecretTree.plant(secrets.encryption, change.tree.leaf_count).grow(state.own_index),
        past=keep((*state.past, state.retire(ended)), ended),
    )
    return entered, joiner, tag
