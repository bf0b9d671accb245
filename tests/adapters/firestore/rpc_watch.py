"""Interceptors of a gRPC channel: one counts the calls by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable


class Counter(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Remembers the name of every call, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - gRPC's call, passed on
        return self._counted(continuation, client_call_details, request)

    def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.ClientCallDetails, request: object
    ) -> Any:  # noqa: ANN401 - gRPC's call, passed on
        return self._counted(continuation, client_call_details, request)

    def _counted(self, continuation: Callable[..., Any], details: grpc.ClientCallDetails, request: object) -> Any:  # noqa: ANN401 - gRPC's call, passed on
        self.calls.append(details.method.rpartition("/")[2])
        return continuation(details, request)
