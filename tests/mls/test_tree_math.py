import pytest
from keyturn.mls import tree_math


def test_paths_and_ancestors() -> None:
    assert tree_math.direct_path(0, 1) == []
    assert tree_math.direct_path(2, 8) == [5, 3, 7]
    assert tree_math.common_ancestor(0, 1, 8) == 1
    assert tree_math.common_ancestor(0, 7, 8) == 7


@pytest.mark.parametrize(("node", "leaves"), [(0, [0]), (4, [2]), (5, [2, 3]), (3, [0, 1, 2, 3]), (11, [4, 5, 6, 7])])
def test_leaves_below_a_node(node: int, leaves: list[int]) -> None:
    assert list(tree_math.leaf_range(node)) == leaves
    assert [leaf for leaf in range(9) if tree_math.contains(node, leaf)] == leaves
