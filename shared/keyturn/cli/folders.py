"""The folders of a user (XDG Base Directory Specification): data and keys of the device, and state of this machine.

A variable with a relative path is ignored, as the specification says. A user without a home folder has to name both.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keyturn.device.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = "keyturn"


def data_folder(environment: Mapping[str, str]) -> Path:
    """Return `keyturn` under `XDG_DATA_HOME` or ~/.local/share. `UsageError` if there is no home folder."""
    return _base(environment, "XDG_DATA_HOME", ".local/share") / _NAME


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return `keyturn` under `XDG_STATE_HOME` or ~/.local/state: files that belong to this machine only."""
    return _base(environment, "XDG_STATE_HOME", ".local/state") / _NAME


def _base(environment: Mapping[str, str], variable: str, default: str) -> Path:
    named = Path(environment.get(variable) or ".")
    if named.is_absolute():
        return named
    try:
        home = Path.home()
    except RuntimeError:  # neither HOME nor the system's list of users has one
        home = Path()
    if not home.is_absolute():
        raise UsageError("This user has no home folder.", "Set HOME, or XDG_DATA_HOME and XDG_STATE_HOME.")
    return home / default
