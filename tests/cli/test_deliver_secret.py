from __future__ import annotations

import shlex
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from keyturn.cli.deliver_secret import run_with_secret, write_secret
from keyturn.device.core.errors import DeliveryError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s3cret-of-43-characters"


def python(code: str, *arguments: str) -> str:
    return shlex.join([sys.executable, "-c", code, *arguments])


def test_a_file_holds_the_secret_and_nothing_else_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_secret(path, SECRET)
    assert path.read_text() == SECRET
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_exists_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("mine")
    with pytest.raises(DeliveryError) as refused:
        write_secret(path, SECRET)
    assert path.read_text() == "mine"
    assert "does not exist yet" in refused.value.hint


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(DeliveryError):
        write_secret(tmp_path / "link", SECRET)
    assert not (tmp_path / "target").exists()


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError):
        write_secret(tmp_path / "missing" / "secret", SECRET)


def test_a_program_gets_the_secret_on_its_standard_input_only(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    code = (
        "import os, sys, json, pathlib; pathlib.Path(sys.argv[1]).write_text("
        "json.dumps([sys.stdin.read(), sys.argv, dict(os.environ)]))"
    )
    assert run_with_secret(python(code, str(seen)), SECRET, output_to_stderr=False) == 0
    assert seen.read_text().count(SECRET) == 1


def test_a_programs_exit_code_is_passed_on() -> None:
    assert run_with_secret(python("raise SystemExit(7)"), SECRET, output_to_stderr=False) == 7
    assert run_with_secret(python("import os; os.kill(os.getpid(), 9)"), SECRET, output_to_stderr=False) == 137


def test_no_shell_reads_the_command(tmp_path: Path) -> None:
    target = tmp_path / "made by a shell"
    code = run_with_secret(
        python("", ">", str(target)) + " ; touch " + shlex.quote(str(target)), SECRET, output_to_stderr=False
    )
    assert code == 0
    assert not target.exists()


def test_a_programs_output_can_be_kept_off_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    run_with_secret(python("print('installed')"), SECRET, output_to_stderr=True)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "installed\n")


def test_a_program_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError):
        run_with_secret(str(tmp_path / "nothing"), SECRET, output_to_stderr=False)


@pytest.mark.parametrize("command", ["", "  ", "'unended"])
def test_a_command_that_can_not_be_read_is_refused(command: str) -> None:
    with pytest.raises(UsageError):
        run_with_secret(command, SECRET, output_to_stderr=False)
