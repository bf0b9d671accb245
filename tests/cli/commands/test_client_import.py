"""`keyturn client import` of files as people and spreadsheets write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bcrypt
import pytest

from tests.cli.shell import Operator
from tests.world import GROUP, World, WorldTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

pytestmark = pytest.mark.world()

OLD = "the secret of old"
HASH = bcrypt.hashpw(OLD.encode(), bcrypt.gensalt(4)).decode()
ROWS = [["Client_ID", "Groups", "secret_hash"], ["old-1", GROUP, HASH], [" old-2 ", f"{GROUP} ", f" {{bcrypt}}{HASH}"]]


@pytest.fixture
def keyturn(world: World) -> Operator:
    return Operator(world, WorldTransport())


def table(separator: str, rows: Sequence[Sequence[str]] = ROWS, line_end: str = "\r\n") -> str:
    return line_end.join(separator.join(row) for row in rows) + line_end


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_byte_order_marks_of_spreadsheets(
    keyturn: Operator, tmp_path: Path, separator: str, encoding: str
) -> None:
    file = tmp_path / "clients.csv"
    file.write_bytes((table(separator) + separator * 2 + "\r\n").encode(encoding))
    assert keyturn.json("client", "import", str(file)) == {"added": 2, "known": 0, "refused": []}
    assert [keyturn.world.check(OLD, name)["state"] for name in ("old-1", "old-2")] == ["current"] * 2
