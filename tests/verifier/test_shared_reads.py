"""Requests that wait for a read which another one carries out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.ports.store import StoreUnavailable
from keyturn.verifier.shared_reads import WAIT_SECONDS, SharedReads

if TYPE_CHECKING:
    from concurrent.futures import Future

    from keyturn.ports.store import Store


class HangingStore:
    """A store that answers nothing. Meanwhile another request comes, whose wait ends after its time."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.reads = SharedReads(cast("Store", self), lambda: 0.0, 1.0, self.wait)
        self.others: list[type[BaseException]] = []

    def wait(self, future: Future[Any], seconds: float) -> None:
        if not future.done():
            self.waited.append(seconds)
            raise TimeoutError

    def get(self, _paths: object) -> None:
        with pytest.raises(StoreUnavailable) as refused:
            self.reads.read("acme")
        self.others.append(refused.type)
        raise StoreUnavailable("the store does not respond")


def test_request_does_not_wait_forever_for_a_read_of_another_one() -> None:
    store = HangingStore()
    with pytest.raises(StoreUnavailable):
        store.reads.read("acme")
    assert (store.waited, store.others) == ([WAIT_SECONDS], [StoreUnavailable])
