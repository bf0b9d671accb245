"""Canaries' requests: parse, charge the source, call one use case, show; and whose tag a request bears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keyturn.entry.composition.suite import current
from keyturn.entry.http.oauth import source
from keyturn.entry.http.routing import fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import flask


def challenge(request: flask.Request) -> Mapping[str, Any]:
    """Give an instance a nonce."""
    _charge(request)
    return current().verification.canary.challenge(fields_of(request).text("client_id"))


def prove(request: flask.Request) -> Mapping[str, Any]:
    """Take an instance's answer."""
    _charge(request)
    return current().verification.canary.prove(fields_of(request))


def _charge(request: flask.Request) -> None:
    # Right or wrong, a request costs a read: it is paid for before anything is looked at.
    asking = source(request)
    current().verification.canary_budgets.admit(asking)
    current().verification.canary_budgets.failed(asking)
