"""A dependency for FastAPI: `Depends(Authenticated(guard))` gives an endpoint its verdict.

Only what FastAPI itself stands on (Starlette) is imported, and only by who imports this module. Annotations are not
postponed here: FastAPI reads those of a dependency, and finds none by name on an object that is called.
"""

import asyncio
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from keyturn.verifier.failure_limits import source_of
from keyturn.verifier.middleware.asgi import header_map
from keyturn.verifier.middleware.credentials import Denied, Guard, takes_form
from keyturn.verifier.middleware.notices import notices
from keyturn.verifier.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Lets requests with a good credential through, and sets headers of the response for who is on an old secret."""

    guard: Guard

    async def __call__(self, request: Request, response: Response) -> Verdict:
        """Return the verdict on an accepted request; Starlette's HTTPException (401, 429, 503) otherwise."""
        headers = header_map(request.headers.raw)
        length = headers.get("content-length", "0")
        size = int(length) if length.isascii() and length.isdigit() else 0
        form = await request.body() if takes_form(request.method, headers.get("content-type", ""), size) else b""
        address = source_of(request.client.host if request.client else None)
        decided = await asyncio.to_thread(self.guard.decide, headers, form, address)
        if isinstance(decided, Denied):
            raise HTTPException(decided.status, decided.error, dict(decided.headers))
        for name, value in notices(decided):
            response.headers[name] = value
        return decided
