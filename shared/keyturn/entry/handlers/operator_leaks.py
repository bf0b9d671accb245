"""The operator's requests about leaks: parse, call one use case, show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.bcrypt_import import is_imported
from keyturn.domain.errors import InvalidRequest
from keyturn.domain.secret_format import HINT_LENGTH
from keyturn.entry.composition.suite import current
from keyturn.entry.http.routing import argument, fields_of
from keyturn.entry.http.views import plain
from keyturn.proofs.receipts import Sighting

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

    from keyturn.domain.model import Version
    from keyturn.use_cases.clients.leak import Candidates

_SHOWN = ("client_id", "version_id", "rotation_id", "receipt_key", "state", "retired_because", "created_at")


def versions(request: flask.Request) -> Mapping[str, Any]:
    """Show versions to compare a sighted value with: of a client, of a hint, or a page of all."""
    asked = {name: argument(request, name) for name in ("client_id", "hint", "after")}
    candidates = _candidates({name: value for name, value in asked.items() if value is not None})
    # Without a receipt key there was never a secret; an imported version is told of, and its hash stays here.
    shown = [_view(item) for item in candidates.versions if item.receipt_key or is_imported(item)]
    return {"versions": shown, "next": candidates.following}


def _candidates(asked: Mapping[str, str]) -> Candidates:
    if "client_id" in asked:
        return current().operator.leak.of_client(asked["client_id"])
    if "hint" in asked:
        hint = asked["hint"]
        if len(hint) != HINT_LENGTH or not (hint.isascii() and hint.isalnum()):
            raise InvalidRequest("bad_hint", "A hint is 8 letters and digits.")
        return current().operator.leak.of_hint(hint)
    return current().operator.leak.of_all(asked.get("after"))


def _view(version: Version) -> Mapping[str, Any]:
    return {**{name: plain(getattr(version, name)) for name in _SHOWN}, "imported": is_imported(version)}


def revoke(request: flask.Request) -> Mapping[str, Any]:
    """Revoke a sighted version, and ask for its successor."""
    fields = fields_of(request)
    sighting = Sighting(
        client_id=fields.text("client_id"),
        version_id=fields.text("version_id"),
        made_by=fields.optional_text("made_by"),
        replaced_by=fields.text("rotation_id"),
        sighted_at=fields.integer("sighted_at"),
    )
    return current().operator.leak.revoke(sighting, fields.optional_text("signature"))
