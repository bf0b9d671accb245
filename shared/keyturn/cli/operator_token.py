"""The local operator token: one line in the user's state folder, written by `keyturn up` for its address."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from keyturn.cli.folders import state_folder
from keyturn.device.core.errors import NoOperatorTokenError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def token_path(url: str, environment: Mapping[str, str]) -> Path:
    """Return the path of the token for a base URL without a trailing slash."""
    # A URL has characters that a file name can't have. The hash keeps tokens of several servers apart.
    name = hashlib.sha256(url.encode("utf-8")).hexdigest()[:16]
    return state_folder(environment) / f"operator-{name}.token"


def read_token(url: str, environment: Mapping[str, str]) -> str:
    """Return the token. Raises `NoOperatorTokenError` if no file holds one."""
    try:
        token = token_path(url, environment).read_text("ascii").strip()
    except PermissionError:
        raise NoOperatorTokenError(
            "This user may not read the operator token.", "Run this as the user of `keyturn up`."
        ) from None
    except (OSError, UnicodeDecodeError):
        token = ""
    # An HTTP header can't carry control characters, and the library's error would show the token.
    if not token.isprintable() or not token:
        raise NoOperatorTokenError(
            "This user has no operator token for that address.",
            "Run this on the machine and as the user of `keyturn up`, with --url exactly as it prints it.",
        )
    return token
