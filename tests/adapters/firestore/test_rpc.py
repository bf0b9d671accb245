"""Every word that gRPC has for a failure, from a real server, read in the store's own words."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest
from keyturn.adapters.firestore.rpc import READ_ATTEMPTS
from keyturn.adapters.firestore.store import FirestoreChannel, FirestoreStore
from keyturn.ports.store import Create, LostRace, Query, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Code = grpc.StatusCode
SERVICE = "google.firestore.v1.Firestore"
MARKER = "oauth2_clients/quoted-by-the-server"
LOST = (Code.ABORTED, Code.ALREADY_EXISTS, Code.FAILED_PRECONDITION, Code.NOT_FOUND)
UNKNOWN = (Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED)
CLOSED = (Code.RESOURCE_EXHAUSTED, Code.UNAUTHENTICATED, Code.PERMISSION_DENIED)
REFUSED = (Code.INVALID_ARGUMENT, Code.OUT_OF_RANGE, Code.UNIMPLEMENTED, Code.DATA_LOSS)


class Refusing:
    """A Firestore that answers each call with the next of its codes, and the last of them from then on."""

    def __init__(self) -> None:
        self.codes = [Code.UNAVAILABLE]
        self.calls = 0
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers()),))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def _handlers(self) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        return {
            "Commit": grpc.unary_unary_rpc_method_handler(self._refuse),
            "BatchGetDocuments": grpc.unary_stream_rpc_method_handler(self._refuse),
            "RunQuery": grpc.unary_stream_rpc_method_handler(self._refuse),
        }

    def _refuse(self, _: bytes, context: grpc.ServicerContext) -> bytes:
        code = self.codes[min(self.calls, len(self.codes) - 1)]
        self.calls += 1
        context.abort(code, f"refused: {MARKER}")


@pytest.fixture
def server() -> Iterator[Refusing]:
    server = Refusing()
    yield server
    server.stop()


@pytest.fixture
def store(server: Refusing) -> Iterator[FirestoreStore]:
    channel = FirestoreChannel(emulator_host=server.host)
    yield FirestoreStore(channel, project="p", database="control")
    channel.close()


READS: dict[str, Callable[[FirestoreStore], object]] = {
    "get": lambda store: store.get(["oauth2_clients/a"]),
    "query": lambda store: store.query(Query("oauth2_clients", "client_id")),
}


def refused(call: Callable[[], object]) -> type[Exception]:
    """Return the class of what leaves a call; its text and its context quote nothing of the server's."""
    with pytest.raises(StoreError) as caught:
        call()
    assert MARKER not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.type


@pytest.mark.parametrize(
    ("codes", "expected"),
    [(LOST, LostRace), (UNKNOWN, LostRace), (CLOSED, StoreUnavailable), (REFUSED, StoreError)],
    ids=["lost", "unknown", "closed", "refused"],
)
def test_commit_is_sent_once_whatever_comes_back(
    server: Refusing, store: FirestoreStore, codes: tuple[grpc.StatusCode, ...], expected: type[Exception]
) -> None:
    server.codes = list(codes)
    assert {refused(lambda: store.commit([Create("oauth2_clients/a", {})])) for _ in codes} == {expected}
    assert server.calls == len(codes)


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("code", UNKNOWN)
def test_read_is_made_again_and_then_unavailable(
    server: Refusing, store: FirestoreStore, code: grpc.StatusCode, name: str
) -> None:
    server.codes = [code]
    assert refused(lambda: READS[name](store)) is StoreUnavailable
    assert server.calls == READ_ATTEMPTS


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("code", [*LOST, *CLOSED, *REFUSED])
def test_read_that_was_refused_is_not_made_again(
    server: Refusing, store: FirestoreStore, code: grpc.StatusCode, name: str
) -> None:
    server.codes = [code]
    unavailable = code in CLOSED or code is Code.NOT_FOUND
    assert refused(lambda: READS[name](store)) is (StoreUnavailable if unavailable else StoreError)
    assert server.calls == 1


def test_read_that_fails_otherwise_the_second_time_says_so(server: Refusing, store: FirestoreStore) -> None:
    server.codes = [Code.UNAVAILABLE, Code.INVALID_ARGUMENT]
    assert refused(lambda: store.get([])) is StoreError
    assert server.calls == 2


def test_without_credentials_the_store_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **__: object) -> None:
        raise DefaultCredentialsError

    from google.auth.exceptions import DefaultCredentialsError

    monkeypatch.setattr("google.auth.default", nobody)
    store = FirestoreStore(FirestoreChannel(), project="p", database="control")
    assert refused(lambda: store.get([])) is StoreUnavailable
