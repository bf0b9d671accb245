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
    """Return the headers that say since when an old secret is replaced, and until when a secret works.

    `Deprecation` is a structured date (RFC 9745 §2.1), `Sunset` an HTTP date (RFC 8594 §3), both in whole seconds.
    """
    if verdict.not_after is None:
        return []
    sunset = ("Sunset", format_datetime(verdict.not_after.replace(microsecond=0), usegmt=True))
    if verdict.state != VersionState.GRACE.value:  # the client has an end
        return [sunset]
    since = min(verdict.deprecated_at or verdict.now, verdict.now)
    return [("Deprecation", f"@{int(since.timestamp())}"), sunset]
