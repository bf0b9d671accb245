"""Arithmetic of complete binary trees kept in an array, leaves at even indices (RFC 9420 Appendix C)."""


def node_count(leaves: int) -> int:
    """Count the nodes of a tree with `leaves` (a power of two) leaves."""
    return 2 * leaves - 1


def level(node: int) -> int:
    """Height of a node above the leaves: the number of its trailing one bits."""
    return (~node & (node + 1)).bit_length() - 1


def root(leaves: int) -> int:
    """Index of the root in a tree with `leaves` leaves."""
    return leaves - 1


def left(node: int) -> int:
    """Left child of a parent node."""
    return node ^ (1 << (level(node) - 1))


def right(node: int) -> int:
    """Right child of a parent node."""
    return node ^ (3 << (level(node) - 1))


def parent(node: int) -> int:
    """Parent of a node that is not the root."""
    bit = level(node)
    return (node | (1 << bit)) & ~(2 << bit)


def sibling(node: int) -> int:
    """Return the other child of the parent of a node that is not the root."""
    above = parent(node)
    return right(above) if node < above else left(above)


def direct_path(leaf: int, leaves: int) -> list[int]:
    """Nodes above the leaf with index `leaf`, from its parent up to the root."""
    node, top, path = 2 * leaf, root(leaves), []
    while node != top:
        node = parent(node)
        path.append(node)
    return path


def leaf_range(node: int) -> range:
    """Leaf indices below a node (the leaf itself, if it is one)."""
    half = 1 << level(node)
    first = (node - half + 1) // 2
    return range(first, first + half)


def contains(node: int, leaf: int) -> bool:
    """Whether the leaf with index `leaf` is below `node`."""
    return leaf in leaf_range(node)


def common_ancestor(one: int, other: int, leaves: int) -> int:
    """Lowest node above both leaves (given by leaf index)."""
    return next(node for node in direct_path(one, leaves) if contains(node, other))
