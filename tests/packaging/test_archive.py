"""The deployment archive: reproducible bytes, and exactly the modules that the functions import."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from typing import TYPE_CHECKING

import grimp
import pytest
from keyturn.local.package import FILES, ROOT, archive, contents, imported_modules, write

from main import FUNCTIONS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in ("functions", "shared"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_the_same_tree_gives_the_same_bytes_wherever_and_whenever_it_lies(tree: Path) -> None:
    (tree / "main.py").touch()
    (tree / "main.py").chmod(0o600)
    assert archive(tree) == archive(ROOT)


def test_the_name_of_a_folder_above_the_checkout_leaves_nothing_out(tree: Path) -> None:
    checkout = tree / "usr" / "local" / "device" / "cli"
    checkout.mkdir(parents=True)
    for name in (*FILES, "functions", "shared"):
        (tree / name).rename(checkout / name)
    assert archive(checkout) == archive(ROOT)


def test_the_names_are_sorted_and_the_times_are_one() -> None:
    entries = zipfile.ZipFile(io.BytesIO(archive())).infolist()
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}


def test_it_holds_every_function_and_no_file_that_somebody_left_in_the_tree(tree: Path) -> None:
    (tree / "shared" / ".env").write_text("a secret")
    (tree / "functions" / "keys.json").write_text("{}")
    names = set(contents(tree))
    assert {f"functions/{function}/main.py" for function in FUNCTIONS} <= names
    assert {name for name in names if not name.endswith((".py", ".sql"))} == {"requirements.txt"}


def test_it_holds_exactly_the_modules_that_another_tool_finds_imported() -> None:
    graph = grimp.build_graph("functions", "keyturn", exclude_type_checking_imports=True, cache_dir=None)
    entries = {name for name in graph.modules if name.startswith("functions")}
    found = entries.union(*(graph.find_upstream_modules(name) for name in entries))
    packages = {name.rsplit(".", count)[0] for name in found for count in range(1, name.count(".") + 1)}
    assert set(imported_modules(ROOT)) == found | packages


@pytest.mark.parametrize("room", ["agent", "cli", "console", "device", "local", "proxy", "witness"])
def test_it_holds_no_room_that_functions_must_not_import(room: str) -> None:
    assert [name for name in contents(ROOT) if name.startswith(f"shared/keyturn/{room}/")] == []


def test_an_import_that_only_runs_inside_a_function_is_followed_and_one_for_types_is_not(tree: Path) -> None:
    source = tree / "shared" / "keyturn"
    for name in ("late", "typed", "relative"):
        (source / f"{name}.py").write_text("")
    (tree / "functions" / "status" / "main.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import keyturn.typed\n"
        "def status(request):\n    from keyturn.late import nothing\n"
    )
    (source / "late.py").write_text("from . import relative\n")
    modules = imported_modules(tree)
    assert {"keyturn.late", "keyturn.relative"} <= set(modules)
    assert "keyturn.typed" not in modules


def test_a_data_file_is_included_if_a_module_beside_it_names_it(tree: Path) -> None:
    folder = tree / "functions" / "status"
    (folder / "query.sql").write_text("SELECT 1")
    (folder / "other.sql").write_text("SELECT 2")
    (folder / "main.py").write_text('QUERY = "query.sql"\n')
    assert [name for name in contents(tree) if name.startswith("functions/status/") and name.endswith(".sql")] == [
        "functions/status/query.sql"
    ]


def test_a_deployments_own_certificates_go_along(tree: Path) -> None:
    (tree / "trust" / "webauthn").mkdir(parents=True)
    (tree / "trust" / "apple.pem").write_text("a certificate")
    (tree / "trust" / "webauthn" / "packed.pem").write_text("another")
    (tree / "trust" / "private.key").write_text("something that somebody left here")
    added = set(contents(tree)) - set(contents(ROOT))
    assert added == {"trust/apple.pem", "trust/webauthn/packed.pem"}


def test_the_name_is_the_hash_and_earlier_archives_go(tree: Path, tmp_path: Path) -> None:
    into = tmp_path / "build"
    first = write(into, tree)
    (tree / "main.py").write_text("")
    second = write(into, tree)
    assert second.name == f"keyturn-{hashlib.sha256(second.read_bytes()).hexdigest()}.zip"
    assert list(into.iterdir()) == [second]
    assert first != second
