"""Google's own emulators on this machine: found beside the Google Cloud CLI, started on a free loopback port, stopped.

An emulator lives no longer than who started it: it ends when its standard input closes, also by a `kill -9` of ours.
"""

from __future__ import annotations

import functools
import http.client
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from keyturn.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = "127.0.0.1"
_FIRESTORE_JAR = "cloud-firestore-emulator/cloud-firestore-emulator.jar"
_FIRESTORE_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
_PUBSUB_JAR = "pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"
_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0
_ATTEMPTS = 3
# The shell becomes the emulator; its child waits for the end of input, which the death of any parent brings.
_TIED = 'exec 3<&0; self=$$; (read -r _ <&3; kill "$self") & exec 3<&-; exec "$@" </dev/null'
_HINT = "Install a Java runtime and the Google Cloud CLI with its components: {}."


@dataclass(slots=True)
class Emulator:
    """A started emulator; `host` is `address:port`, as the `*_EMULATOR_HOST` variables want it. Leaving it stops it."""

    host: str
    process: subprocess.Popen[bytes] = field(repr=False)

    def stop(self) -> None:
        """End the emulator, all of its data with it, and wait until it has ended."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_STOP_SECONDS)
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_firestore(*, functions: str | None = None, rules: Path | None = None) -> Emulator:
    """Start the Firestore emulator; it is ready when this returns. `LocalError` when it is not on this machine.

    `functions` (`address:port`) is where it posts the events of registered triggers, `rules` the rules that it starts
    with; without any, whoever sends no token may do everything.
    """
    command = [java_program(), "-XX:+UseSerialGC", "-cp", str(firestore_jar()), _FIRESTORE_MAIN]
    options = [*(("--functions_emulator", functions) if functions else ())]
    options += [*(("--rules", str(rules)) if rules else ())]
    return _started("Firestore", command, options)


def start_pubsub() -> Emulator:
    """Start the Pub/Sub emulator; it is ready when this returns. `LocalError` when it is not on this machine."""
    return _started("Pub/Sub", [java_program(), "-XX:+UseSerialGC", "-jar", str(pubsub_jar())], [])


def firestore_jar() -> Path:
    """Return where the Firestore emulator is; `LocalError` when it is not on this machine."""
    return _jar(_FIRESTORE_JAR, "cloud-firestore-emulator")


def pubsub_jar() -> Path:
    """Return where the Pub/Sub emulator is; `LocalError` when it is not on this machine."""
    return _jar(_PUBSUB_JAR, "pubsub-emulator")


def java_program() -> str:
    """Return the path of `java`; `LocalError` when it is not on this machine."""
    found = shutil.which("java")
    if found is None:
        raise LocalError("There is no java on this machine.", _HINT.format("cloud-firestore-emulator, pubsub-emulator"))
    return found


def _jar(pattern: str, component: str) -> Path:
    program = shutil.which("gcloud")
    if program is None:
        raise LocalError("There is no gcloud on this machine.", _HINT.format(component))
    # Asking the CLI takes a second; its own folder is nearly always where it runs from.
    jars = _jars(Path(program).resolve().parents[1], pattern) or _jars(_told_root(program), pattern)
    if not jars:
        raise LocalError(
            f"The Google Cloud CLI lacks its {component}.", f"Run `gcloud components install {component}`."
        )
    return jars[-1]


def _jars(root: Path, pattern: str) -> list[Path]:
    return sorted((root / "platform").glob(pattern))


@functools.cache  # who asks for two emulators waits once
def _told_root(program: str) -> Path:
    command = [program, "info", "--format=value(installation.sdk_root)"]
    try:
        told = subprocess.run(command, capture_output=True, check=True, text=True, timeout=30)  # noqa: S603 - found on PATH
    except (OSError, subprocess.SubprocessError):
        raise LocalError("gcloud does not say where it is installed.", "Try `gcloud info`.") from None
    return Path(told.stdout.strip())


def _started(name: str, command: Sequence[str], options: Sequence[str]) -> Emulator:
    for _ in range(_ATTEMPTS):  # somebody else may take the free port before the emulator does
        port = _free_port()
        emulator = _launch([*command, f"--host={HOST}", f"--port={port}", *options], port)
        if _ready(emulator, port):
            return emulator
        emulator.stop()
    raise LocalError(f"The {name} emulator does not start.", "Start it by hand to see why (`gcloud emulators`).")


def _launch(command: Sequence[str], port: int) -> Emulator:
    tied = ["/bin/sh", "-c", _TIED, "emulator", *command]
    process = subprocess.Popen(  # noqa: S603 - the programs were found on PATH, the arguments are ours
        tied, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    return Emulator(f"{HOST}:{port}", process)


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
