"""Errors as HTTP: each class maps once to a status and a problem (RFC 9457). An unknown one is a 500 with only an id.

The log entry of an unknown error holds its class and where it was raised, and never its message: a message may hold a
secret. Refused settings are the exception: their messages are made without values.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING

from keyturn.domain.errors import Refusal, Unauthenticated, Unavailable
from keyturn.entry.config.variables import SettingsError
from keyturn.ports.bus import BusUnavailable
from keyturn.ports.keys import KeyRefused, KeyUnavailable
from keyturn.ports.store import StoreFull, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger("keyturn")

SCHEME = "Nostr"
"""The scheme of members and admins: a signed Nostr event, in the Authorization header (NIP-98) or as the body."""
UNAVAILABLE = (StoreUnavailable, KeyUnavailable, KeyRefused, BusUnavailable)
"""Errors of backends that cannot answer now: the caller may try again."""


def problem(error: Exception) -> tuple[dict[str, object], int, Mapping[str, str]]:
    """Return body, status and headers of the response to an error."""
    if isinstance(error, UNAVAILABLE):
        _report(error, secrets.token_hex(8))
        error = _unavailable(error)
    if not isinstance(error, Refusal):
        return _unknown(error)
    return _body(error.status, error.error, error.reason, error.sentence), error.status, _headers(error)


def _unavailable(error: Exception) -> Unavailable:
    # A local bus is part of the store: its error has the store's as its cause.
    if isinstance(error, StoreFull) or isinstance(error.__cause__, StoreFull):
        _log.error("the disk is full: nothing can be written until there is space again")
        return Unavailable("disk_full", "The disk of the service is full, so it cannot write.")
    return Unavailable("part_unavailable", "A backend that this request needs is unavailable.")


def _headers(error: Refusal) -> Mapping[str, str]:
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": SCHEME}  # RFC 9110 §15.5.2: every 401 names a scheme
    return {"Retry-After": str(error.retry_after_seconds)} if error.retry_after_seconds else {}


def _unknown(error: Exception) -> tuple[dict[str, object], int, Mapping[str, str]]:
    # The id connects a caller's report with the log entry, and reveals nothing.
    correlation_id = secrets.token_hex(8)
    _report(error, correlation_id)
    if isinstance(error, SettingsError):
        # Its text names settings and rules, never values. Without it, the operator could only guess.
        _log.error("%s the settings are refused: %s", correlation_id, error)
    sentence = f"An internal error occurred. Its log entry is {correlation_id}."
    return _body(500, "internal_error", "internal_error", sentence), 500, {}


def _report(error: Exception, correlation_id: str) -> None:
    # Function names and line numbers identify the fault. A full traceback would hold the message.
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))
    _log.error("%s %s at %s", correlation_id, type(error).__name__, where)


def _body(status: int, error: str, reason: str, sentence: str) -> dict[str, object]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "error": error,
        "reason": reason,
        "detail": sentence,
    }
