"""The passphrase of a device's home: read from a private file or a prompt, never from an argument or a variable.

Only the *name* of the file may be in the environment, because every child process inherits the environment.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.device.home.errors import ExposedPassphraseError, PassphraseError
from keyturn.private_files import is_open_to_others

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FILE_VARIABLE = "KEYTURN_PASSPHRASE_FILE"


def read_passphrase(option: Path | None, environment: Mapping[str, str], prompt: Callable[[], str]) -> str:
    """Return the passphrase from the file of the option, else from the file of the environment, else from the prompt.

    Raises `ExposedPassphraseError` if group or others have any right on the file, and `PassphraseError` if it can't be
    read, is not text or is empty.
    """
    file = option or environment.get(FILE_VARIABLE)
    passphrase = _from_file(Path(file)) if file else prompt()
    if not passphrase:
        raise PassphraseError
    return passphrase


def _from_file(path: Path) -> str:
    content: str | None = None
    try:
        with path.open("rb") as file:
            # The open descriptor is checked, not the path: the file can't be swapped between check and read.
            _check_private(file.fileno())
            content = file.read().decode("utf-8-sig")  # some editors write a byte order mark
    except (OSError, UnicodeDecodeError):
        content = None  # raised outside of this block: the codec's error would carry the bytes
    if content is None:
        raise PassphraseError
    line_end = "\r\n" if content.endswith("\r\n") else "\n"
    return content.removesuffix(line_end)  # only one: editors add it


def _check_private(descriptor: int) -> None:
    if is_open_to_others(os.fstat(descriptor)):
        raise ExposedPassphraseError
