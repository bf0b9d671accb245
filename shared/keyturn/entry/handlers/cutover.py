"""How far a client has moved to its new secret: asked by the operator, or by a member of its groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import Unavailable
from keyturn.entry.composition.suite import current
from keyturn.entry.http.cutover_view import cutover_view
from keyturn.entry.http.routing import caller_of, fields_of
from keyturn.verifier.callers import tag_of
from keyturn.verifier.failure_limits import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def for_operator(_request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Show any client's."""
    return cutover_view(current().cutover(client_id))


def for_member(request: flask.Request, key: str) -> Mapping[str, Any]:
    """Show that of a client whose groups the caller is in."""
    return cutover_view(current().cutover(key, caller_of(request)))


def tag(request: flask.Request) -> Mapping[str, Any]:
    """Tell the tag that callers from an address, with a User-Agent, have."""
    fields = fields_of(request)
    salt = current().verification.salt.value()
    if salt is None:
        raise Unavailable("no_salt", "This deployment has counted nobody yet.")
    return {"caller": tag_of(salt, source_of(fields.optional_text("address")), fields.optional_text("agent"))}
