from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from keyturn.private_files import create_private, draft_of, is_open_to_others, open_lock_file, replace_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = b"a secret of the owner"


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("write", [create_private, replace_private])
@pytest.mark.usefixtures("umask")
def test_a_file_has_mode_0600_under_every_umask(tmp_path: Path, write: object) -> None:
    assert callable(write)
    write(tmp_path / "file", SECRET)
    assert mode(tmp_path / "file") == 0o600
    assert (tmp_path / "file").read_bytes() == SECRET


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        create_private(tmp_path / "file", SECRET)
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for write in (create_private, open_lock_file):
        with pytest.raises(OSError, match=r"File exists|symbolic links"):
            write(tmp_path / "link", *([SECRET] if write is create_private else []))
    replace_private(tmp_path / "link", SECRET)  # the link itself is replaced
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "link").is_symlink()


def test_a_link_in_the_place_of_the_draft_is_not_followed(tmp_path: Path) -> None:
    draft_of(tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    replace_private(tmp_path / "file", SECRET)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "fchmod", "replace"])
def test_a_failure_leaves_the_old_content_and_no_readable_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    replace_private(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        with pytest.raises(OSError, match="No space left"):
            replace_private(path, SECRET)
    assert path.read_bytes() == b"old"
    assert all(mode(rest) == 0o600 for rest in tmp_path.iterdir())
    replace_private(path, SECRET)
    assert [rest.name for rest in tmp_path.iterdir()] == ["file"]


def test_a_file_that_could_not_be_filled_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        create_private(tmp_path / "file", SECRET)
    assert list(tmp_path.iterdir()) == []


def test_rights_of_group_and_others_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    create_private(path, SECRET)
    for bits, expected in ((0o600, False), (0o700, False), (0o640, True), (0o601, True)):
        path.chmod(bits)
        assert is_open_to_others(path.stat()) is expected
