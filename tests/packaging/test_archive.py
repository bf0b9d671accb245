import hashlib
import io
import shutil
import zipfile
from pathlib import Path

import pytest
from keyturn.local.package import FILES, FOLDERS, ROOT, archive, contents, write

from main import DOORS


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in FOLDERS:
        shutil.copytree(ROOT / name, tmp_path / name)
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


def test_it_holds_every_door_and_nothing_but_modules_and_requirements(tree: Path) -> None:
    (tree / "shared" / ".env").write_text("something that somebody left here")
    (tree / "functions" / "keys.json").write_text("{}")
    names = set(contents(tree))
    assert {f"functions/{door}/main.py" for door in DOORS} <= names
    assert {name for name in names if not name.endswith(".py")} == {"requirements.txt"}


def test_a_deployments_own_certificates_go_along(tree: Path) -> None:
    (tree / "trust" / "webauthn").mkdir(parents=True)
    (tree / "trust" / "apple.pem").write_text("a certificate")
    (tree / "trust" / "webauthn" / "packed.pem").write_text("another")
    (tree / "trust" / "private.key").write_text("something that somebody left here")
    added = set(contents(tree)) - set(contents(ROOT))
    assert added == {"trust/apple.pem", "trust/webauthn/packed.pem"}


def test_no_door_needs_a_file_that_is_left_out() -> None:
    here = {path.suffix or path.name for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()}
    assert here <= {".py", ".pyc", ".md", ".typed"}


def test_the_name_is_the_hash_and_earlier_archives_go(tree: Path, tmp_path: Path) -> None:
    into = tmp_path / "build"
    first = write(into, tree)
    (tree / "main.py").write_text("")
    second = write(into, tree)
    assert second.name == f"keyturn-{hashlib.sha256(second.read_bytes()).hexdigest()}.zip"
    assert list(into.iterdir()) == [second]
    assert first != second
