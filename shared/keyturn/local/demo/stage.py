"""The demo's stage: a folder, a real `keyturn up` process on a free port with short windows, and an operator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64decode
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.cli.operator_token import read_token
from keyturn.device.api import response_fields as answers
from keyturn.device.api.client import ApiClient
from keyturn.local.demo.people import person
from keyturn.local.emulator_addresses import read_addresses
from keyturn.local.errors import LocalError
from keyturn.local.firestore_control import all_documents
from keyturn.ports.authorisation import ATTESTED_ADMIN as PROOF_AUTHORISER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from keyturn.local.demo.people import Person

LEAD_SECONDS = 3
PASSPHRASE = "only for the demo's devices"  # noqa: S105 - the devices of a demo have nothing to hide from who runs it


@dataclass(frozen=True, slots=True)
class Stage:
    """A running suite: its address, its folder, and the operator's token by way of the state folder."""

    url: str
    folder: Path
    process: subprocess.Popen[str]

    @property
    def data(self) -> Path:
        """The suite's data folder."""
        return self.folder / "data"

    def operate(self, method: str, path: str, fields: dict[str, object]) -> dict[str, object]:
        """Do one of the operator's acts."""
        token = read_token(self.url, _environment(self.folder))
        return ApiClient(self.url).operator("POST" if method == "POST" else "GET", path, token, fields)

    def enrol(self, user: str, group: str, approver: Person | None, wait: Callable[[float], None]) -> Person:
        """Invite a user, have another admin approve it, and let them register their device and join.

        `wait` is called when they have to wait for their authenticator.
        """
        invite = self.operate("POST", "/invites", {"user": user, "group_id": group})
        if approver is not None:
            approver.device.approve(answers.text(invite, "invite"), user, "join")
        newcomer = person(self.folder / "devices" / user, user, PASSPHRASE, self.url, wait)
        newcomer.sign_in(answers.text(self.operate("POST", "/id_tokens", {"user": user}), "id_token"))
        newcomer.join(answers.text(invite, "code"))
        return newcomer

    def keep_documents(self) -> None:
        """Write what emulators hold beside the rest of the folder, so that it is searched like any file."""
        cloud = read_addresses(self.data)
        if cloud is None:
            return
        for database in (cloud.control, cloud.auth, cloud.usage):
            found = all_documents(cloud.firestore_emulator or "", cloud.project, database=database)
            (self.folder / f"firestore-{database}.json").write_bytes(
                json.dumps(found).encode() + b"\n" + _bytes_in(found)
            )

    def keyturn(self, *arguments: str) -> tuple[int, dict[str, object]]:
        """Run a command of `keyturn` with --json; its exit status and what it printed."""
        done = subprocess.run(  # noqa: S603 - our own program and arguments of ours
            _command(*arguments, "--json"), capture_output=True, env=_environment(self.folder), check=False, text=True
        )
        return done.returncode, json.loads(done.stdout or "{}")


@contextmanager
def raised(folder: Path, *, emulators: bool = False) -> Iterator[Stage]:
    """Start the suite in `folder`, or on Google's emulators, and stop it in the end; its log is `folder`/up.log."""
    options = ["--port", "0", "--data", str(folder / "data"), "--sweep-every", "1s"]
    windows = ["--min-not-before", f"{LEAD_SECONDS}s", "--min-interval", "0s"]
    with (folder / "up.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program and arguments of ours
            _command("up", *options, *windows, *(["--emulators"] if emulators else []), "--json"),
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(folder),
            text=True,
        )
    with process:
        try:
            yield Stage(_address(process), folder, process)
        finally:
            process.terminate()


def _bytes_in(value: object) -> bytes:
    """Return all bytes that stand in documents in base64, as they are."""
    if isinstance(value, list):
        return b"".join(map(_bytes_in, value))
    if not isinstance(value, dict):
        return b""
    found = value.get("bytesValue")
    return b64decode(found) if isinstance(found, str) else b"".join(map(_bytes_in, value.values()))


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-c", "from keyturn.cli.main import main; main()", *arguments]


def _environment(folder: Path) -> dict[str, str]:
    # With full proofs, whatever the caller's shell has set for tests of its own.
    return {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "KEYTURN_AUTHORISER": PROOF_AUTHORISER}


def _address(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise LocalError("The suite did not start.", "See up.log in the demo's folder (--keep DIR).")
    return str(json.loads(line)["url"])
