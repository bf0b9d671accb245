"""The local operator's token: one line in the user's state folder, written by `keyturn up`, found by the address."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from keyturn.cli.state_folder import state_folder
from keyturn.device.core.errors import NoOperatorTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def token_path(url: str, environment: Mapping[str, str]) -> Path:
    """Return where the token for a base URL (no trailing slash) is kept, under `XDG_STATE_HOME` or ~/.local/state."""
    name = hashlib.sha256(url.encode("utf-8")).hexdigest()[:16]
    return state_folder(environment) / f"operator-{name}.token"


def read_token(url: str, environment: Mapping[str, str]) -> str:
    """Return the token; `NoOperatorTokenError` if there is no file with one."""
    try:
        token = token_path(url, environment).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        token = ""
    if not token.isprintable() or not token:
        raise NoOperatorTokenError(
            "This user holds no operator token for that address.",
            "Run this where and as whom `keyturn up` runs, with --url exactly as it prints it.",
        )
    return token
