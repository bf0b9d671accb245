"""`keyturn keys` over a data folder: what it prints, and what it refuses."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
import typer
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.adapters.sqlite.store import SqliteStore
from keyturn.cli.main import RootCommand
from keyturn.local import keys_commands
from typer.testing import CliRunner

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

app = typer.Typer(cls=RootCommand, pretty_exceptions_enable=False)
keys_commands.register(app)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(keys_commands, "LAG_SECONDS", 0.0)
    for name in ("control", "auth", "usage"):
        SqliteStore(tmp_path / f"{name}.db").close()
    LocalKeys.open_or_create(tmp_path / "keys.json", os.urandom)
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["keys", *words, "--data", str(folder)])


def listed(folder: Path) -> list[tuple[str, bool]]:
    return [(key["version"], key["current"]) for key in json.loads(run(folder, "list", "--json").stdout)["keys"]]


def test_a_roll_and_the_end_of_the_old_version(folder: Path) -> None:
    assert run(folder, "roll").exit_code == 0
    assert listed(folder)[:2] == [("local/mac/2", True), ("local/mac/1", False)]
    assert run(folder, "disable", "local/mac/1").exit_code == 0
    assert ("local/mac/1", False) not in listed(folder)


def test_table_names_every_version(folder: Path) -> None:
    shown = run(folder, "list").stdout
    assert all(name in shown for name in ("local/mac/1", "local/seal/1", "local/sign/1", "CLIENTS"))


@pytest.mark.parametrize("purpose", ["seal", "sign"])
def test_other_keys_roll_too(folder: Path, purpose: str) -> None:
    assert json.loads(run(folder, "roll", purpose, "--json").stdout) == {"version": f"local/{purpose}/2"}


@pytest.mark.parametrize("name", ["local/mac/1", "local/seal/1", "local/mac/7"])
def test_refusal_says_where_to_look(folder: Path, name: str) -> None:
    result = run(folder, "disable", name)
    assert result.exit_code == 1
    assert "keyturn keys list" in result.stderr
    assert len(listed(folder)) == 3


def test_a_signing_key_is_disabled_by_its_name_or_kid(folder: Path) -> None:
    assert run(folder, "disable", "local/sign/1").exit_code == 1  # the only one
    for _ in range(2):
        assert run(folder, "roll", "sign").exit_code == 0
    kids = {key["version"]: key["kid"] for key in json.loads(run(folder, "list", "--json").stdout)["keys"]}
    assert kids["local/mac/1"] is None
    assert json.loads(run(folder, "disable", "local/sign/1", "--json").stdout) == {"disabled": "local/sign/1"}
    assert json.loads(run(folder, "disable", kids["local/sign/3"], "--json").stdout) == {"disabled": "local/sign/3"}
    assert [key for key, _ in listed(folder) if key.startswith("local/sign")] == ["local/sign/2"]
