"""`keyturn demo --emulators`: each function alone, in both forms of paths, to the same summary as without emulators."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from keyturn.local.options import PathForm

pytestmark = [pytest.mark.tier("java"), pytest.mark.xdist_group("machine_on_emulators")]


@dataclass(frozen=True)
class Demo:
    """A demo that has ended: its folder, its exit status, and what it wrote."""

    folder: Path
    status: int
    output: str
    errors: str

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = json.loads(self.output)
        return summary


def run_demo(folder: Path, form: PathForm) -> Demo:
    program = [sys.executable, "-c", "from keyturn.cli.main import main; main()"]
    done = subprocess.run(  # noqa: S603 - our own program
        [*program, "demo", "--emulators", "--path", form, "--json", "--keep", str(folder)],
        env={**os.environ, "XDG_STATE_HOME": str(folder.with_suffix(".state"))},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    return Demo(folder, done.returncode, done.stdout, done.stderr)


def processes_of(folder: Path) -> list[str]:
    """Return the processes whose environment names a folder: `up`, the functions and the emulators all do."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or it is another user's
            if str(folder).encode() in (process / "environ").read_bytes():
                found.append(process.name)
    return found


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> dict[PathForm, Demo]:
    """Run the demo in both forms at the same time: most of it is waiting."""
    folder = tmp_path_factory.mktemp("demo")
    with ThreadPoolExecutor() as pool:
        running = {form: pool.submit(run_demo, folder / form, form) for form in PathForm}
        return {form: demo.result() for form, demo in running.items()}


@pytest.fixture(params=PathForm)
def demo(request: pytest.FixtureRequest, demos: dict[PathForm, Demo]) -> Demo:
    return demos[request.param]


def test_it_ends_as_without_emulators(demo: Demo) -> None:
    assert demo.status == 0, demo.errors + (demo.folder / "up.log").read_text("utf-8")
    summary = demo.summary
    assert {rotation["outcome"] for rotation in summary["rotations"]} == {"promoted"}
    assert [{ack["user"] for ack in rotation["acks"]} for rotation in summary["rotations"][:2]] == [
        {"bob", "carol"},
        {"alice", "carol"},
    ]
    assert summary["plaintext_at_rest"] == {"found": 0, "control_found": True}
    assert summary["moments_without_an_accepted_secret"] == 0
    assert summary["doctor"]["breaches"] == []
    assert summary["doctor"]["checked"]["clients"] == 1
    assert summary["doctor"]["outbox"] is None
    assert summary["steps"]


def test_admins_proved_themselves_by_every_factor(demo: Demo) -> None:
    proofs = demo.summary["proofs"]
    assert {proof["user"] for proof in proofs} == {"alice", "bob", "carol"}
    assert {tuple(sorted(proof["amr"])) for proof in proofs} == {("dev_attest", "pop", "totp")}
    assert all(demo.summary["refused"].values())


def test_firestore_was_searched_for_plaintext_too(demo: Demo) -> None:
    documents = json.loads((demo.folder / "firestore-control.json").read_bytes().partition(b"\n")[0])
    assert "oauth2_clients/acme-billing" in documents
    assert {path.name for path in demo.folder.glob("firestore-*.json")} == {
        f"firestore-{name}.json" for name in ("control", "auth", "usage")
    }


def test_nothing_of_it_runs_on_afterwards(demo: Demo) -> None:
    assert not (demo.folder / "data" / "emulators.json").exists()
    kept = {"keys.json", "entrance.secret", "local_identity.json"}
    assert {path.name for path in (demo.folder / "data").iterdir()} == kept
    assert processes_of(demo.folder) == []
