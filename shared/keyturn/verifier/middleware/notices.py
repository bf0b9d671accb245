"""What a response tells a client that still uses its old secret: since when, and until when."""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING

from keyturn.domain.model import VersionState

if TYPE_CHECKING:
    from keyturn.verifier.verdict import Verdict


def notices(verdict: Verdict) -> list[tuple[str, str]]:
    """Return headers: id and version for everybody; `Deprecation` and `Sunset` where the version is in grace.

    `Deprecation` is a structured date (RFC 9745 §2.1), `Sunset` an HTTP date (RFC 8594 §3), both to the second.
    """
    headers = [("X-Client-Id", verdict.client_id), ("X-Client-Version", verdict.version_id)]
    if verdict.state == VersionState.GRACE.value and verdict.not_after is not None:
        since = min(verdict.deprecated_at or verdict.now, verdict.now)
        headers.append(("Deprecation", f"@{int(since.timestamp())}"))
        headers.append(("Sunset", format_datetime(verdict.not_after.replace(microsecond=0), usegmt=True)))
    return headers
