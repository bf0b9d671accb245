"""Validation of whole trees: what a joiner checks, and what must hold after each commit (RFC 9420 §7.3, §12.4.3.1)."""

from . import tree_math
from .errors import InvalidLeafNode, InvalidTree
from .extensions import Extensions
from .hpke import check_public
from .key_package import LifetimeCheck
from .leaf_node import KEY_PACKAGE
from .parent_hash import verify_parent_hashes
from .ratchet_tree import RatchetTree

CLAUSE = "RFC 9420 §12.4.3.1"


def validate_tree(
    tree: RatchetTree, tree_hash: bytes, group_id: bytes, extensions: Extensions, check_lifetime: LifetimeCheck
) -> None:
    """Check a received tree against its hash and on its own. Raises InvalidTree or another MlsError.

    Only the total length of lifetimes is checked: a key package may have expired since its owner joined (§7.3).
    """
    # First, because everything else is about a tree that the group's members agreed on.
    if tree.root_hash != tree_hash:
        raise InvalidTree("the ratchet tree does not hash to the tree hash", CLAUSE)
    for index, leaf in tree.leaves():
        leaf.validate(None)
        leaf.fit(extensions)
        leaf.verify(group_id, index)
        if leaf.source == KEY_PACKAGE:
            check_lifetime(leaf.lifetime)
    check_unique(tree)
    _check_unmerged(tree)
    verify_parent_hashes(tree)


def check_unique(tree: RatchetTree) -> None:
    """Check that signature keys are unique among members, and HPKE keys in the whole tree and usable."""
    leaves = [leaf for _, leaf in tree.leaves()]
    if len({leaf.signature_key for leaf in leaves}) != len(leaves):
        raise InvalidLeafNode("two members have the same signature key", "RFC 9420 §7.3")
    keys = [node.encryption_key for node in tree.nodes if node is not None]
    if len(set(keys)) != len(keys):
        raise InvalidTree("an encryption key appears twice in the tree", CLAUSE)
    for key in keys:
        check_public(key)


def _check_unmerged(tree: RatchetTree) -> None:
    for at, node in tree.parents():
        for leaf in node.unmerged:
            if tree.leaf(leaf) is None or not tree_math.contains(at, leaf):
                raise InvalidTree("an unmerged leaf is no member below its node", CLAUSE)
            _check_between(tree, at, leaf)


def _check_between(tree: RatchetTree, top: int, leaf: int) -> None:
    path = tree.direct_path(leaf)
    for at in path[: path.index(top)]:
        between = tree.parent(at)
        if between is not None and leaf not in between.unmerged:
            raise InvalidTree("a leaf is unmerged above a node where it is merged", CLAUSE)
