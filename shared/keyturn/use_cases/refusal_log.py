"""Evidence of refusals: what callers who are known lacked (protocol.md §9).

Sharded documents in the database usage, `refusals/{day}-{shard}`, bounded in size and in rate. Junk, that is whatever
comes from nobody that we know, is counted in the log and never stored. Evidence is no part of a decision: when it
cannot be written, the refusal stands all the same.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, cast

from keyturn.domain.encodings import due_shard
from keyturn.ports.store import StoreError, put

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.proofs_policy import Missing
    from keyturn.ports.authorisation import Act
    from keyturn.ports.store import Store

_log = logging.getLogger("keyturn")

MOST_ENTRIES = 100
"""In one document: a day's shard."""
PAUSE = timedelta(seconds=10)
"""Between two entries of one key."""
KEPT = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Refusals:
    """Keeps evidence; `door` is who refused."""

    store: Store
    door: str

    def keep(self, act: Act, user: str | None, missing: Iterable[Missing], now: datetime) -> None:
        """Store that `user` lacked something for an act; None, a stranger, is only counted."""
        lacks = [lack.value for lack in missing]
        if user is None:
            _log.info("%s refused a stranger: %s", self.door, " ".join(lacks))
            return
        entry = {
            "at": now,
            "door": self.door,
            "user": user,
            "npub": act.npub,
            "client_id": act.client_id,
            "group": act.group,
            "missing": lacks,
        }
        try:
            self._append(entry, now)
        except StoreError:
            _log.warning("%s could not keep evidence of a refusal", self.door)

    def _append(self, entry: Mapping[str, object], now: datetime) -> None:
        path = refusals_path(cast("str", entry["npub"]), now)
        document = self.store.get([path])[path]
        entries = cast("Sequence[Mapping[str, object]]", document.data["entries"]) if document.data else ()
        recent = any(old["npub"] == entry["npub"] and now - cast("datetime", old["at"]) < PAUSE for old in entries)
        if recent or len(entries) >= MOST_ENTRIES:
            return
        kept = [*entries, entry]
        self.store.commit([put(document, {"entries": kept, "expires_at": now + KEPT})])  # type: ignore[dict-item]  # texts and times


def refusals_path(npub: str, now: datetime) -> str:
    """Return where the evidence on a key goes on a day: one of 16 shards."""
    return f"refusals/{now:%Y%m%d}-{due_shard(npub):02d}"
