"""How far a client has moved to its new secret, for the operator and for members of its groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import Unavailable
from keyturn.entry.composition.suite import current
from keyturn.entry.http.requests import fields_of, signer_of
from keyturn.verifier.failure_limits import source_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def show_for_operator(_request: flask.Request, client_id: str) -> Mapping[str, Any]:
    """Show the cutover of any client."""
    return _view(client_id)


def show_for_member(request: flask.Request, key: str) -> Mapping[str, Any]:
    """Show the cutover of a client that one of the signer's groups administers."""
    return _view(key, signer_of(request))


def caller_tag(request: flask.Request) -> Mapping[str, Any]:
    """Return the tag of callers at an address with a User-Agent."""
    from keyturn.verifier.callers import caller_tag  # noqa: PLC0415 - only this route needs it

    fields = fields_of(request)
    salt = current().verification.salt.value()
    if salt is None:
        raise Unavailable("no_salt", "This deployment has counted no callers yet.")
    return {"caller": caller_tag(salt, source_of(fields.optional_text("address")), fields.optional_text("agent"))}


def _view(client_id: str, npub: str | None = None) -> Mapping[str, Any]:
    from keyturn.entry.http.cutover_view import cutover_view  # noqa: PLC0415 - loads the arithmetic of usage

    return cutover_view(current().cutover(client_id, npub))
