"""Presentations of a retired secret, in the database `usage`: ids and times, no part of the secret."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from keyturn.domain.record import Record

RETIRED_USE_RETENTION: Final = timedelta(days=90)
"""The document is deleted so long after the last presentation."""


@dataclass(frozen=True, slots=True)
class RetiredUse(Record):
    """How often a retired version's secret was presented, and when first and last."""

    client_id: str
    version_id: str
    times: int
    first_at: datetime
    last_at: datetime
    expires_at: datetime

    def again(self, now: datetime) -> RetiredUse:
        """Return the record with one more presentation, at `now`."""
        return replace(self, times=self.times + 1, last_at=now, expires_at=now + RETIRED_USE_RETENTION)


def retired_use_path(version_id: str) -> str:
    """Return the path of a retired version's presentations."""
    return f"honeytokens/{version_id}"
