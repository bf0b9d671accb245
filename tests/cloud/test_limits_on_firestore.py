"""One person's 64 requests at the same moment, on Firestore: no document of theirs is fought over until they fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from tests.emulators import FIRESTORE
from tests.world import QUICK

if TYPE_CHECKING:
    from keyturn.proofs.nostr import Event

    from tests.world import World

pytestmark = FIRESTORE
MANY = 64


@pytest.mark.world("alice", "bob", policy=replace(QUICK, requests_per_hour_per_requester=MANY), kind="firestore")
def test_64_requests_of_one_person_at_once_all_succeed(world: World) -> None:
    for number in range(MANY):
        world.add_client(f"c-{number}")
    events = [world.admins["alice"].rotation(client_id=f"c-{number}") for number in range(MANY)]
    start = Barrier(MANY)

    def send(event: Event) -> int:
        start.wait()
        return world.send(event).status_code

    with ThreadPoolExecutor(MANY) as pool:
        assert list(pool.map(send, events)) == [200] * MANY
    assert world.send(world.admins["alice"].rotation()).status_code == 429
