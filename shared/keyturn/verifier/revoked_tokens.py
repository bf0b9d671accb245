"""Access tokens that their clients have revoked before they expired (RFC 7009).

1. A revocation is a document in the database `usage`, because the function that takes it has only read access to
   `control`. It is named by a hash of the token's id, and deleted after the token has expired.
2. With caching, an answer may be as old as the staleness bound, like every verdict. Without, each check reads.
3. If it cannot be read, there is no verdict on the token (`StoreUnavailable`). Secrets do not depend on it.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import length_prefixed
from keyturn.ports.store import Create, LostRace, StoreUnavailable
from keyturn.records.codec import to_data
from keyturn.records.usage import RevokedToken, revoked_token_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from keyturn.ports.store import Store

MOST_REMEMBERED: Final = 50_000
_ATTEMPTS: Final = 5


class RevokedTokens:
    """The revoked tokens of a deployment. Any number of threads may use it."""

    def __init__(self, usage: Store, monotonic: Callable[[], float], share_seconds: float) -> None:
        self._usage = usage
        self._monotonic = monotonic
        self._share_seconds = share_seconds
        self._not_revoked_until: dict[str, float] = {}

    def revoke(self, client_id: str, jti: str, expires_at: datetime) -> None:
        """Revoke a token, which may be revoked already. Raises `StoreUnavailable`."""
        path = revoked_token_path(_token_hash(client_id, jti))
        self._not_revoked_until.pop(path, None)
        for _ in range(_ATTEMPTS):
            try:
                self._usage.commit([Create(path, to_data(RevokedToken(client_id, expires_at)))])
            except LostRace:
                # It was revoked already, or the outcome is unknown: then it may not be.
                if not self._usage.get([path])[path].exists:
                    continue
            return
        raise StoreUnavailable("the outcome of a revocation is unknown")

    def is_revoked(self, client_id: str, jti: str) -> bool:
        """Return whether a token is revoked. Raises `StoreUnavailable`."""
        path = revoked_token_path(_token_hash(client_id, jti))
        began = self._monotonic()
        if began < self._not_revoked_until.get(path, 0.0):
            return False
        if self._usage.get([path])[path].exists:
            return True
        if self._share_seconds:
            if len(self._not_revoked_until) >= MOST_REMEMBERED:
                self._not_revoked_until.clear()
            self._not_revoked_until[path] = began + self._share_seconds
        return False


def _token_hash(client_id: str, jti: str) -> str:
    return hashlib.sha256(length_prefixed("keyturn/revoked-token/v1", client_id, jti)).hexdigest()
