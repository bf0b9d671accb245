"""HTTP requests signed by a Nostr key: `Authorization: Nostr <base64 of an event>` (NIP-98).

The event names exactly one URL, one method and, if there is a body, the body's SHA-256. It can be replayed within the
tolerance. A caller that must detect a replay has to store the event ids.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING

from keyturn.proofs.authorization_header import split_authorization
from keyturn.proofs.errors import Malformed, Unproven
from keyturn.proofs.nostr import Event, open_event, sign_event

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

KIND = 27235
TOLERANCE_SECONDS = 60
"""How far `created_at` can be from now, in either direction (suggested by NIP-98, docs/protocol.md §6)."""


def signed_url(base_url: str, path: str, query: str = "") -> str:
    """Return the URL that a request's event must name: the service's address, the path, and the query if there is one.

    `base_url` ends without a slash, `path` begins with one.
    """
    return f"{base_url}{path}?{query}" if query else f"{base_url}{path}"


def sign_authorization(
    private_key: bytes,
    *,
    url: str,
    method: str,
    body: bytes | None,
    now: datetime,
    random: Callable[[int], bytes],
) -> str:
    """Return the Authorization header for one request.

    `private_key` is `bytes, 32`. `random(32)` is the auxiliary randomness of BIP-340.
    """
    tags = [["u", url], ["method", method]]
    if body:
        tags.append(["payload", hashlib.sha256(body).hexdigest()])
    event = sign_event(private_key, kind=KIND, tags=tags, content="", created_at=int(now.timestamp()), random=random)
    return "Nostr " + base64.b64encode(event.to_json().encode("utf-8")).decode("ascii")


def check_authorization(
    header: str,
    *,
    url: str,
    method: str,
    body: bytes | None,
    now: datetime,
    tolerance_seconds: int = TOLERANCE_SECONDS,
) -> Event:
    """Return the verified event of an Authorization header's value for exactly this request.

    Raises `Malformed` if it contains no event, and `Unproven` with reason `wrong_event_id`, `bad_signature`,
    `wrong_kind`, `wrong_time`, `wrong_url`, `wrong_method` or `wrong_payload`.
    """
    event = open_event(_token(header))
    _require(event.kind == KIND, "wrong_kind", "The event does not authorise HTTP requests.")
    within = abs(now.timestamp() - event.created_at) <= tolerance_seconds
    _require(within, "wrong_time", "The event is too old, or from the future.")
    _require(_only_tag(event, "u") == url, "wrong_url", "The event is for another URL.")
    _require(_only_tag(event, "method") == method, "wrong_method", "The event is for another method.")
    _require(_payload_matches(event, body or b""), "wrong_payload", "The event is for another body.")
    return event


def _token(header: str) -> bytes:
    scheme, token = split_authorization(header)
    event = b""
    try:
        event = base64.b64decode(token, validate=True)
    except ValueError:
        event = b""
    # Encoding again refuses every base64 that is not canonical.
    if scheme != "nostr" or not event or base64.b64encode(event).decode("ascii") != token:
        raise Malformed("malformed_authorization", "The Authorization header contains no Nostr event.")
    return event


def _only_tag(event: Event, name: str) -> str | None:
    return event.tag(name) if event.tag_count(name) == 1 else None


def _payload_matches(event: Event, body: bytes) -> bool:
    # A request without a body needs no payload tag, but one that is there must be right.
    if not body and not event.tag_count("payload"):
        return True
    payload = (_only_tag(event, "payload") or "").encode("utf-8")
    return hmac.compare_digest(payload, hashlib.sha256(body).hexdigest().encode("ascii"))


def _require(holds: bool, reason: str, sentence: str) -> None:  # noqa: FBT001 - a condition, not an option
    if not holds:
        raise Unproven(reason, sentence)
