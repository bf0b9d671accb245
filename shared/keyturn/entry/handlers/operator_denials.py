"""The operator's requests that forbid and allow: denylists, and the stop of everything (docs/http.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.request_fields import Fields
from keyturn.entry.composition.suite import current
from keyturn.entry.http.routing import fields_of
from keyturn.entry.http.views import plain
from keyturn.records.codec import to_data
from keyturn.records.denylist import Denylists

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

    from keyturn.use_cases.admins.edit_denylist import OperatorStop

_LISTS = ("users", "npubs", "clients")


def show_denied(_request: flask.Request) -> Mapping[str, Any]:
    """Show the store's denylists, and what the settings deny besides."""
    return _denied(current().operator.denylist.denied())


def change_denied(request: flask.Request) -> Mapping[str, Any]:
    """Add to the denylists and remove from them."""
    fields = fields_of(request)
    given = (_lists(fields, "add"), _lists(fields, "remove"))
    return _denied(current().operator.denylist.change(*given, fields.optional_text("reason")))


def show_stop(_request: flask.Request) -> Mapping[str, Any]:
    """Show whether everything is stopped."""
    return _stop(current().operator.denylist.stopped())


def stop(request: flask.Request) -> Mapping[str, Any]:
    """Stop everything; a stop that stands already stays as it is."""
    return _stop(current().operator.denylist.stop(fields_of(request).text("reason")))


def start(request: flask.Request) -> Mapping[str, Any]:
    """Let everything go on."""
    current().operator.denylist.start(fields_of(request).optional_text("reason"))
    return _stop(None)


def _denied(denied: Denylists) -> Mapping[str, Any]:
    return {
        **to_data(denied),
        "settings": sorted(current().settings.denied),
        "everywhere": current().operator.denylist.everywhere(),
    }


def _stop(stands: OperatorStop | None) -> Mapping[str, Any]:
    shown = plain(to_data(stands)) if stands else {"since": None, "reason": None}
    return {"stopped": stands is not None, **shown, "everywhere": current().operator.denylist.everywhere()}


def _lists(fields: Fields, name: str) -> Denylists:
    given = fields.fields(name) if name in fields.values else Fields({})
    return Denylists(**{list_: given.texts(list_) for list_ in _LISTS})
