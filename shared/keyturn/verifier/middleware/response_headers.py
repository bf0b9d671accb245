"""Response headers that tell a client which version it used, and until when an old secret is accepted."""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING

from keyturn.domain.model import VersionState

if TYPE_CHECKING:
    from keyturn.verifier.verdict import Verdict


def response_headers(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the headers for an accepted request: client and version, and for a version in grace its deprecation."""
    own = [("X-Client-Id", verdict.client_id), ("X-Client-Version", verdict.version_id)]
    return [*own, *deprecation_headers(verdict)]


def deprecation_headers(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the headers that say since when an old secret is replaced, and until when it works. None for another.

    `Deprecation` is a structured date (RFC 9745 §2.1), `Sunset` an HTTP date (RFC 8594 §3), both in whole seconds.
    """
    if verdict.state != VersionState.GRACE.value or verdict.not_after is None:
        return []
    since = min(verdict.deprecated_at or verdict.now, verdict.now)
    sunset = format_datetime(verdict.not_after.replace(microsecond=0), usegmt=True)
    return [("Deprecation", f"@{int(since.timestamp())}"), ("Sunset", sunset)]
