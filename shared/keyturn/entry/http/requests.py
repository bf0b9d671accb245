"""Requests: their bodies, parameters and sources. No function parses these by itself."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from keyturn.domain.errors import InvalidRequest, TooLarge
from keyturn.domain.request_fields import Fields
from keyturn.entry.composition.suite import current
from keyturn.proofs.strict_json import load_object
from keyturn.use_cases.optimistic import Call
from keyturn.verifier.failure_limits import source_of

if TYPE_CHECKING:
    import flask

    from keyturn.verifier.failure_limits import FailureLimits

BODY_LIMIT_BYTES = 256 * 1024

INCOMPLETE = "The request is incomplete or malformed HTTP."
TOO_LARGE = "The body is over 256 KiB."


def body_of(request: flask.Request) -> bytes:
    """Return the body. `TooLarge` over 256 KiB, without reading on, and `InvalidRequest` if it is cut short."""
    length = request.content_length
    if (length or 0) > BODY_LIMIT_BYTES:
        raise TooLarge("too_large", TOO_LARGE)
    body = _read(request, length)
    if len(body) < (length or 0):  # the sender closed the connection
        raise InvalidRequest("bad_http", INCOMPLETE)
    if len(body) > BODY_LIMIT_BYTES:
        raise TooLarge("too_large", TOO_LARGE)
    return body


def _read(request: flask.Request, length: int | None) -> bytes:
    """Read the body once. A body of a known length comes from the server itself: Flask's stream only counts bytes."""
    try:
        if length is None:
            return request.stream.read(BODY_LIMIT_BYTES + 1)
        body: bytes = request.environ["wsgi.input"].read(length)
    except OSError:  # a malformed chunk, or a sender that timed out
        raise InvalidRequest("bad_http", INCOMPLETE) from None
    request.environ["wsgi.input"] = io.BytesIO()  # a second read must not wait for bytes that never arrive
    return body


def fields_of(request: flask.Request) -> Fields:
    """Return the JSON object in the body. `InvalidRequest` if there is none."""
    return Fields(load_object(body_of(request)))


def call_of(request: flask.Request) -> Call:
    """Return the call that a request's Idempotency-Key names, if it has one."""
    key = request.headers.get("Idempotency-Key", "")
    return Call(f"{request.path} {key}" if key else "")


def query_parameter(request: flask.Request, name: str) -> str | None:
    """Return a query parameter, None if it is absent. `InvalidRequest` if it is repeated, and so ambiguous."""
    values = request.args.getlist(name)
    if len(values) > 1:
        raise InvalidRequest("repeated_parameter", "A parameter of the query is repeated.")
    return values[0] if values else None


def page_start(request: flask.Request) -> str | None:
    """Return the `after` parameter: the last item of the page before, None for the first page."""
    return query_parameter(request, "after")


def source(request: flask.Request) -> str:
    """Return the source that a request's failures are charged to: the address that it came from."""
    if current().settings.cloud is None:
        return source_of(request.remote_addr)
    # Google's front end appends the caller's address. The caller wrote everything before it.
    return source_of(request.headers.get("X-Forwarded-For", "").rpartition(",")[2])


def charge(request: flask.Request, limits: FailureLimits) -> None:
    """Charge a request to its source before it is looked at. `RateLimited` if the source has used up its limit.

    For routes without authentication that cost a call to a key or a read, whether the request is right or wrong.
    """
    origin = source(request)
    limits.admit(origin)
    limits.charge(origin)
