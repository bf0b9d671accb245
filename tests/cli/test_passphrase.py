from __future__ import annotations

import os
from pathlib import Path

import pytest
from keyturn.cli import output
from keyturn.cli.passphrase import FILE_VARIABLE, read_passphrase
from keyturn.cli.session import Ports, Session
from keyturn.device.home.errors import ExposedPassphraseError, PassphraseError
from keyturn.device.home.home import Home

from tests.world import CHEAP


def private_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "passphrase"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def no_prompt() -> str:
    pytest.fail("prompted, although a file was named")


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        (b"correct horse", "correct horse"),
        (b"correct horse\n", "correct horse"),
        (b"correct horse\r\n", "correct horse"),
        (b"correct horse\n\n", "correct horse\n"),
        (b" spaces stay \n", " spaces stay "),
        (b"a return stays\r", "a return stays\r"),
        ("pässwörd\n".encode(), "pässwörd"),
        ("\ufeffpässwörd\r\n".encode(), "pässwörd"),
    ],
)
def test_one_line_end_is_taken_off(tmp_path: Path, content: bytes, passphrase: str) -> None:
    assert read_passphrase(private_file(tmp_path, content), {}, no_prompt) == passphrase


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    path = private_file(tmp_path, b"from the file")
    assert read_passphrase(None, {FILE_VARIABLE: str(path)}, no_prompt) == "from the file"


def test_the_option_goes_before_the_environment(tmp_path: Path) -> None:
    path = private_file(tmp_path, b"from the option")
    assert read_passphrase(path, {FILE_VARIABLE: "/nonexistent"}, no_prompt) == "from the option"


@pytest.mark.parametrize("environment", [{}, {FILE_VARIABLE: ""}])
def test_without_a_file_it_is_asked_for(environment: dict[str, str]) -> None:
    assert read_passphrase(None, environment, lambda: "typed") == "typed"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ExposedPassphraseError):
        read_passphrase(private_file(tmp_path, b"secret", mode), {}, no_prompt)


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PassphraseError):
        read_passphrase(private_file(tmp_path, content), {}, no_prompt)


def test_an_empty_answer_is_refused() -> None:
    with pytest.raises(PassphraseError):
        read_passphrase(None, {}, lambda: "")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(PassphraseError) as caught:
            read_passphrase(path, {}, no_prompt)
        assert str(path) not in f"{caught.value} {caught.value.hint}"


def test_what_is_no_text_is_not_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError) as caught:
        read_passphrase(private_file(tmp_path, b"canary\xff"), {}, no_prompt)
    assert "canary" not in f"{caught.value!r} {caught.value.__context__!r}"


def test_a_pipe_will_do() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe\n")
    os.close(writing)
    try:
        assert read_passphrase(Path(f"/dev/fd/{reading}"), {}, no_prompt) == "through a pipe"
    finally:
        os.close(reading)


def test_the_spinner_pauses_while_the_passphrase_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Home.create(tmp_path / "home", "laptop", "secret words", cost=CHEAP)
    monkeypatch.setenv("FORCE_COLOR", "1")  # stderr counts as a terminal, so the spinner runs
    seen: list[bool] = []

    def ask(_prompt: str) -> str:
        seen.extend(spinner._live.is_started for spinner in output._spinners)
        return "secret words"

    ports = Ports(environment={"XDG_STATE_HOME": str(tmp_path)}, is_terminal=lambda: True, ask_secret=ask)
    session = Session(url="http://127.0.0.1:1", home=tmp_path / "home", passphrase_file=None, ports=ports)
    with output.waiting("Reading the client"):
        session.open_home()
    assert seen == [False]
