"""Challenges of 401 and 403 responses: the values of WWW-Authenticate (RFC 9110 §11.6.1)."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

REALM: Final = "keyturn"


@functools.lru_cache(maxsize=32)
def basic_challenge(realm: str = REALM) -> str:
    """Return the challenge of HTTP Basic. Credentials are read as UTF-8, which it says (RFC 7617 §2.1)."""
    return f'Basic realm={_quoted(realm)}, charset="UTF-8"'


def bearer_challenge(realm: str = REALM, error: str = "", scopes: Sequence[str] = ()) -> str:
    """Return the challenge for access tokens, with the error of RFC 6750 §3.1 and the required scopes if there are."""
    parts = [f"realm={_quoted(realm)}"]
    if error:
        parts.append(f'error="{error}"')
    if scopes:
        parts.append(f"scope={_quoted(' '.join(scopes))}")
    return "Bearer " + ", ".join(parts)


def _quoted(text: str) -> str:
    """Return a quoted string (RFC 9110 §5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
