"""The operator's routes about leaked secrets: find the version, and revoke it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.domain.errors import InvalidRequest
from keyturn.domain.imported_secret import is_imported
from keyturn.domain.secret_format import HINT_LENGTH
from keyturn.entry.composition.suite import current
from keyturn.entry.http.requests import fields_of, page_start, query_parameter
from keyturn.entry.http.views import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask

    from keyturn.domain.model import Version
    from keyturn.use_cases.clients.leak import Candidates

_FIELDS = ("client_id", "version_id", "rotation_id", "receipt_key", "state", "retired_because", "created_at")


def list_versions(request: flask.Request) -> Mapping[str, Any]:
    """List versions to compare a leaked value with: of a client, of a hint, or a page of all."""
    candidates = _candidates(request)
    # A version without a receipt key never had a secret. An imported one has none either, and its bcrypt hash is not
    # shown: it is listed so that the operator knows of it.
    versions = [_version_view(item) for item in candidates.versions if item.receipt_key or is_imported(item)]
    return {"versions": versions, "next": candidates.following}


def revoke(request: flask.Request) -> Mapping[str, Any]:
    """Revoke a leaked version, and request its successor."""
    from keyturn.proofs.receipts import LeakReport

    fields = fields_of(request)
    report = LeakReport(
        client_id=fields.text("client_id"),
        version_id=fields.text("version_id"),
        made_by=fields.optional_text("made_by"),
        replaced_by=fields.text("rotation_id"),
        sighted_at=fields.integer("sighted_at"),
    )
    return current().operator.leak.revoke(report, fields.optional_text("signature"))


def _candidates(request: flask.Request) -> Candidates:
    client_id, hint = query_parameter(request, "client_id"), query_parameter(request, "hint")
    start, leak = page_start(request), current().operator.leak
    if client_id is not None:
        return leak.of_client(client_id)
    if hint is None:
        return leak.of_all(start)
    if len(hint) != HINT_LENGTH or not (hint.isascii() and hint.isalnum()):
        raise InvalidRequest("bad_hint", "A hint is 8 letters and digits.")
    return leak.of_hint(hint)


def _version_view(version: Version) -> Mapping[str, Any]:
    return {**{name: plain(getattr(version, name)) for name in _FIELDS}, "imported": is_imported(version)}
