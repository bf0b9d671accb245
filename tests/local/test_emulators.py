"""Emulators are found where the Google Cloud CLI is, start, stop, and outlive nobody."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from keyturn.local.emulators import firestore_jar, start_firestore, start_pubsub
from keyturn.local.errors import LocalError

from tests.tiers import require_emulators

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.local.emulators import Emulator

ROOT = Path(__file__).parents[2]
JAR = Path("platform/cloud-firestore-emulator/cloud-firestore-emulator.jar")
PATIENCE_SECONDS = 30.0


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def on_path(monkeypatch: pytest.MonkeyPatch, **programs: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: str(programs[name]) if name in programs else None)


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.parametrize("present", ["nothing", "java"])
def test_machine_without_them_is_told_what_to_install(
    present: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path(monkeypatch, **{present: program(tmp_path / present, "")})
    with pytest.raises(LocalError, match="on this machine") as caught:
        require_emulators()
    assert "Install" in caught.value.hint


def test_jar_is_found_beside_the_resolved_program_without_asking_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = program(tmp_path / "sdk/bin/gcloud", "exit 1")
    link = tmp_path / "bin/gcloud"
    link.parent.mkdir()
    link.symlink_to(real)
    jar = touch(tmp_path / "sdk" / JAR)
    on_path(monkeypatch, gcloud=link)
    assert firestore_jar() == jar


def test_program_that_lies_elsewhere_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = touch(tmp_path / "told" / JAR)
    on_path(monkeypatch, gcloud=program(tmp_path / "wrapper/bin/gcloud", f"echo {tmp_path}/told"))
    assert firestore_jar() == jar


@pytest.mark.parametrize("answer", ["exit 1", "echo /nowhere"])
def test_program_that_knows_no_emulator(answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_path(monkeypatch, gcloud=program(tmp_path / "bin/gcloud", answer))
    with pytest.raises(LocalError):
        firestore_jar()


def test_emulator_that_ends_at_once_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / JAR)
    java, gcloud = program(tmp_path / "bin/java", "exit 1"), program(tmp_path / "bin/gcloud", "")
    on_path(monkeypatch, java=java, gcloud=gcloud)
    with pytest.raises(LocalError, match="does not start"):
        start_firestore()


def answers(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


@pytest.mark.tier("java")
@pytest.mark.xdist_group("firestore")
@pytest.mark.parametrize("start", [start_firestore, start_pubsub])
def test_it_answers_until_it_is_stopped(start: Callable[[], Emulator]) -> None:
    with start() as emulator:
        assert answers(emulator.host)
    assert emulator.process.poll() is not None
    assert not answers(emulator.host)


_STARTER = """
import time
from keyturn.local.emulators import start_firestore
print(start_firestore().host, flush=True)
time.sleep(99)
"""


@pytest.mark.tier("java")
@pytest.mark.xdist_group("firestore")
def test_it_ends_with_a_starter_that_was_killed() -> None:
    command = [sys.executable, "-c", _STARTER]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:  # noqa: S603 - ours
        assert starter.stdout is not None
        host = starter.stdout.readline().strip()
        assert answers(host)
        os.kill(starter.pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while answers(host) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(host)
