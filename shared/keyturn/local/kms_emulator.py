"""A stand-in for Cloud KMS on this machine: the real gRPC interface over a 0600 key file, on loopback, without TLS.

There is no emulator of Google's for KMS. The real client runs against this one, in tests and in `--emulators` runs; it
takes anybody's calls, so that it is for trying things out only. A `Tap` sees each call on its way in and out: tests
bend, delay and refuse calls with it.
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
    """What happens to calls on their way: nothing. `KmsFault` raised here is what the caller is told."""

    def request(self, method: str, message: Message) -> Message:
        """Return the request as it arrives."""
        del method
        return message

    def response(self, method: str, message: Message) -> Message:
        """Return the response as it leaves."""
        del method
        return message


class KmsEmulator:
    """A server over the key file at `path`, which is made if there is none; it answers within the context.

    `host` is `address:port`, as KEYTURN_KMS_EMULATOR_HOST wants it; `keys` are the keys behind it.
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
        """Answer calls from now on."""
        self._server.start()

    def stop(self) -> None:
        """Stop answering; calls under way are cut."""
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
        def take(request: Message, context: grpc.ServicerContext) -> Message:
            try:
                return self._tap.response(name, answer(self._tap.request(name, request)))
            except KmsFault as fault:
                _abort(context, fault.code)
            except KeyUnavailable:
                _abort(context, grpc.StatusCode.UNAVAILABLE)

        return grpc.unary_unary_rpc_method_handler(
            take, request_deserializer=request_type.deserialize, response_serializer=response_type.serialize
        )


def _abort(context: grpc.ServicerContext, code: grpc.StatusCode) -> NoReturn:
    context.abort(code, "the stand-in refuses this call")
