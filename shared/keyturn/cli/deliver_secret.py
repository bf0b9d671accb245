"""Deliver a secret to a private file or a program's standard input, never in an argument or a variable."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from keyturn.device.core.errors import DeliveryError, UsageError
from keyturn.private_files import create_private

if TYPE_CHECKING:
    from pathlib import Path

_SIGNALLED = 128


def write_secret(path: Path, secret: str) -> None:
    """Write only the secret to a new file of mode 0600. Raises `DeliveryError` if that fails."""
    try:
        create_private(path, secret.encode("utf-8"))
    except FileExistsError:
        raise DeliveryError(
            "The file already exists and was not changed.", "Name a file that does not exist yet."
        ) from None
    except OSError:
        raise DeliveryError(
            "The file can't be written.",
            "Check that its folder exists, that you may write to it, and that the disk has space.",
        ) from None


def run_with_secret(command: str, secret: str, *, output_to_stderr: bool) -> int:
    """Run a program without a shell, with only the secret on its standard input. Return its exit code.

    Raises `UsageError` if the command can't be split into words, `DeliveryError` if the program can't be started.
    """
    # The secret goes to standard input: arguments and environments of a process can be read by others.
    words = _words(command)
    # With --json, stdout carries one JSON object and nothing of the program.
    stdout = sys.stderr.fileno() if output_to_stderr else None
    try:
        process = subprocess.run(  # noqa: S603 - the admin typed the command, and no shell interprets it
            words, input=secret.encode("utf-8"), stdout=stdout, check=False
        )
    except OSError:
        raise DeliveryError("The program can't be started.", "Check its path and that it is executable.") from None
    # A negative code is the signal that killed the program: shells print 128 + signal.
    return process.returncode if process.returncode >= 0 else _SIGNALLED - process.returncode


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if not words:
        raise UsageError(
            "The command can't be read.", "Quote it as a shell would, such as --exec 'install-secret acme'."
        )
    return words
