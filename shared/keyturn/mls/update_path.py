"""Update paths: fresh keys for a member's direct path, sealed to the other members (RFC 9420 §7.4 to §7.6)."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

from . import tree_math
from .cipher_suite import ZERO, decrypt_with_label, derive_secret, encrypt_with_label
from .encoding import Reader, vector, vector_of
from .errors import InvalidCommit
from .hpke import KeyPair, Random
from .leaf_node import LeafNode
from .parent_hash import set_path
from .ratchet_tree import RatchetTree

LABEL = "UpdatePathNode"
CLAUSE = "RFC 9420 §7.6"
Sealed = tuple[bytes, bytes]


def read_sealed(reader: Reader) -> Sealed:
    """Read an HPKECiphertext: KEM output and ciphertext."""
    return reader.vector(), reader.vector()


def encode_sealed(sealed: Sealed) -> bytes:
    """Encode as HPKECiphertext."""
    return vector(sealed[0]) + vector(sealed[1])


@dataclass(frozen=True)
class UpdatePathNode:
    """One node of a path: its new key (bytes, 32) and its path secret, sealed to the copath's resolution."""

    encryption_key: bytes
    sealed: tuple[Sealed, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read an UpdatePathNode."""
        return cls(reader.vector(), reader.vector_of(read_sealed))

    def encode(self) -> bytes:
        """Encode as UpdatePathNode."""
        return vector(self.encryption_key) + vector_of(map(encode_sealed, self.sealed))


@dataclass(frozen=True)
class UpdatePath:
    """The committer's new leaf and the nodes of its filtered direct path, from the leaf up."""

    leaf: LeafNode
    nodes: tuple[UpdatePathNode, ...]

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read an UpdatePath."""
        return cls(LeafNode.read(reader), reader.vector_of(UpdatePathNode.read))

    def encode(self) -> bytes:
        """Encode as UpdatePath."""
        return self.leaf.encode() + vector_of(node.encode() for node in self.nodes)


@dataclass(frozen=True)
class PathSecrets:
    """Path secrets by node index, lowest node first. `commit_secret` is the secret after the last one."""

    secrets: Mapping[int, bytes] = field(repr=False)
    commit_secret: bytes = field(repr=False)

    @classmethod
    def ascend(cls, first: bytes, nodes: list[int]) -> Self:
        """Derive the path secrets of `nodes` upwards from the first one (RFC 9420 §7.4)."""
        secrets, secret = {}, first
        for node in nodes:
            secrets[node] = secret
            secret = derive_secret(secret, "path")
        return cls(secrets, secret)

    def key_pairs(self) -> dict[int, KeyPair]:
        """Key pairs of the nodes."""
        return {node: KeyPair.derive(derive_secret(secret, "node")) for node, secret in self.secrets.items()}


# Of a commit without a path: the commit secret is all zeros (RFC 9420 §12.4.1).
NO_PATH_SECRETS = PathSecrets({}, ZERO)


@dataclass(frozen=True)
class FreshPath:
    """A path that we made: its secrets, and the key pairs by node index, our leaf's included."""

    path: PathSecrets
    key_pairs: dict[int, KeyPair] = field(repr=False)
    leaf: LeafNode


def renew_path(
    tree: RatchetTree, index: int, make_leaf: Callable[[bytes, bytes], LeafNode], draws: tuple[bytes, KeyPair]
) -> FreshPath:
    """Renew our own path in `tree`, which is changed (RFC 9420 §7.5).

    make_leaf: signs a leaf from its encryption key (bytes, 32) and parent hash. The leaf goes into the tree before
    the tree hash is computed. draws: the first path secret (bytes, 32) and the new leaf's key pair.
    """
    first, leaf_pair = draws
    nodes = [node for node, _ in tree.filtered_path(index)]
    path = PathSecrets.ascend(first, nodes)
    pairs = path.key_pairs()
    # The leaf is signed over the parent hash, so the nodes above it get their keys first (§7.9).
    leaf = make_leaf(leaf_pair.public, set_path(tree, index, [pairs[node].public for node in nodes]))
    tree.put(2 * index, leaf)
    return FreshPath(path, {2 * index: leaf_pair, **pairs}, leaf)


def _recipients(tree: RatchetTree, aside: int, newcomers: Collection[int]) -> list[int]:
    """Nodes that a path secret is sealed to: the resolution without the leaves added by this commit (§7.6)."""
    return [node for node in tree.resolution(aside) if node // 2 not in newcomers or node % 2]


def seal_path(
    tree: RatchetTree, index: int, fresh: FreshPath, newcomers: Collection[int], context: bytes, random: Random
) -> UpdatePath:
    """Seal the secrets of a renewed path. `context` is the encoded provisional GroupContext (RFC 9420 §7.6)."""
    nodes = []
    for node, aside in tree.filtered_path(index):
        secret = fresh.path.secrets[node]
        keys = [recipient.encryption_key for at in _recipients(tree, aside, newcomers) if (recipient := tree.nodes[at])]
        sealed = tuple(encrypt_with_label(key, LABEL, context, secret, random) for key in keys)
        nodes.append(UpdatePathNode(fresh.key_pairs[node].public, sealed))
    return UpdatePath(fresh.leaf, tuple(nodes))


def merge_path(tree: RatchetTree, index: int, path: UpdatePath) -> None:
    """Merge another member's path into `tree`, in place (RFC 9420 §7.5). Raises InvalidCommit when it does not fit."""
    if len(path.nodes) != len(tree.filtered_path(index)):
        raise InvalidCommit("the path does not have the length of the filtered direct path", CLAUSE)
    if set_path(tree, index, [node.encryption_key for node in path.nodes]) != path.leaf.parent_hash:
        raise InvalidCommit("the leaf's parent hash is not that of the path", "RFC 9420 §7.5")
    tree.put(2 * index, path.leaf)


def open_path(
    tree: RatchetTree,
    senders: tuple[int, int],
    path: UpdatePath,
    key_pairs: Mapping[int, KeyPair],
    newcomers: Collection[int],
    context: bytes,
) -> PathSecrets:
    """Open the one path secret that is for us and derive those above it (RFC 9420 §7.5).

    senders: leaf indices of the committer and of ourselves. `tree` has the path merged, `context` is the encoded
    provisional GroupContext. InvalidCommit when a ciphertext is missing or the keys are not those of the secrets.
    """
    committer, own = senders
    pairs = tree.filtered_path(committer)
    place = next(at for at, (_, aside) in enumerate(pairs) if tree_math.contains(aside, own))
    for (_, aside), node in zip(pairs, path.nodes, strict=True):
        # Checked for every node, not only for ours: a missing ciphertext would lock another member out.
        if len(node.sealed) != len(_recipients(tree, aside, newcomers)):
            raise InvalidCommit("a path secret is not sealed to exactly the resolution", CLAUSE)
    recipients = _recipients(tree, pairs[place][1], newcomers)
    mine = next((at for at, node in enumerate(recipients) if node in key_pairs), None)
    if mine is None:
        raise InvalidCommit("no path secret is sealed to a key of ours", CLAUSE)
    secret = decrypt_with_label(key_pairs[recipients[mine]], LABEL, context, path.nodes[place].sealed[mine])
    return PathSecrets.ascend(secret, [node for node, _ in pairs[place:]])


def check_keys(tree: RatchetTree, key_pairs: Mapping[int, KeyPair]) -> None:
    """Check that derived key pairs are those of the tree (RFC 9420 §7.5, step 6). Raises InvalidCommit otherwise."""
    for node, pair in key_pairs.items():
        content = tree.nodes[node]
        if content is None or content.encryption_key != pair.public:
            raise InvalidCommit("a derived key is not the one in the tree", "RFC 9420 §7.5")
