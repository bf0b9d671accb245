"""The suite of the demo: a real `keyturn up` process on a free port with short time limits, and its operator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64decode
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keyturn.adapters.document_values import EMBEDDED_LONGEST_COMMIT
from keyturn.cli.operator_token import read_token
from keyturn.device.api import response_fields as answers
from keyturn.device.api.client import ApiClient
from keyturn.domain.policy import Policy
from keyturn.local.demo.admins import create_admin
from keyturn.local.emulator_addresses import read_addresses
from keyturn.local.errors import LocalError
from keyturn.local.firestore_control import all_documents
from keyturn.ports.authorisation import ATTESTED_ADMIN as PROOF_AUTHORISER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from keyturn.local.demo.admins import DemoAdmin
    from keyturn.local.options import PathForm

LEAD_SECONDS = 3
SPARE_SECONDS = 4
"""How long the demo can go back after a promotion."""
PASSPHRASE = "only for the demo's devices"  # noqa: S105 - the demo's devices protect nothing


@dataclass(frozen=True, slots=True)
class DemoSuite:
    """A running suite: its address, its folder and its process. The operator's token is in the state folder."""

    url: str
    folder: Path
    process: subprocess.Popen[str]

    @property
    def data(self) -> Path:
        """The suite's data folder."""
        return self.folder / "data"

    @property
    def grace_seconds(self) -> int:
        """The grace of the demo's rotations.

        It is the margin within which nothing can be rolled back (docs/protocol.md §4), 11 s or 49 s on the emulators,
        and time for promotion, rollback and restore on a slow machine.
        """
        if read_addresses(self.data) is None:
            longest_commit = EMBEDDED_LONGEST_COMMIT
        else:
            from keyturn.adapters.firestore.store import LONGEST_COMMIT  # noqa: PLC0415 - Google's packages are absent

            longest_commit = LONGEST_COMMIT
        return int(Policy().rollback_margin(longest_commit).total_seconds()) + SPARE_SECONDS

    def operate(self, method: str, path: str, fields: dict[str, object]) -> dict[str, object]:
        """Call an operator's endpoint."""
        token = read_token(self.url, _environment(self.folder))
        return ApiClient(self.url).operator("POST" if method == "POST" else "GET", path, token, fields)

    def enrol(self, user: str, group: str, approver: DemoAdmin | None, wait: Callable[[float], None]) -> DemoAdmin:
        """Invite a user, let another admin approve the invite, register the user's device and join the group.

        `wait(seconds)` is called when the user must wait for the authenticator's next code.
        """
        invite = self.operate("POST", "/invites", {"user": user, "group_id": group})
        if approver is not None:
            approver.device.approve(answers.text(invite, "invite"), user, "join")
        admin = create_admin(self.folder / "devices" / user, user, PASSPHRASE, self.url, wait)
        admin.sign_in(answers.text(self.operate("POST", "/id_tokens", {"user": user}), "id_token"))
        admin.join(answers.text(invite, "code"))
        return admin

    def export_documents(self) -> None:
        """Write the emulators' documents into the folder, so that the search for plaintext covers them too."""
        cloud = read_addresses(self.data)
        if cloud is None:
            return
        for database in (cloud.control, cloud.auth, cloud.usage):
            documents = all_documents(cloud.firestore_emulator or "", cloud.project, database=database)
            # The bytes are appended, because in the documents they are in base64, where the search might miss a part.
            content = json.dumps(documents).encode() + b"\n" + _bytes_in(documents)
            (self.folder / f"firestore-{database}.json").write_bytes(content)

    def keyturn(self, *arguments: str) -> tuple[int, dict[str, object]]:
        """Run a command of `keyturn` with --json. Return its exit status and output."""
        process = subprocess.run(  # noqa: S603 - our own program and arguments
            _command(*arguments, "--json"), capture_output=True, env=_environment(self.folder), check=False, text=True
        )
        return process.returncode, json.loads(process.stdout or "{}")


@contextmanager
def start_suite(folder: Path, *, on_emulators: PathForm | None = None) -> Iterator[DemoSuite]:
    """Run the suite in `folder` while the context lasts. Its log is `folder`/up.log.

    `on_emulators` names the form of paths on Google's emulators.
    """
    options = ["--port", "0", "--data", str(folder / "data"), "--sweep-every", "1s"]
    windows = ["--min-not-before", f"{LEAD_SECONDS}s", "--min-interval", "0s"]
    with (folder / "up.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603 - our own program and arguments
            _command(
                "up", *options, *windows, *(["--emulators", "--path", on_emulators] if on_emulators else []), "--json"
            ),
            stdout=subprocess.PIPE,
            stderr=log,
            env=_environment(folder),
            text=True,
        )
    with process:
        try:
            yield DemoSuite(_address(process), folder, process)
        finally:
            process.terminate()


def _bytes_in(value: object) -> bytes:
    """Return the decoded bytes of all byte fields in documents of Firestore's REST API."""
    if isinstance(value, list):
        return b"".join(map(_bytes_in, value))
    if not isinstance(value, dict):
        return b""
    encoded = value.get("bytesValue")
    return b64decode(encoded) if isinstance(encoded, str) else b"".join(map(_bytes_in, value.values()))


def _command(*arguments: str) -> Sequence[str]:
    return [sys.executable, "-c", "from keyturn.cli.main import main; main()", *arguments]


def _environment(folder: Path) -> dict[str, str]:
    # The demo requires proofs, even if the caller's environment names an authoriser for tests.
    return {**os.environ, "XDG_STATE_HOME": str(folder / "state"), "KEYTURN_AUTHORISER": PROOF_AUTHORISER}


def _address(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        raise LocalError("The suite did not start.", "See up.log in the demo's folder (--keep DIR).")
    return str(json.loads(line)["url"])
