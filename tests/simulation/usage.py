"""What a verifier in another service has counted: documents of the database `usage`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain.usage_silence import hour_of
from keyturn.ports.store import put

if TYPE_CHECKING:
    from keyturn.ports.store import Data

    from tests.simulation.deployment import Deployment


def silent_usage(deployment: Deployment, client_id: str, old: str, new: str) -> None:
    """Write that an old secret is unused for almost five days, and the new one is in use."""
    store, now = deployment.databases["usage"], deployment.store_time()
    began = now - timedelta(days=12)
    uses = {
        f"version_usage/{old}-0": (old, began, now - timedelta(days=4, hours=20)),
        f"version_usage/{new}-0": (new, now - timedelta(days=4), now),
    }
    documents: dict[str, Data] = {
        path: {
            "client_id": client_id,
            "version_id": version,
            "count": 50,
            "first_at": first,
            "last_at": last,
            "hours": tuple(range(hour_of(first), hour_of(last) + 1)),
            "callers": (),
            "expires_at": now + timedelta(days=400),
        }
        for path, (version, first, last) in uses.items()
    }
    documents["verifiers/elsewhere"] = {
        "process": "elsewhere",
        "flush": 5,
        "started_at": began,
        "counted_to": now,
        "ended_at": None,
        "lost_to": None,
        "expires_at": now + timedelta(days=30),
    }
    snapshot = store.get(documents)
    store.commit([put(snapshot[path], data) for path, data in documents.items()])
