"""The bus in the cloud: Pub/Sub, one message a call, confirmed before `publish` returns.

1. Confirmed is what Pub/Sub gave an id to. All else is `BusUnavailable`: it may have been published, or not.
2. A call is tried again while that may help, within a deadline: a message may arrive twice, doors expect it.
3. Identifiers are attributes. The body says nothing; it is there because a message without one is lost on some ways.

It publishes by the plain client: the library's publisher collects messages for a while, in threads of its own, and a
function that has answered may get no time for them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keyturn.ports.bus import BusUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc

ADDRESS = "pubsub.googleapis.com"
BODY = b"identifiers are in the attributes"
_UNCONFIRMED = "the message was not confirmed"
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class PubsubPatience:
    """How long one attempt, and how long all of them together may take, in seconds."""

    attempt_seconds: float = 3.0
    total_seconds: float = 8.0


class PubsubBus:
    """Implement `keyturn.ports.bus.Bus` over the topics of a project; nothing is opened before the first publish.

    `emulator_host` (`address:port`) reaches an emulator without TLS and credentials; None reaches Google. Threads may
    share it.
    """

    def __init__(
        self, project: str, *, emulator_host: str | None = None, patience: PubsubPatience | None = None
    ) -> None:
        self._project = project
        self._emulator_host = emulator_host
        self._patience = patience or PubsubPatience()

    def publish(self, topic: str, message: Mapping[str, str]) -> None:
        """Publish identifiers (never a secret) to `topic`; `BusUnavailable` when not confirmed."""
        from google.api_core.exceptions import GoogleAPICallError, RetryError  # noqa: PLC0415 - the vendor's client
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - the same

        request = {
            "topic": f"projects/{self._project}/topics/{topic}",
            "messages": [{"data": BODY, "attributes": dict(message)}],
        }
        try:
            confirmed = self._client.publish(request=request, retry=self._retry, timeout=self._patience.attempt_seconds)
        except (GoogleAPICallError, RetryError, GoogleAuthError):
            raise BusUnavailable(_UNCONFIRMED) from None  # the server's message quotes the project
        if len(confirmed.message_ids) != 1:
            raise BusUnavailable(_UNCONFIRMED)

    def close(self) -> None:
        """Close the connection, if there is one."""
        if "_channel" in vars(self):
            self._channel.close()

    @functools.cached_property
    def _channel(self) -> grpc.Channel:
        import grpc  # noqa: PLC0415 - the vendor's client
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport  # noqa: PLC0415 - the same

        if self._emulator_host:
            return grpc.insecure_channel(self._emulator_host)
        return PublisherGrpcTransport.create_channel(ADDRESS)

    @functools.cached_property
    def _client(self) -> Any:  # noqa: ANN401 - the vendor's class is known only once it is needed
        from google.pubsub_v1.services.publisher import PublisherClient  # noqa: PLC0415 - the vendor's client
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport  # noqa: PLC0415 - the same

        return PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))

    @functools.cached_property
    def _retry(self) -> Any:  # noqa: ANN401 - the same
        from google.api_core import exceptions  # noqa: PLC0415 - the vendor's client
        from google.api_core.retry import Retry, if_exception_type  # noqa: PLC0415 - the same

        again = (
            exceptions.Aborted,
            exceptions.Cancelled,
            exceptions.DeadlineExceeded,
            exceptions.InternalServerError,
            exceptions.ResourceExhausted,
            exceptions.ServiceUnavailable,
            exceptions.Unknown,
        )
        return Retry(  # its pauses are jittered
            predicate=if_exception_type(*again),
            initial=_FIRST_PAUSE_SECONDS,
            maximum=_LONGEST_PAUSE_SECONDS,
            timeout=self._patience.total_seconds,
        )
