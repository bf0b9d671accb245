"""Handing a secret over: to a private file or to a program's standard input, never in an argument or a variable."""

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
    """Write the secret, and nothing else, to a new file of mode 0600; `DeliveryError` if it exists or can't be."""
    try:
        create_private(path, secret.encode("utf-8"))
    except FileExistsError:
        raise DeliveryError("That file exists, and is left alone.", "Name a file that does not exist yet.") from None
    except OSError:
        raise DeliveryError(
            "The file can't be written.", "Check that its folder exists and is yours, and that the disk has space."
        ) from None


def run_with_secret(command: str, secret: str, *, output_to_stderr: bool) -> int:
    """Run a program, without a shell, with the secret and nothing else on its standard input; return its exit code.

    `UsageError` if the command can't be split into words; `DeliveryError` if it can't be started.
    """
    words = _words(command)
    stdout = sys.stderr.fileno() if output_to_stderr else None
    try:
        done = subprocess.run(  # noqa: S603 - the words are the admin's own, and no shell reads them
            words, input=secret.encode("utf-8"), stdout=stdout, check=False
        )
    except OSError:
        raise DeliveryError("The program can't be started.", "Check its path, and that it may be executed.") from None
    return done.returncode if done.returncode >= 0 else _SIGNALLED - done.returncode


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
