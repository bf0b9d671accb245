"""The function `rotate_request`: admins' signed commands in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from keyturn.entry.composition.suite import current
from keyturn.entry.http.requests import body_of
from keyturn.entry.http.routing import Routes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def execute(request: flask.Request) -> Mapping[str, Any]:
    """Execute a signed command."""
    # No Authorization header: the body is a signed event, and a signature on the request would prove nothing more.
    return current().commands.accept(body_of(request))


ROUTES: Final = Routes("rotate_request", {("POST", "/"): execute})
