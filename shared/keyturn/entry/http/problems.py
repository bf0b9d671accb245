"""Errors outward: each class once, to a status and a problem (RFC 9457); the unknown is an opaque 500 with an id.

What is logged of the unknown is its class and where it was raised: a message may carry what must not be in a log.
"""

from __future__ import annotations

import logging
import secrets
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING

from keyturn.domain.errors import Refusal, Unauthenticated, Unavailable
from keyturn.ports.bus import BusUnavailable
from keyturn.ports.keys import KeyRefused, KeyUnavailable
from keyturn.ports.store import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_log = logging.getLogger("keyturn")

SCHEME = "Nostr"
"""How members and admins authenticate at the doors: a signed Nostr event (NIP-98), or one that is the body."""
UNAVAILABLE = (StoreUnavailable, KeyUnavailable, KeyRefused, BusUnavailable)
"""What a part of ours raises when it cannot answer: the caller may try again."""


def problem(error: Exception) -> tuple[dict[str, object], int, Mapping[str, str]]:
    """Return body, status and headers of the answer to an error."""
    if isinstance(error, UNAVAILABLE):
        _report(error, secrets.token_hex(8))
        error = Unavailable("part_unavailable", "A part that the answer needs cannot be reached.")
    if not isinstance(error, Refusal):
        return _unknown(error)
    return _body(error.status, error.error, error.reason, error.sentence), error.status, _headers(error)


def _headers(error: Refusal) -> Mapping[str, str]:
    if isinstance(error, Unauthenticated):
        return {"WWW-Authenticate": SCHEME}  # RFC 9110 §15.5.2: every 401 says how to authenticate
    return {"Retry-After": str(error.retry_after_seconds)} if error.retry_after_seconds else {}


def _unknown(error: Exception) -> tuple[dict[str, object], int, Mapping[str, str]]:
    correlation_id = secrets.token_hex(8)
    _report(error, correlation_id)
    sentence = f"Something went wrong here; its log entry is {correlation_id}."
    return _body(500, "internal_error", "internal_error", sentence), 500, {}


def _report(error: Exception, correlation_id: str) -> None:
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
