"""A store or key file that may not be used: permissions are named as permissions, and damage as damage."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from keyturn.adapters.key_file.file import KeyFile
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.local.errors import unusable
from keyturn.ports.keys import KeyUnavailable
from keyturn.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOBODY = 65534
OPENERS: dict[str, Callable[[Path], object]] = {
    "control.db": SqliteStore,
    "keys.json": lambda path: KeyFile(path, mounted=True).read(),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    SqliteStore(tmp_path / "control.db").file.close()
    LocalKeys.open_or_create(tmp_path / "keys.json", os.urandom)
    return tmp_path


def message(folder: Path, name: str) -> str:
    """Return how a file that cannot be opened is reported, with the hint, and empty if it can be opened."""
    try:
        OPENERS[name](folder / name)
    except (StoreUnavailable, KeyUnavailable) as error:
        local = unusable("The data folder", error)
        return f"{local} {local.hint}"
    return ""


def message_for_another_user(folder: Path, name: str) -> str:
    """Return the same for a user without any right on the file. Root may open every file, so it becomes another."""
    (folder / name).chmod(0o000)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        if os.geteuid() == 0:
            os.setresuid(NOBODY, NOBODY, NOBODY)
        os.write(writer, message(folder, name).encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as stream:
        return stream.read()


@pytest.mark.parametrize("name", OPENERS)
def test_missing_rights_are_no_damage(folder: Path, name: str) -> None:
    assert message(folder, name) == ""
    text = message_for_another_user(folder, name)
    assert "by this process's user" in text
    assert "nothing is damaged" in text
    assert "backup" not in text


@pytest.mark.parametrize("name", OPENERS)
def test_only_damage_is_a_reason_for_a_backup(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(b"x" * 4096)
    text = message(folder, name)
    assert "is damaged" in text
    assert "Restore it from a backup" in text
