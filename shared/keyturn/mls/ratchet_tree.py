"""The ratchet tree: nodes, resolution, adding and removing leaves, tree hashes (RFC 9420 §4.1, §7.1, §7.7, §7.8).

A tree is changed only while it is being made: `copy()` first (cheap: the nodes are shared), then change the copy.
Hashes of subtrees are kept until something below them changes.
"""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from . import tree_math
from .cipher_suite import sha256
from .encoding import Reader, decode, optional, uint8, uint32, vector, vector_of
from .errors import InvalidTree, MalformedMessage
from .leaf_node import LeafNode
from .saved import SeparatePart, checked

LEAF, PARENT = 1, 2


@dataclass(frozen=True)
class ParentNode:
    """A parent node: encryption_key (bytes, 32), parent_hash, unmerged leaf indices in increasing order."""

    encryption_key: bytes
    parent_hash: bytes = b""
    unmerged: tuple[int, ...] = ()

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read a ParentNode."""
        node = cls(reader.vector(), reader.vector(), reader.vector_of(Reader.uint32))
        if any(one >= other for one, other in zip(node.unmerged, node.unmerged[1:], strict=False)):
            raise InvalidTree("unmerged leaves are not in increasing order", "RFC 9420 §7.1")
        return node

    @cached_property
    def encoded(self) -> bytes:
        """Encoding as ParentNode."""
        return vector(self.encryption_key) + vector(self.parent_hash) + vector_of(map(uint32, self.unmerged))

    def without(self, leaves: Collection[int]) -> "ParentNode":
        """Return the node as it was before those leaves were added."""
        remaining = tuple(leaf for leaf in self.unmerged if leaf not in leaves)
        return ParentNode(self.encryption_key, self.parent_hash, remaining)


Node = LeafNode | ParentNode


def _read_node(reader: Reader) -> Node:
    kind = reader.uint8()
    if kind == LEAF:
        return LeafNode.read(reader)
    if kind == PARENT:
        return ParentNode.read(reader)
    raise MalformedMessage("a node is neither leaf nor parent", "RFC 9420 §7.8")


class RatchetTree:
    """A ratchet tree in array form: leaf L at node 2·L, None where blank."""

    def __init__(self, nodes: list[Node | None], hashes: list[bytes | None] | None = None) -> None:
        self.nodes = nodes
        self._hashes: list[bytes | None] = [None] * len(nodes) if hashes is None else hashes
        self._saved: SeparatePart | None = None

    @staticmethod
    def load(part: SeparatePart, check: Callable[["RatchetTree"], None]) -> "RatchetTree":
        """Return a saved tree that is read and checked when it is first used. That first use raises InvalidState."""
        return SavedTree(part, check)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read `optional<Node> ratchet_tree<V>` (RFC 9420 §12.4.3.3) and extend it to a complete tree."""
        nodes = list(reader.vector_of(lambda inner: inner.optional(_read_node)))
        # A sender must not include blank nodes at the end, so that a tree has one encoding (§12.4.3.3).
        if not nodes or nodes[-1] is None:
            raise InvalidTree("the last node of the ratchet tree is blank", "RFC 9420 §12.4.3.3")
        if any(node is not None and isinstance(node, ParentNode) != bool(at % 2) for at, node in enumerate(nodes)):
            raise InvalidTree("a node is of the wrong kind for its place", "RFC 9420 §12.4.3.3")
        padding = (1 << len(nodes).bit_length()) - 1 - len(nodes)
        # A complete tree has 2^(d+1) - 1 nodes: one that is complete already stays as it is.
        return cls(nodes + [None] * (padding if len(nodes) & (len(nodes) + 1) else 0))

    def encode(self) -> bytes:
        """Encode as `optional<Node> ratchet_tree<V>`, blank nodes at the end left out."""
        last = max(at for at, node in enumerate(self.nodes) if node is not None)
        return vector_of(map(_encode_node, self.nodes[: last + 1]))

    def save(self) -> SeparatePart:
        """Return the encoded tree as part of a saved state. It is computed once: a tree in a state never changes."""
        if self._saved is None:
            self._saved = SeparatePart.of(self.encode())
        return self._saved

    def copy(self) -> "RatchetTree":
        """Return a mutable copy that shares nodes and hashes."""
        return RatchetTree(list(self.nodes), list(self._hashes))

    @property
    def leaf_count(self) -> int:
        """Number of leaves, blank ones included: a power of two."""
        return (len(self.nodes) + 1) // 2

    def leaf(self, index: int) -> LeafNode | None:
        """Return the leaf with that leaf index. None when it is blank or outside of the tree."""
        node = self.nodes[2 * index] if 0 <= index < self.leaf_count else None
        return node if isinstance(node, LeafNode) else None

    def parent(self, node: int) -> ParentNode | None:
        """Return the parent node at a node index. None when it is blank."""
        content = self.nodes[node]
        return content if isinstance(content, ParentNode) else None

    def leaves(self) -> Iterator[tuple[int, LeafNode]]:
        """Yield all members: leaf index and leaf."""
        for at, node in enumerate(self.nodes[::2]):
            if isinstance(node, LeafNode):
                yield at, node

    def parents(self) -> Iterator[tuple[int, ParentNode]]:
        """Yield all non-blank parents: node index and parent."""
        for at, node in enumerate(self.nodes):
            if isinstance(node, ParentNode):
                yield at, node

    def direct_path(self, leaf: int) -> list[int]:
        """Nodes above the leaf, from its parent up to the root."""
        return tree_math.direct_path(leaf, self.leaf_count)

    def resolution(self, node: int) -> list[int]:
        """Smallest set of nodes that covers all members below `node` (RFC 9420 §4.1.1), as node indices."""
        content = self.nodes[node]
        if isinstance(content, ParentNode):
            return [node, *(2 * leaf for leaf in content.unmerged)]
        if content is not None:
            return [node]
        if node % 2 == 0:
            return []
        return self.resolution(tree_math.left(node)) + self.resolution(tree_math.right(node))

    def filtered_path(self, leaf: int) -> list[tuple[int, int]]:
        """List the filtered direct path (RFC 9420 §4.1.2): pairs of a node and its child on the copath."""
        below, pairs = 2 * leaf, []
        for node in self.direct_path(leaf):
            aside = tree_math.sibling(below)
            if self._inhabited(aside):
                pairs.append((node, aside))
            below = node
        return pairs

    def _inhabited(self, node: int) -> bool:
        below = tree_math.leaf_range(node)
        return any(leaf is not None for leaf in self.nodes[2 * below.start : 2 * below.stop : 2])

    def put(self, node: int, value: Node | None) -> None:
        """Set a node, and forget the hashes above it."""
        self.nodes[node] = value
        self._hashes[node] = None
        top = tree_math.root(self.leaf_count)
        while node != top:
            node = tree_math.parent(node)
            self._hashes[node] = None

    def blank_path(self, leaf: int) -> None:
        """Blank the direct path of a leaf."""
        for node in self.direct_path(leaf):
            self.nodes[node] = self._hashes[node] = None

    def add(self, leaf: LeafNode) -> int:
        """Put a new leaf into the leftmost blank place (RFC 9420 §12.1.1). Returns its leaf index."""
        return self.add_all([leaf])[0]

    def add_all(self, leaves: Sequence[LeafNode]) -> list[int]:
        """Add leaves in this order, each into the leftmost blank place (RFC 9420 §12.1.1). Returns their leaf indices.

        Each parent node is rebuilt once for all of them: one at a time, the cost would grow with the square.
        """
        indices, unmerged = [], dict[int, list[int]]()
        blank = (at for at in itertools.count() if at >= self.leaf_count or self.nodes[2 * at] is None)
        for index, leaf in zip(blank, leaves, strict=False):
            if index == self.leaf_count:
                added = len(self.nodes) + 1
                self.nodes, self._hashes = [*self.nodes, *[None] * added], [*self._hashes, *[None] * added]
            self.put(2 * index, leaf)
            indices.append(index)
        for index in indices:
            for at in self.direct_path(index):
                unmerged.setdefault(at, []).append(index)
        for at, joined in unmerged.items():
            above = self.parent(at)
            if above is not None:
                self.nodes[at] = ParentNode(
                    above.encryption_key, above.parent_hash, tuple(sorted((*above.unmerged, *joined)))
                )
        return indices

    def update(self, index: int, leaf: LeafNode) -> None:
        """Replace a leaf and blank the nodes above it (RFC 9420 §12.1.2)."""
        self.put(2 * index, leaf)
        self.blank_path(index)

    def remove(self, index: int) -> None:
        """Blank a leaf and the nodes above it, and truncate the tree (RFC 9420 §12.1.3, §7.7)."""
        self.put(2 * index, None)
        self.blank_path(index)
        # The right half goes while it is empty, so that removed members don't leave the tree large (§7.7).
        while self.leaf_count > 1 and not self._inhabited(tree_math.right(tree_math.root(self.leaf_count))):
            half = len(self.nodes) // 2
            self.nodes, self._hashes = self.nodes[:half], self._hashes[:half]

    @property
    def root_hash(self) -> bytes:
        """Tree hash of the whole tree: 32 bytes."""
        return self.tree_hash(tree_math.root(self.leaf_count))

    def tree_hash(self, node: int) -> bytes:
        """Tree hash of the subtree at `node` (RFC 9420 §7.8): 32 bytes."""
        cached_hash = self._hashes[node]
        if cached_hash is None:
            cached_hash = self._hashes[node] = self._compute(node, frozenset())
        return cached_hash

    def original_hash(self, node: int, without: Collection[int]) -> bytes:
        """Tree hash at `node` as if the leaves `without` had never been added (RFC 9420 §7.9): 32 bytes."""
        below = tree_math.leaf_range(node)
        inside = frozenset(leaf for leaf in without if leaf in below)
        return self._compute(node, inside) if inside else self.tree_hash(node)

    def _compute(self, node: int, without: frozenset[int]) -> bytes:
        content = self.nodes[node]
        if node % 2 == 0:
            leaf = None if content is None or node // 2 in without else content.encoded
            return sha256(uint8(LEAF) + uint32(node // 2) + optional(leaf))
        if without and isinstance(content, ParentNode):
            content = content.without(without)
        children = (self.original_hash(child, without) for child in (tree_math.left(node), tree_math.right(node)))
        encoded = optional(None if content is None else content.encoded)
        return sha256(uint8(PARENT) + encoded + b"".join(map(vector, children)))


class SavedTree(RatchetTree):
    """A tree of a saved state, not read yet: most states are loaded to send one message, which needs no tree."""

    def __init__(self, part: SeparatePart, check: Callable[[RatchetTree], None]) -> None:
        self._saved = part
        self._check = check

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - called for `nodes` and `_hashes`, until they are read
        if name not in {"nodes", "_hashes"}:
            raise AttributeError(name)
        with checked():
            tree = decode(RatchetTree.read, self.save().read())
            self._check(tree)
        self.nodes, self._hashes = tree.nodes, tree._hashes  # noqa: SLF001 - of the same class
        return getattr(self, name)


def _encode_node(node: Node | None) -> bytes:
    if node is None:
        return optional(None)
    return optional(uint8(PARENT if isinstance(node, ParentNode) else LEAF) + node.encoded)
