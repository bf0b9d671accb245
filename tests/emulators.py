"""One Firestore emulator for a session of tests; each test has a project of its own in it, and so its own databases."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from keyturn.adapters.firestore.store import FirestoreChannel, FirestoreStore
from keyturn.local.emulators import start_firestore

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRESTORE = [pytest.mark.tier("java"), pytest.mark.xdist_group("firestore")]
"""Marks of a test that uses the emulator: it needs the tier, and all of them run in one process."""


@pytest.fixture(scope="session")
def firestore_host() -> Iterator[str]:
    """Start the emulator, once; where it listens."""
    with start_firestore() as emulator:
        yield emulator.host


@pytest.fixture(scope="session")
def firestore_channel(firestore_host: str) -> Iterator[FirestoreChannel]:
    channel = FirestoreChannel(emulator_host=firestore_host)
    yield channel
    channel.close()


@pytest.fixture
def project() -> str:
    """Return a project that no other test uses."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
def firestore_store(firestore_channel: FirestoreChannel, project: str) -> FirestoreStore:
    """Return an empty store."""
    return FirestoreStore(firestore_channel, project=project, database="control")
