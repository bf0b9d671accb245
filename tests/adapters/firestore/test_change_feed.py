"""The feed on Firestore: hears of what its queries find, ends when told to, and says when it broke off."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from threading import Event, Thread
from typing import TYPE_CHECKING, cast

import pytest
from keyturn.adapters.firestore.change_feed import FirestoreFeed, FirestoreFollowing
from keyturn.adapters.firestore.store import FirestoreChannel, FirestoreStore
from keyturn.ports.store import Data, Query, StoreError, put

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.ports.store import Document

START = datetime(2026, 1, 1, tzinfo=UTC)
SOON_SECONDS = 20.0


QUERY = Query("oauth2_clients", order_by="changed_at", at_least=START, limit=1)
SHARDS = ("due_shard", (0, 7))


def client(number: int, shard: int = 0) -> dict[str, int | datetime]:
    return {"number": number, "due_shard": shard, "changed_at": START}


class Hearing:
    """A thread that goes through what is followed, and what came of it."""

    def __init__(self, following: FirestoreFollowing) -> None:
        self.following = following
        self.heard: deque[Document] = deque()
        self.error: StoreError | None = None
        self._more = Event()
        self._thread = Thread(target=self._hear, daemon=True)
        self._thread.start()

    def numbers(self, *wanted: int) -> bool:
        """Wait until these have been heard of."""
        while not {cast("Data", each.data)["number"] for each in self.heard} >= set(wanted):
            if not self._more.wait(SOON_SECONDS):
                return False
            self._more.clear()
        return True

    def lasts(self) -> bool:
        return self._thread.is_alive()

    def ended(self) -> bool:
        self._thread.join(SOON_SECONDS)
        return not self._thread.is_alive()

    def _hear(self) -> None:
        try:
            for document in self.following:
                self.heard.append(document)
                self._more.set()
        except StoreError as error:
            self.error = error
        self._more.set()


def opened(feed: FirestoreFeed) -> Hearing:
    """Return a session that the emulator answers: it drops a new one at times."""
    for _ in range(5):
        hearing = Hearing(feed.follow(QUERY, SHARDS))
        while not hearing.following.opened.wait(0.1) and hearing.lasts():
            pass
        if hearing.lasts():
            return hearing
    raise hearing.error or AssertionError("the emulator ends every session")


@pytest.fixture
def feed(firestore_channel: FirestoreChannel, project: str) -> FirestoreFeed:
    return FirestoreFeed(firestore_channel, project=project, database="control")


@pytest.fixture
def hearing(feed: FirestoreFeed) -> Iterator[Hearing]:
    hearing = opened(feed)
    yield hearing
    hearing.following.cancel()
    assert hearing.ended()


@pytest.mark.tier("java")
@pytest.mark.xdist_group("firestore")
def test_hears_of_what_is_there_and_of_what_comes_past_any_limit(
    firestore_store: FirestoreStore, hearing: Hearing
) -> None:
    for number, shard in ((1, 0), (2, 7), (3, 5), (4, 0)):
        path = f"oauth2_clients/c{number}"
        firestore_store.commit([put(firestore_store.get([path])[path], client(number, shard), "changed_at")])
    assert hearing.numbers(1, 2, 4)
    path = "oauth2_clients/c1"
    found = firestore_store.get([path])[path]
    firestore_store.commit([put(found, client(11), "changed_at")])
    assert hearing.numbers(11)
    heard = next(each for each in hearing.heard if cast("Data", each.data)["number"] == 11)
    assert heard == firestore_store.get([path])[path]
    assert {each.path for each in hearing.heard} == {"oauth2_clients/c1", "oauth2_clients/c2", "oauth2_clients/c4"}


@pytest.mark.tier("java")
@pytest.mark.xdist_group("firestore")
def test_ends_without_an_error_when_it_is_cancelled(hearing: Hearing, feed: FirestoreFeed) -> None:
    hearing.following.cancel()
    assert hearing.ended()
    assert hearing.error is None
    never = feed.follow(QUERY, SHARDS)
    never.cancel()
    assert list(never) == []


def test_says_that_it_broke_off() -> None:
    channel = FirestoreChannel(emulator_host="127.0.0.1:9")
    hearing = Hearing(FirestoreFeed(channel, project="p", database="control").follow(QUERY, SHARDS))
    assert hearing.ended()
    assert isinstance(hearing.error, StoreError)
    channel.close()


def test_what_no_index_covers_is_refused() -> None:
    channel = FirestoreChannel(emulator_host="127.0.0.1:9")
    feed = FirestoreFeed(channel, project="p", database="control")
    with pytest.raises(StoreError):
        feed.follow(Query("oauth2_clients", order_by="number"), SHARDS)
