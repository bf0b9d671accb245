"""The secret tree: one-time keys for messages, forgotten as they are used (RFC 9420 §9).

The tree is a value: taking a key returns it together with the tree that no longer has it. Node secrets are kept
only where no leaf below has been used. Ratchets go forward only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from . import tree_math
from .cipher_suite import HASH_BYTES, KEY_BYTES, NONCE_BYTES, derive_tree_secret, expand_with_label
from .encoding import Reader, uint32, vector_of
from .errors import GenerationTooFar, InvalidState, ReplayedMessage

HANDSHAKE, APPLICATION = 0, 1
MOST_FORWARD = 1000
MOST_SKIPPED = 100
MOST_SKIPPED_IN_TREE = 1000
LAST_GENERATION = 0xFFFF_FFFF
CLAUSE = "RFC 9420 §9.1"


@dataclass(frozen=True)
class MessageKey:
    """The key (bytes, 16) and nonce (bytes, 12) of one generation."""

    generation: int
    key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a saved key."""
        return cls(reader.uint32(), reader.fixed(KEY_BYTES), reader.fixed(NONCE_BYTES))

    def encode(self) -> bytes:
        """Encode to be saved."""
        return uint32(self.generation) + self.key + self.nonce


@dataclass(frozen=True)
class Ratchet:
    """A hash ratchet (RFC 9420 §9.1): the secret of the next generation, and keys of generations jumped over."""

    secret: bytes = field(repr=False)
    generation: int = 0
    skipped: tuple[MessageKey, ...] = field(default=(), repr=False)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a saved ratchet."""
        return cls(reader.fixed(HASH_BYTES), reader.uint32(), reader.vector_of(MessageKey.read))

    def encode(self) -> bytes:
        """Encode to be saved."""
        return self.secret + uint32(self.generation) + vector_of(key.encode() for key in self.skipped)

    def next(self) -> tuple["Ratchet", MessageKey]:
        """Take the key of the next generation."""
        if self.generation == LAST_GENERATION:
            raise GenerationTooFar("the ratchet is at its end", CLAUSE)
        key = derive_tree_secret(self.secret, "key", self.generation, KEY_BYTES)
        nonce = derive_tree_secret(self.secret, "nonce", self.generation, NONCE_BYTES)
        following = derive_tree_secret(self.secret, "secret", self.generation, HASH_BYTES)
        return Ratchet(following, self.generation + 1, self.skipped), MessageKey(self.generation, key, nonce)

    def take(self, generation: int) -> tuple["Ratchet", MessageKey]:
        """Take the key of that generation, once.

        ReplayedMessage when it is gone, GenerationTooFar when it is more than 1000 ahead. Of the generations jumped
        over, the latest 100 are kept.
        """
        if generation < self.generation:
            return self._take_skipped(generation)
        # Each generation costs a derivation. Without a bound, one message could cost four billion (§15.3).
        if generation - self.generation > MOST_FORWARD:
            raise GenerationTooFar("the generation is too far ahead", CLAUSE)
        ratchet, key = self.next()
        while key.generation < generation:
            # Kept for messages out of order, and few of them: each is a key that forward secrecy wants deleted (§9.2).
            skipped = (*ratchet.skipped, key)[-MOST_SKIPPED:]
            ratchet, key = replace(ratchet, skipped=skipped).next()
        return ratchet, key

    def _take_skipped(self, generation: int) -> tuple["Ratchet", MessageKey]:
        skipped_key = next((key for key in self.skipped if key.generation == generation), None)
        if skipped_key is None:
            raise ReplayedMessage("the key of that generation is gone", CLAUSE)
        return replace(self, skipped=tuple(key for key in self.skipped if key != skipped_key)), skipped_key


@dataclass(frozen=True)
class SecretTree:
    """Node secrets by node index, and ratchets by (leaf index, HANDSHAKE or APPLICATION)."""

    leaf_count: int
    nodes: Mapping[int, bytes] = field(repr=False)
    ratchets: Mapping[tuple[int, int], Ratchet] = field(repr=False)

    @classmethod
    def plant(cls, encryption_secret: bytes, leaf_count: int) -> Self:
        """Start an epoch's tree from its encryption secret (bytes, 32)."""
        return cls(leaf_count, {tree_math.root(leaf_count): encryption_secret}, {})

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a saved tree. Raises InvalidState when a secret is not where this tree can have one."""
        leaf_count = reader.uint32()
        nodes = dict(reader.vector_of(lambda inner: (inner.uint32(), inner.fixed(HASH_BYTES))))
        ratchets = dict(reader.vector_of(lambda inner: ((inner.uint32(), inner.uint8()), Ratchet.read(inner))))
        tree = cls(leaf_count, nodes, ratchets)
        if not all(node < tree_math.node_count(leaf_count) for node in nodes):
            raise InvalidState("a secret is outside of the secret tree", "RFC 9420 §9")
        return tree

    def encode(self) -> bytes:
        """Encode for saving, without consumed secrets."""
        nodes = vector_of(uint32(node) + secret for node, secret in sorted(self.nodes.items()))
        ratchets = vector_of(
            uint32(leaf) + bytes([kind]) + ratchet.encode() for (leaf, kind), ratchet in sorted(self.ratchets.items())
        )
        return uint32(self.leaf_count) + nodes + ratchets

    def grow(self, leaf: int) -> "SecretTree":
        """Derive the ratchets of a leaf, and forget the secrets above it (RFC 9420 §9.2)."""
        # Grown already. The secrets above it are gone, and must be (§9.2).
        if (leaf, APPLICATION) in self.ratchets:
            return self
        nodes = dict(self.nodes)
        above = (2 * leaf, *tree_math.direct_path(leaf, self.leaf_count))
        top = next((node for node in above if node in nodes), None)
        if top is None:
            raise InvalidState("the secrets of this leaf are gone", "RFC 9420 §9.2")
        secret = nodes.pop(top)
        while top != 2 * leaf:
            sides = tree_math.left(top), tree_math.right(top)
            below = {
                side: expand_with_label(secret, "tree", name, HASH_BYTES)
                for side, name in zip(sides, (b"left", b"right"), strict=True)
            }
            top = next(side for side in sides if tree_math.contains(side, leaf))
            secret = below.pop(top)
            nodes.update(below)
        fresh = {
            (leaf, kind): Ratchet(expand_with_label(secret, label, b"", HASH_BYTES))
            for kind, label in ((HANDSHAKE, "handshake"), (APPLICATION, "application"))
        }
        return SecretTree(self.leaf_count, nodes, {**self.ratchets, **fresh})

    def take(self, leaf: int, kind: int, generation: int) -> tuple["SecretTree", MessageKey]:
        """Take the key of a received message. Raises ReplayedMessage or GenerationTooFar when there is none."""
        tree = self.grow(leaf)
        ratchet, key = tree.ratchets[leaf, kind].take(generation)
        ratchets = {**tree.ratchets, (leaf, kind): ratchet}
        if ratchet.skipped:
            _drop_excess(ratchets)
        return replace(tree, ratchets=ratchets), key

    def next(self, leaf: int, kind: int) -> tuple["SecretTree", MessageKey]:
        """Take the next key to send with."""
        tree = self.grow(leaf)
        ratchet, key = tree.ratchets[leaf, kind].next()
        return replace(tree, ratchets={**tree.ratchets, (leaf, kind): ratchet}), key

    def without(self, leaf: int) -> "SecretTree":
        """Forget a leaf's ratchets for good: our own, once an epoch is only received in."""
        tree = self.grow(leaf)
        return replace(tree, ratchets={key: ratchet for key, ratchet in tree.ratchets.items() if key[0] != leaf})


def _drop_excess(ratchets: dict[tuple[int, int], Ratchet]) -> None:
    """Drop skipped keys beyond 1000 in all: the oldest of the ratchet that keeps most of them.

    Without a bound over all members, many of them together could fill every other member's saved state (RFC 9420
    §15.3). A member that jumps ahead loses keys of its own first, and not those of others.
    """
    kept = sum(len(ratchet.skipped) for ratchet in ratchets.values())
    for _ in range(kept - MOST_SKIPPED_IN_TREE):
        largest = max(ratchets, key=lambda at: len(ratchets[at].skipped))
        ratchets[largest] = replace(ratchets[largest], skipped=ratchets[largest].skipped[1:])
