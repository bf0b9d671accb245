"""Log of refusals: what a known caller's proof lacked (docs/protocol.md §9).

The entries are in sharded documents of the database `usage`, `refusals/{day}-{shard}`, limited in size and in rate.
Requests of unknown callers are only logged and never stored, so that they cannot fill the database. No decision depends
on this log: if an entry cannot be written, the request is refused all the same.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from keyturn.domain.encodings import due_shard
from keyturn.domain.errors import Broken
from keyturn.ports.store import LostRace, StoreError, mappings, typed, update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from keyturn.domain.proofs_policy import Missing
    from keyturn.ports.authorisation import Act
    from keyturn.ports.store import Data, Store, Value

_log = logging.getLogger("keyturn")

MOST_ENTRIES = 100
"""In one document, that is, one shard of one day."""
PAUSE = timedelta(seconds=10)
"""The shortest time between two entries of one key."""
KEPT = timedelta(days=90)
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Refusals:
    """Records refusals; `function` is the function that refused."""

    store: Store
    function: str

    def keep(self, act: Act, user: str | None, missing: Iterable[Missing], now: datetime) -> None:
        """Record what `user` lacked for an act; an unknown caller (None) is only logged."""
        lacks = [lack.value for lack in missing]
        if user is None:
            _log.info("%s refused an unknown caller: %s", self.function, " ".join(lacks))
            return
        entry: dict[str, Value] = {
            "at": now,
            "door": self.function,
            "user": user,
            "npub": act.npub,
            "client_id": act.client_id,
            "group": act.group,
            "missing": lacks,
        }
        try:
            self._append(act.npub, entry, now)
        except (StoreError, Broken):
            _log.warning("%s could not record a refusal", self.function)

    def _append(self, npub: str, entry: Data, now: datetime) -> None:
        for _ in range(_ATTEMPTS):
            try:
                return self._try_to_append(npub, entry, now)
            except LostRace:
                continue  # if the outcome was unknown and the entry is there, it counts as recent
        _log.warning("%s could not record a refusal", self.function)
        return None

    def _try_to_append(self, npub: str, entry: Data, now: datetime) -> None:
        path = refusals_path(npub, now)
        document = self.store.get([path])[path]
        entries: list[Data] = mappings(document.fields, "entries") if document.exists else []
        recent = any(old["npub"] == npub and now - typed(old, "at", datetime) < PAUSE for old in entries)
        # A known caller, too, must not be able to fill the database.
        if recent or len(entries) >= MOST_ENTRIES:
            return
        self.store.commit([update(document, {"entries": [*entries, entry], "expires_at": now + KEPT})])


def refusals_path(npub: str, now: datetime) -> str:
    """Return the path of the document for a key's refusals on a day: one of 16 shards."""
    return f"refusals/{now:%Y%m%d}-{due_shard(npub):02d}"
