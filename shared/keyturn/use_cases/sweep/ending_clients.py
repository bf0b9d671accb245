"""Warn of clients whose credentials end soon (`valid_until`, docs/protocol.md §3).

From that time on every secret of the client is refused, and nobody may notice before the integrator does.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from keyturn.domain.model import ClientStatus
from keyturn.ports.store import Query, scan
from keyturn.records import paths

if TYPE_CHECKING:
    from datetime import datetime

    from keyturn.ports.store import Store

WARN_BEFORE: Final = timedelta(days=14)
PAGE: Final = 100
_HOUR: Final = timedelta(hours=1)

_log = logging.getLogger("keyturn")


@dataclass(frozen=True, slots=True)
class WarnOfEndingClients:
    """Logs each client that ends within two weeks. The sweeper calls it once an hour."""

    store: Store

    def __call__(self, now: datetime) -> int:
        """Log each client that ends soon and is not revoked. Return how many there are."""
        query = Query(paths.CLIENTS, order_by="valid_until", at_least=now, at_most=now + WARN_BEFORE, limit=PAGE)
        # Two fields are enough: damage elsewhere in a client's document hides neither its end nor that of others.
        ending = [item for item in scan(self.store, query) if item.fields.get("status") != ClientStatus.REVOKED.value]
        for document in ending:
            hours = (document.time("valid_until") - now) // _HOUR
            # The words of this line are the alert's filter (terraform/alerts.tf).
            _log.warning("a client's credentials end soon: client %s, in %d hours", document.id, hours)
        return len(ending)
