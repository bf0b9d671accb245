"""Google's emulators on this machine: find them in the Google Cloud CLI, start them on a free loopback port, stop them.

An emulator never outlives the process that started it (child_process.py).
"""

from __future__ import annotations

import functools
import http.client
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from keyturn.local.child_process import start_child, stop_child
from keyturn.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = "127.0.0.1"
_FIRESTORE_JAR = "cloud-firestore-emulator/cloud-firestore-emulator.jar"
_FIRESTORE_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
_PUBSUB_JAR = "pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"
_READY_SECONDS = 60.0
_ATTEMPTS = 3
_HINT = "Install a Java runtime and the Google Cloud CLI with its components: {}."


@dataclass(slots=True)
class Emulator:
    """An emulator started by us. `host` is `address:port`, as in `*_EMULATOR_HOST`. Leaving the context stops it."""

    host: str
    process: subprocess.Popen[bytes] = field(repr=False)

    def stop(self) -> None:
        """Stop the emulator and wait until it has ended. Its data is lost."""
        stop_child(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_firestore(*, functions: str | None = None, rules: Path | None = None) -> Emulator:
    """Start the Firestore emulator and wait until it is ready. `LocalError` if it is not installed.

    It posts the events of registered triggers to `functions` (`address:port`). `rules` is its initial rules file.
    Without rules, requests without a token may do everything.
    """
    command = [java_program(), "-XX:+UseSerialGC", "-cp", str(firestore_jar()), _FIRESTORE_MAIN]
    options = [*(("--functions_emulator", functions) if functions else ())]
    options += [*(("--rules", str(rules)) if rules else ())]
    return _start("Firestore", command, options)


def start_pubsub() -> Emulator:
    """Start the Pub/Sub emulator and wait until it is ready. `LocalError` if it is not installed."""
    return _start("Pub/Sub", [java_program(), "-XX:+UseSerialGC", "-jar", str(pubsub_jar())], [])


def firestore_jar() -> Path:
    """Return the path of the Firestore emulator. `LocalError` if it is not installed."""
    return _jar(_FIRESTORE_JAR, "cloud-firestore-emulator")


def pubsub_jar() -> Path:
    """Return the path of the Pub/Sub emulator. `LocalError` if it is not installed."""
    return _jar(_PUBSUB_JAR, "pubsub-emulator")


def java_program() -> str:
    """Return the path of `java`. `LocalError` if it is not installed."""
    program = shutil.which("java")
    if program is None:
        raise LocalError("There is no java on this machine.", _HINT.format("cloud-firestore-emulator, pubsub-emulator"))
    return program


def _jar(pattern: str, component: str) -> Path:
    program = shutil.which("gcloud")
    if program is None:
        raise LocalError("There is no gcloud on this machine.", _HINT.format(component))
    # `gcloud info` takes a second, so look first in the folder that gcloud runs from, which is nearly always right.
    jars = _jars(Path(program).resolve().parents[1], pattern) or _jars(_sdk_root(program), pattern)
    if not jars:
        raise LocalError(
            f"The Google Cloud CLI lacks its {component}.", f"Run `gcloud components install {component}`."
        )
    return jars[-1]


def _jars(root: Path, pattern: str) -> list[Path]:
    return sorted((root / "platform").glob(pattern))


@functools.cache  # two emulators need it once
def _sdk_root(program: str) -> Path:
    command = [program, "info", "--format=value(installation.sdk_root)"]
    try:
        info = subprocess.run(command, capture_output=True, check=True, text=True, timeout=30)  # noqa: S603 - found on PATH
    except (OSError, subprocess.SubprocessError):
        raise LocalError("`gcloud info` did not print its installation folder.", "Run `gcloud info` by hand.") from None
    return Path(info.stdout.strip())


def _start(name: str, command: Sequence[str], options: Sequence[str]) -> Emulator:
    for _ in range(_ATTEMPTS):  # another program may take the free port before the emulator does
        port = _free_port()
        process = start_child([*command, f"--host={HOST}", f"--port={port}", *options])
        emulator = Emulator(f"{HOST}:{port}", process)
        if _ready(emulator, port):
            return emulator
        emulator.stop()
    raise LocalError(f"The {name} emulator does not start.", "Start it with `gcloud emulators` to see why.")


def _ready(emulator: Emulator, port: int) -> bool:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and emulator.process.poll() is None:
        if _answers(port):
            return True
        time.sleep(0.05)
    return False


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
