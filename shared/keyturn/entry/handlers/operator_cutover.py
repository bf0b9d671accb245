"""The operator's routes about a client's move to its new secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import Unavailable
from keyturn.entry.composition.suite import current
from keyturn.entry.http.requests import fields_of
from keyturn.verifier.failure_limits import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def show_cutover(_request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Show how far a client has moved to its new secret."""
    from keyturn.entry.http.cutover_view import cutover_view

    return cutover_view(current().cutover(client_id))


def caller_tag(request: flask.Request) -> Mapping[str, Any]:
    """Return the tag of callers at an address with a User-Agent."""
    from keyturn.verifier import callers

    fields = fields_of(request)
    salt = current().verification.salt.value()
    if salt is None:
        raise Unavailable("no_salt", "This deployment has counted no callers yet.")
    return {
        "caller": callers.caller_tag(salt, source_of(fields.optional_text("address")), fields.optional_text("agent"))
    }
