"""A retired secret that was presented, as a document (database usage): ids and times, nothing of the value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

RETIRED_USE_RETENTION: Final = timedelta(days=90)
"""How long it is remembered after the last time."""


@dataclass(frozen=True, slots=True)
class RetiredUse:
    """How often one process after the other saw a retired version's secret, and when."""

    client_id: str
    version_id: str
    times: int
    first_at: datetime
    last_at: datetime
    expires_at: datetime

    def again(self, now: datetime) -> RetiredUse:
        """Return it once more."""
        return replace(self, times=self.times + 1, last_at=now, expires_at=now + RETIRED_USE_RETENTION)


def retired_use_path(version_id: str) -> str:
    """Return where it stands."""
    return f"honeytokens/{version_id}"
