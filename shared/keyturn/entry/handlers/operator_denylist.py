"""The operator's routes that block and unblock: the denylists, and the stop of the whole deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.free_text import checked_reason, optional_reason
from keyturn.domain.request_fields import Fields
from keyturn.entry.composition.suite import current
from keyturn.entry.http.requests import fields_of
from keyturn.entry.http.views import plain
from keyturn.records.codec import known_data
from keyturn.records.denylist import Denylists

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

    from keyturn.use_cases.admins.edit_denylist import OperatorStop

_LISTS = ("users", "npubs", "clients")


def show_denied(_request: flask.Request) -> Mapping[str, Any]:
    """Show the denylists of the store and of the settings."""
    return _denied_view(current().operator.denylist.denylists())


def change_denied(request: flask.Request) -> Mapping[str, Any]:
    """Add to the denylists and remove from them."""
    fields = fields_of(request)
    added, removed = _lists(fields, "add"), _lists(fields, "remove")
    return _denied_view(current().operator.denylist.change(added, removed, optional_reason(fields)))


def show_stop(_request: flask.Request) -> Mapping[str, Any]:
    """Show whether the deployment is stopped."""
    return _stop_view(current().operator.denylist.current_stop())


def stop(request: flask.Request) -> Mapping[str, Any]:
    """Stop the deployment. A second stop changes nothing."""
    return _stop_view(current().operator.denylist.stop(checked_reason(fields_of(request).text("reason"))))


def start(request: flask.Request) -> Mapping[str, Any]:
    """Start a stopped deployment again."""
    current().operator.denylist.start(optional_reason(fields_of(request)))
    return _stop_view(None)


def _denied_view(denied: Denylists) -> Mapping[str, Any]:
    # `everywhere` is false until both databases hold the change: an interrupted command is visible, and is repeated.
    suite = current()
    everywhere = suite.operator.denylist.databases_agree()
    return {**known_data(denied), "settings": sorted(suite.settings.denied), "everywhere": everywhere}


def _stop_view(record: OperatorStop | None) -> Mapping[str, Any]:
    fields = plain(known_data(record)) if record else {"since": None, "reason": None}
    return {"stopped": record is not None, **fields, "everywhere": current().operator.denylist.databases_agree()}


def _lists(fields: Fields, name: str) -> Denylists:
    lists = fields.fields(name) if name in fields.values else Fields({})
    return Denylists(*(lists.texts(kind) for kind in _LISTS))
