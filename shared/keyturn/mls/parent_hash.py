"""Parent hashes: each node authenticates the nodes above it (RFC 9420 §7.9)."""

from . import tree_math
from .cipher_suite import sha256
from .encoding import vector
from .errors import InvalidTree
from .ratchet_tree import ParentNode, RatchetTree


def parent_hash(tree: RatchetTree, node: ParentNode, sibling: int) -> bytes:
    """Parent hash of `node` with the copath child at node index `sibling` (RFC 9420 §7.9): 32 bytes."""
    original = tree.original_hash(sibling, node.unmerged)
    return sha256(vector(node.encryption_key) + vector(node.parent_hash) + vector(original))


def set_path(tree: RatchetTree, leaf: int, keys: list[bytes]) -> bytes:
    """Put new public keys (bytes, 32 each) on the filtered direct path of a leaf. Returns the leaf's parent hash.

    Blanks the direct path first (RFC 9420 §7.5) and hashes from the root down, so that every hash takes in all
    that is above it. The parent hash is empty when the path is.
    """
    pairs = tree.filtered_path(leaf)
    # Stale nodes above must not be hashed: the path may be shorter than the old one (§7.5).
    tree.blank_path(leaf)
    above = b""
    for (node, sibling), key in reversed(list(zip(pairs, keys, strict=True))):
        fresh = ParentNode(key, above)
        tree.put(node, fresh)
        above = parent_hash(tree, fresh, sibling)
    return above


def verify_parent_hashes(tree: RatchetTree) -> None:
    """Check that every non-blank parent is parent-hash valid (RFC 9420 §7.9.2). Raises InvalidTree otherwise."""
    for at, node in tree.parents():
        left_child, right_child = tree_math.left(at), tree_math.right(at)
        if not (
            _has_valid_parent_hash(tree, node, left_child, right_child)
            or _has_valid_parent_hash(tree, node, right_child, left_child)
        ):
            raise InvalidTree("a parent node is not parent-hash valid", "RFC 9420 §7.9.2")


def _has_valid_parent_hash(tree: RatchetTree, node: ParentNode, child: int, sibling: int) -> bool:
    """Whether a descendant under `child` carries the hash of `node`, set by the path that set both."""
    expected = parent_hash(tree, node, sibling)
    resolution = tree.resolution(child)
    unmerged = {2 * leaf for leaf in node.unmerged if tree_math.contains(child, leaf)}
    carriers = (at for at in resolution if (parent := tree.nodes[at]) is not None and parent.parent_hash == expected)
    return any(unmerged == set(resolution) - {at} for at in carriers)
