"""Where the passphrase of a device's home comes from: a private file or a prompt, never an argument or a variable.

Only the *name* of the file may be in the environment: what stands there is read by every child process.
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
    """Return the passphrase from the file that the option names, else the environment's, else the prompt.

    `ExposedPassphraseError` if group or others have any right on the file; `PassphraseError` if it can't be read, is
    no text or is empty.
    """
    named = option or environment.get(FILE_VARIABLE)
    passphrase = _from_file(Path(named)) if named else prompt()
    if not passphrase:
        raise PassphraseError
    return passphrase


def _from_file(path: Path) -> str:
    content: str | None = None
    try:
        with path.open("rb") as file:
            _check_private(file.fileno())
            content = file.read().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        content = None  # refused below, outside of this block: the codec's error carries the bytes along
    if content is None:
        raise PassphraseError
    line_end = "\r\n" if content.endswith("\r\n") else "\n"
    return content.removesuffix(line_end)  # one, as editors add it


def _check_private(descriptor: int) -> None:
    if is_open_to_others(os.fstat(descriptor)):
        raise ExposedPassphraseError
