"""Where the user's state folder is: what is kept there belongs to this machine, and is copied nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def state_folder(environment: Mapping[str, str]) -> Path:
    """Return `keyturn` under `XDG_STATE_HOME` or ~/.local/state."""
    state = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "keyturn"
