"""The message bus in the cloud: Pub/Sub, one message per call, confirmed before `publish` returns.

1. A message is confirmed when Pub/Sub has assigned it an id. Otherwise the outcome is unknown: `BusUnavailable`.
2. A call is retried within a deadline. So a message may arrive twice, which the functions expect.
3. Identifiers travel as attributes. The body is constant, because some delivery paths drop a message without a body.

The plain client is used and not the library's publisher, which batches messages in background threads: a function that
has responded may get no CPU time for them.
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
class PublishTimeouts:
    """How long one attempt, and all attempts together, may take, in seconds."""

    attempt_seconds: float = 3.0
    total_seconds: float = 8.0


class PubsubBus:
    """Implements `keyturn.ports.bus.Bus` over the topics of a project. Connects on the first publish.

    `emulator_host` (`address:port`) is an emulator, called without TLS and credentials. None means Google. Threads may
    share it.
    """

    def __init__(
        self, project: str, *, emulator_host: str | None = None, timeouts: PublishTimeouts | None = None
    ) -> None:
        self._project = project
        self._emulator_host = emulator_host
        self._timeouts = timeouts or PublishTimeouts()

    def publish(self, topic: str, message: Mapping[str, str]) -> None:
        """Publish identifiers (never a secret) to `topic`. `BusUnavailable` if the message is not confirmed."""
        from google.api_core.exceptions import GoogleAPICallError, RetryError  # noqa: PLC0415 - the vendor's client
        from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 - the same

        request = {
            "topic": f"projects/{self._project}/topics/{topic}",
            "messages": [{"data": BODY, "attributes": dict(message)}],
        }
        try:
            response = self._client.publish(request=request, retry=self._retry, timeout=self._timeouts.attempt_seconds)
        except (GoogleAPICallError, RetryError, GoogleAuthError):
            raise BusUnavailable(_UNCONFIRMED) from None  # the server's message quotes the project's name
        if len(response.message_ids) != 1:  # rule 1: without an id the message is not confirmed
            raise BusUnavailable(_UNCONFIRMED)

    def close(self) -> None:
        """Close the connection if one is open."""
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
    def _client(self) -> Any:  # noqa: ANN401 - the vendor's class is imported late
        from google.pubsub_v1.services.publisher import PublisherClient  # noqa: PLC0415 - the vendor's client
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport  # noqa: PLC0415 - the same

        return PublisherClient(transport=PublisherGrpcTransport(channel=self._channel))

    @functools.cached_property
    def _retry(self) -> Any:  # noqa: ANN401 - the same
        from google.api_core import exceptions  # noqa: PLC0415 - the vendor's client
        from google.api_core.retry import Retry, if_exception_type  # noqa: PLC0415 - the same

        transient_errors = (
            exceptions.Aborted,
            exceptions.Cancelled,
            exceptions.DeadlineExceeded,
            exceptions.InternalServerError,
            exceptions.ResourceExhausted,
            exceptions.ServiceUnavailable,
            exceptions.Unknown,
        )
        return Retry(  # adds jitter to its pauses
            predicate=if_exception_type(*transient_errors),
            initial=_FIRST_PAUSE_SECONDS,
            maximum=_LONGEST_PAUSE_SECONDS,
            timeout=self._timeouts.total_seconds,
        )
