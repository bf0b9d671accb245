"""Firestore's RPCs, each with a deadline, and the mapping of their failures to the port's errors.

This module imports the vendor's client, which takes a quarter of a second. Only `FirestoreChannel` imports it, on first
use.

| gRPC status | of a read | of a commit |
|---|---|---|
| ABORTED, ALREADY_EXISTS, FAILED_PRECONDITION, NOT_FOUND | `StoreError` (NOT_FOUND: `StoreUnavailable`) | `LostRace` |
| DEADLINE_EXCEEDED, UNAVAILABLE, INTERNAL, UNKNOWN, CANCELLED | retried, then `StoreUnavailable` | `LostRace` |
| RESOURCE_EXHAUSTED, UNAUTHENTICATED, PERMISSION_DENIED, no credentials | `StoreUnavailable` | the same |
| INVALID_ARGUMENT and the rest | `StoreError` | the same |

A commit is never retried here, because its first attempt may have taken effect. `LostRace` makes the caller read again
and recognise its own writes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias, TypeVar, cast

import grpc
from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from google.cloud.firestore_v1.services.firestore import FirestoreClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.cloud.firestore_v1.types import firestore

from keyturn.ports.effects import uniform
from keyturn.ports.store import LostRace, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from keyturn.adapters.firestore.values import Message
    from keyturn.ports.effects import Environment

ADDRESS = "firestore.googleapis.com"
READ_ATTEMPTS = 4
_FIRST_PAUSE_SECONDS = 0.05
_CHANNEL_OPTIONS = (
    ("grpc.keepalive_time_ms", 60_000),  # notices a dead connection before a request waits for it
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", -1),  # a response may hold twenty documents of 1 MiB
    ("grpc.max_send_message_length", -1),
)
LISTEN_SECONDS = 3600.0
"""Longest life of a stream of changes. After that the feed opens another one."""
Interceptor: TypeAlias = grpc.UnaryUnaryClientInterceptor | grpc.UnaryStreamClientInterceptor
_T = TypeVar("_T")
_Code = grpc.StatusCode
_LOST = frozenset({_Code.ABORTED, _Code.ALREADY_EXISTS, _Code.FAILED_PRECONDITION, _Code.NOT_FOUND})
_UNKNOWN = frozenset(
    {_Code.DEADLINE_EXCEEDED, _Code.UNAVAILABLE, _Code.INTERNAL, _Code.UNKNOWN, _Code.CANCELLED},
)
_CLOSED = frozenset({_Code.RESOURCE_EXHAUSTED, _Code.UNAUTHENTICATED, _Code.PERMISSION_DENIED})


class Stream(Protocol):
    """An open stream of responses. Any thread may cancel it."""

    def __next__(self) -> Any:  # noqa: ANN401 - the vendor's message
        """Return the next response."""
        ...

    def cancel(self) -> bool:
        """End it."""
        ...


class FirestoreRpc:
    """Firestore's RPCs over one channel. Any number of threads may share it."""

    def __init__(
        self, emulator_host: str | None, interceptors: Sequence[Interceptor], seconds: float, environment: Environment
    ) -> None:
        self._environment = environment
        channel = _emulator(emulator_host) if emulator_host else _cloud()
        self._channel = grpc.intercept_channel(channel, *interceptors)
        self._client = FirestoreClient(transport=FirestoreGrpcTransport(channel=self._channel))
        self._seconds = seconds
        # The library's own retries would hide a commit's unknown outcome and exceed the deadline.
        self._options: dict[str, Any] = {"retry": None}
        if emulator_host:
            # With this token the emulator applies no security rules.
            self._options["metadata"] = (("authorization", "Bearer owner"),)

    def batch_get(self, request: Message) -> list[Message]:
        """Read several documents in one consistent state and return the responses."""
        wrapped = firestore.BatchGetDocumentsRequest.wrap(request)
        return self._read(
            lambda limit: self._client.batch_get_documents(request=wrapped, timeout=limit, **self._options)
        )

    def run_query(self, request: Message) -> list[Message]:
        """Read one page and return the responses."""
        wrapped = firestore.RunQueryRequest.wrap(request)
        return self._read(lambda seconds: self._client.run_query(request=wrapped, timeout=seconds, **self._options))

    def commit(self, request: Message) -> Message:
        """Commit without retrying and return the response."""
        wrapped = firestore.CommitRequest.wrap(request)
        try:
            response = self._client.commit(request=wrapped, timeout=self._seconds, **self._options)
        except GoogleAPICallError as error:
            if error.grpc_status_code in _LOST | _UNKNOWN:
                raise LostRace("a document changed since it was read, or the outcome is unknown") from None
            _refuse(error)
        except GoogleAuthError:
            raise StoreUnavailable("there are no credentials for the store") from None
        return firestore.CommitResponse.pb(response)

    def listen(self, requests: Iterator[Message], database: str) -> Stream:
        """Open a stream of changes, to be read by `responses`. The server routes by the resource name `database`."""
        wrapped = (firestore.ListenRequest.wrap(request) for request in requests)
        # The generated client takes routing headers from a request. Listen has a stream of requests, so set them here.
        options = {**self._options, "retry": None}
        routed = (("google-cloud-resource-prefix", database), ("x-goog-request-params", f"database={database}"))
        options["metadata"] = (*options.get("metadata", ()), *routed)
        stream = _stream_errors(lambda: self._client.listen(requests=wrapped, timeout=LISTEN_SECONDS, **options))
        return cast("Stream", stream)  # annotated as Iterable by the vendor, but it is a gRPC call with `cancel`

    def responses(self, stream: Stream) -> Iterator[Message]:
        """Yield the responses of a stream until it ends. `StoreError` if it breaks off."""
        while (response := _stream_errors(lambda: next(stream, None))) is not None:
            yield firestore.ListenResponse.pb(response)

    def close(self) -> None:
        """Close the channel. No call may follow."""
        self._channel.close()

    def _read(self, call: Callable[[float], Iterable[Any]]) -> list[Message]:
        """Return the responses of a call without side effects, which is retried after transient failures."""
        end = self._environment.monotonic() + self._seconds
        for pause in self._pauses():
            try:
                return [type(response).pb(response) for response in call(end - self._environment.monotonic())]
            except GoogleAPICallError as error:
                if error.grpc_status_code not in _UNKNOWN:
                    _refuse(error)
            except GoogleAuthError:
                raise StoreUnavailable("there are no credentials for the store") from None
            if self._environment.monotonic() + pause >= end:
                break
            self._environment.sleep(pause)
        raise StoreUnavailable("the store does not respond")

    def _pauses(self) -> Iterator[float]:
        """Yield the jittered seconds to wait after each attempt. Infinity after the last one ends the loop."""
        for turn in range(READ_ATTEMPTS - 1):
            yield uniform(self._environment.random, _FIRST_PAUSE_SECONDS * 2.0**turn)
        yield math.inf


def _stream_errors(act: Callable[[], _T]) -> _T:
    try:
        return act()
    except GoogleAPICallError as error:
        if error.grpc_status_code in _UNKNOWN:
            raise StoreUnavailable("the stream of changes broke off") from None
        _refuse(error)
    except GoogleAuthError:
        raise StoreUnavailable("there are no credentials for the store") from None


def _emulator(host: str) -> grpc.Channel:
    return grpc.insecure_channel(host, options=_CHANNEL_OPTIONS)


def _cloud() -> grpc.Channel:
    try:
        return FirestoreGrpcTransport.create_channel(ADDRESS, options=_CHANNEL_OPTIONS)
    except GoogleAuthError:
        raise StoreUnavailable("there are no credentials for the store") from None


def _refuse(error: GoogleAPICallError) -> NoReturn:
    # The server's message may quote names and values, so it is not passed on.
    if error.grpc_status_code in _CLOSED:
        raise StoreUnavailable("the store denies access to this account, or its quota is used up") from None
    if error.grpc_status_code is _Code.NOT_FOUND:
        raise StoreUnavailable("there is no such database") from None
    if error.grpc_status_code is _Code.FAILED_PRECONDITION:
        raise StoreError("the database lacks an index, or is not in native mode") from None
    raise StoreError("the store refused the call") from None
