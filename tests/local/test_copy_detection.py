"""A data folder that is a copy, or was put back from a backup, is noticed, frozen, and founded anew by thawing."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.copy_detection import identify_folder
from keyturn.records import paths

if TYPE_CHECKING:
    from pathlib import Path


def opened(folder: Path) -> Suite:
    suite = Suite(Settings(Stage.LOCAL, folder))
    _ = suite.databases, suite.keys
    return suite


def placed(folder: Path, state: Path) -> Suite:
    suite = opened(folder)
    identify_folder(suite, {"XDG_STATE_HOME": str(state)})
    return suite


def copied(source: Path, target: Path) -> None:
    """Copy a database into a file, new or in place."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def folder(tmp_path: Path, state: Path) -> Path:
    suite = placed(tmp_path / "data", state)
    suite.operator.administration.create_group("ops")
    return tmp_path / "data"


def test_a_folder_in_its_place_is_not_frozen(folder: Path, state: Path) -> None:
    assert placed(folder, state).freeze.freeze_reason() == ""


def test_a_copied_folder_is_noticed_and_stays_frozen(folder: Path, state: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    assert placed(tmp_path / "copy", state).freeze.freeze_reason() == "copied"
    assert placed(tmp_path / "copy", state).freeze.freeze_reason() == "copied"
    assert placed(folder, state).freeze.freeze_reason() == ""


def test_a_store_put_back_in_place_is_noticed(folder: Path, state: Path, tmp_path: Path) -> None:
    with (
        closing(sqlite3.connect(folder / "control.db")) as source,
        closing(sqlite3.connect(tmp_path / "old.db")) as old,
    ):
        source.backup(old)
    placed(folder, state).operator.administration.create_group("later")
    placed(folder, state)  # the outside is told
    with (
        closing(sqlite3.connect(tmp_path / "old.db")) as old,
        closing(sqlite3.connect(folder / "control.db")) as target,
    ):
        old.backup(target)
    assert placed(folder, state).freeze.freeze_reason() == "restored"


def test_a_store_without_its_placement_is_taken_for_restored(folder: Path, state: Path) -> None:
    (folder / "placement.json").unlink()
    assert placed(folder, state).freeze.freeze_reason() == "restored"


def test_both_files_are_private(folder: Path, state: Path) -> None:
    files = [folder / "placement.json", *(state / "keyturn").iterdir()]
    assert {oct(os.stat(file).st_mode & 0o777) for file in files} == {"0o600"}  # noqa: PTH116 - the mode is the point


def test_thawing_founds_every_group_anew_and_lets_things_be_sent(folder: Path, state: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    suite = placed(tmp_path / "copy", state)
    before = suite.databases.control.get([paths.group("ops")])[paths.group("ops")].data
    assert list(suite.freeze.thaw()) == ["ops"]
    after = suite.databases.control.get([paths.group("ops")])[paths.group("ops")].data
    assert suite.freeze.freeze_reason() == ""
    assert before is not None
    assert after is not None
    assert (after["epoch"], after["next_index"]) == (0, 1)
    assert after["sealed"] != before["sealed"]
    assert list(suite.freeze.thaw()) == []
