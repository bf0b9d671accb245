"""An emulator of Cloud KMS: the real gRPC interface over a private key file (0600), on loopback, without TLS.

Google has no emulator for KMS. In tests and with `--emulators` the real client calls this one. It authenticates no one,
so it is for trials only. A `Tap` sees each request and response, and tests use it to change, delay and refuse calls.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NoReturn, Self

import grpc

from keyturn.adapters.key_file.file import KeyFile
from keyturn.adapters.key_file.keys import LocalKeys
from keyturn.local.kms_names import KmsFault
from keyturn.local.kms_operations import KmsOperations, Message
from keyturn.ports.keys import KeyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOST = "127.0.0.1"
RING = "projects/keyturn-local/locations/local/keyRings/keyturn"
SERVICE = "google.cloud.kms.v1.KeyManagementService"
_THREADS = 8


class Tap:
    """Passes requests and responses through unchanged. A subclass may raise `KmsFault`, which ends the call."""

    def request(self, method: str, message: Message) -> Message:
        """Return the request to process."""
        del method
        return message

    def response(self, method: str, message: Message) -> Message:
        """Return the response to send."""
        del method
        return message


class KmsEmulator:
    """A server over the key file at `path`, which is created if it does not exist. It serves while the context lasts.

    `host` is `address:port`, as in KEYTURN_KMS_EMULATOR_HOST. `keys` are the keys behind it.
    """

    def __init__(self, path: Path, *, port: int = 0, ring: str = RING, tap: Tap | None = None) -> None:
        self.keys = LocalKeys.open_or_create(path, os.urandom)
        self.ring = ring
        self._tap = tap or Tap()
        self._server = grpc.server(ThreadPoolExecutor(_THREADS, thread_name_prefix="kms"))
        operations = KmsOperations(self.keys, KeyFile(path), ring)
        handlers = {name: self._handler(name, *method) for name, method in operations.methods().items()}
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
        self.host = f"{HOST}:{self._server.add_insecure_port(f'{HOST}:{port}')}"

    def start(self) -> None:
        """Start serving."""
        self._server.start()

    def stop(self) -> None:
        """Stop serving and abort calls in progress."""
        self._server.stop(None).wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _handler(
        self,
        name: str,
        answer: Callable[[Message], Message],
        request_type: type[Any],
        response_type: type[Any],
    ) -> grpc.RpcMethodHandler[Any, Any]:
        def handle(request: Message, context: grpc.ServicerContext) -> Message:
            try:
                return self._tap.response(name, answer(self._tap.request(name, request)))
            except KmsFault as fault:
                _abort(context, fault.code)
            except KeyUnavailable:
                _abort(context, grpc.StatusCode.UNAVAILABLE)

        return grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=request_type.deserialize, response_serializer=response_type.serialize
        )


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode) -> NoReturn:
    context.abort(code, "the KMS emulator refuses this call")
