"""An attacker with a copy of what a member saved, every key in it, and the whole traffic (RFC 9420 §16.6, §16.7)."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from keyturn.mls import Group, MlsError, tree_math
from keyturn.mls.cipher_suite import decrypt_with_label
from keyturn.mls.commit_processing import _merge
from keyturn.mls.encoding import Reader
from keyturn.mls.epoch_change import provisional_context
from keyturn.mls.framing import AuthenticatedContent, read_message_header
from keyturn.mls.key_schedule import EpochSecrets, Joiner
from keyturn.mls.private_message import PrivateMessage
from keyturn.mls.proposal_list import apply, resolve
from keyturn.mls.proposals import CommitContent
from keyturn.mls.protection import ratchet_kind
from keyturn.mls.public_message import PublicMessage
from keyturn.mls.secret_tree import MessageKey, Ratchet, SecretTree
from keyturn.mls.state import load
from keyturn.mls.update_path import LABEL

from tests.mls.people import RECEIVED

SECRET_BYTES = 32


def open_any(saved: bytes, message: bytes) -> AuthenticatedContent | None:
    """Open a private message with a dump's keys, its owner's own messages too; None when they do not do."""
    reader = Reader(message)
    read_message_header(reader)
    private, state = PrivateMessage.read(reader), load(saved)
    epochs = [(state.secrets.sender_data, state.secret_tree)]
    epochs += [(epoch.sender_data, epoch.secret_tree) for epoch in state.past]
    for sender_data_secret, tree in epochs:
        with suppress(MlsError, StopIteration):  # where nothing is left of a leaf, its ratchets cannot be grown
            data = private.open_sender(sender_data_secret)
            kind = ratchet_kind(private.content_type)
            return private.open(data, tree.take(data.leaf_index, kind, data.generation)[1])
    return None


def follow(saved: bytes, commit: bytes) -> list[bytes]:
    """Open the path secrets of a public commit with each key pair of a dump, the committer's own dump included."""
    reader, state = Reader(commit), load(saved)
    read_message_header(reader)
    content = PublicMessage.read(reader).authenticated.content
    assert isinstance(content.body, CommitContent)
    assert content.body.path is not None
    entries = resolve(content.body.proposals, state.pending, content.sender.index)
    applied = apply(state.tree, state.context, entries, content.sender.index, RECEIVED)
    _merge(state, applied, content.sender.index, content.body.path)
    context = provisional_context(state, applied.tree, applied.extensions).encode()
    opened = []
    for pair in state.key_pairs.values():
        for sealed in (sealed for node in content.body.path.nodes for sealed in node.sealed):
            with suppress(MlsError):
                opened.append(decrypt_with_label(pair, LABEL, context, sealed))
    return opened


def windows(saved: bytes) -> Iterator[bytes]:
    """Yield whatever in a dump could be a secret: every 32 bytes of it."""
    return (saved[at : at + SECRET_BYTES] for at in range(len(saved) - SECRET_BYTES + 1))


def keys_from(secret: bytes, leaf: int, kind: int, generation: int, leaf_count: int) -> Iterator[MessageKey]:
    """Derive a message's key from a secret of unknown kind: ratchet, any node above the leaf, epoch secret (§8, §9)."""
    yield replace(Ratchet(secret), generation=generation).next()[1]
    yield Ratchet(secret).take(generation)[1]
    for node in (2 * leaf, *tree_math.direct_path(leaf, leaf_count)):
        yield SecretTree(leaf_count, {node: secret}, {}).take(leaf, kind, generation)[1]
    encryption = EpochSecrets.derive(secret).encryption
    yield SecretTree.plant(encryption, leaf_count).take(leaf, kind, generation)[1]


def epochs_from(saved: bytes, after: Group, more: bytes = b"") -> Iterator[EpochSecrets]:
    """Guess the next epoch's secrets: a dump's init secret with any 32 bytes of it as commit secret (RFC 9420 §8).

    more: what the attacker knows besides the dump.
    """
    init, context = load(saved).secrets.init, after.state.context.encode()
    for guess in windows(saved + more):
        yield Joiner.advance(init, guess, context).epoch(context)
        yield Joiner(guess).epoch(context)
