"""Response headers that tell a client which version it used, and until when an old secret is accepted."""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING

from keyturn.domain.model import VersionState

if TYPE_CHECKING:
    from keyturn.verifier.verdict import Verdict


def response_headers(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the headers for an accepted request: client and version, and for a version in grace its deprecation.

    `Deprecation` is a structured date (RFC 9745 §2.1), `Sunset` an HTTP date (RFC 8594 §3), both in whole seconds.
    """
    headers = [("X-Client-Id", verdict.client_id), ("X-Client-Version", verdict.version_id)]
    if verdict.state == VersionState.GRACE.value and verdict.not_after is not None:
        since = min(verdict.deprecated_at or verdict.now, verdict.now)
        headers.append(("Deprecation", f"@{int(since.timestamp())}"))
        headers.append(("Sunset", format_datetime(verdict.not_after.replace(microsecond=0), usegmt=True)))
    return headers
