"""A dependency for FastAPI: `Depends(Authenticated(guard))` gives an endpoint its verdict.

Only Starlette is imported, on which FastAPI rests. Annotations are not postponed in this module: FastAPI evaluates the
annotations of a dependency, and cannot resolve postponed ones on a callable object.
"""

import asyncio
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from keyturn.verifier.failure_limits import source_of
from keyturn.verifier.middleware.asgi import header_map
from keyturn.verifier.middleware.credentials import Denial, Guard, may_hold_form
from keyturn.verifier.middleware.response_headers import response_headers
from keyturn.verifier.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Admits requests with a valid credential, and adds response headers for clients that use an old secret."""

    guard: Guard

    async def __call__(self, request: Request, response: Response) -> Verdict:
        """Return the verdict on an accepted request; Starlette's HTTPException (401, 403, 429, 503) otherwise."""
        headers = header_map(request.headers.raw)
        length = headers.get("content-length", "0")
        size = int(length) if length.isascii() and length.isdigit() else 0
        form = await request.body() if may_hold_form(request.method, headers.get("content-type", ""), size) else b""
        source = source_of(request.client.host if request.client else None)
        verdict = await asyncio.to_thread(self.guard.decide, headers, form, source)
        if isinstance(verdict, Denial):
            raise HTTPException(verdict.status, verdict.error, dict(verdict.headers))
        for name, value in response_headers(verdict):
            response.headers[name] = value
        return verdict
