"""What a client's document says before anything matched: the same work whoever it is of, and for nobody's, too.

The two versions that may verify are read from it, and nothing else: how many there are, what is underway and whether
there is such a client at all cost the same. Only what matched, or where time alone has brought something that no sweep
has written yet, has its whole state read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from keyturn.domain.encodings import base64url_encode
from keyturn.domain.errors import Broken
from keyturn.domain.model import ClientStatus, Version, VersionState
from keyturn.domain.policy import WINDOW_TOLERANCE
from keyturn.domain.secret_format import version_hint
from keyturn.records.codec import from_data, to_data
from keyturn.verifier.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from keyturn.ports.store import Data

NOBODY_ID: Final = "-"
"""What stands for an id that no client has; malformed ones take the same path under it."""
_DUMMY_ID = "0" * 26
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_LONG_AFTER = _LONG_AGO + timedelta(days=365 * 1000)
DUMMY: Final = Version(
    client_id=_DUMMY_ID,
    version_id=_DUMMY_ID,
    created_at=_LONG_AGO,
    not_before=_LONG_AGO,
    rotation_id=_DUMMY_ID,
    rotated_by="",
    rotation_reason="",
    state=VersionState.GRACE,
    secret_hash=base64url_encode(bytes(32)),
    mac_key_ref="",
    # A point of small order: no derived key is ever equal to it.
    receipt_key=base64url_encode(bytes(32)),
    not_after=_LONG_AFTER,
)
"""A version that no value resembles, for work that is done whether or not there is one."""
_NO_VERSIONS = {"current": to_data(replace(DUMMY, not_after=None)), "previous": to_data(DUMMY)}
"""Each has what a real one in its place has, so that it is read in the same time."""
_NOBODY: Final[Data] = {
    "client_id": NOBODY_ID,
    "status": "nobody",
    "revision": 0,
    "live": {"current": None, "previous": None},
}
_REASONS = {
    "nobody": Reason.UNKNOWN_CLIENT,
    ClientStatus.ACTIVE.value: Reason.NO_MATCH,
    ClientStatus.SUSPENDED.value: Reason.SUSPENDED,
    ClientStatus.REVOKED.value: Reason.REVOKED,
}


def someones(data: Data | None) -> Data:
    """Return a client's document, or nobody's where there is none."""
    return _NOBODY if data is None else data


def is_due(data: Data, now: datetime) -> bool:
    """Return whether time alone has brought something that the document does not show yet."""
    due = data.get("next_due_at")
    return isinstance(due, datetime) and due <= now


def candidates(data: Data, now: datetime) -> Sequence[Version]:
    """Return exactly two versions: current and previous, each a dummy where it may not verify; `Broken`."""
    live = data.get("live")
    if not isinstance(live, Mapping):
        raise Broken("a stored document is not the entity that its path says")
    found = [from_data(Version, cast("Data", live.get(name) or none)) for name, none in _NO_VERSIONS.items()]
    return verifying(found, now, active=data.get("status") == ClientStatus.ACTIVE.value)


def verifying(versions: Sequence[Version], now: datetime, *, active: bool) -> Sequence[Version]:
    """Return two versions, each a dummy where it is not in its window at `now`, or its client not active."""
    # No short way out: the window is looked at whether or not the client is active.
    found = [version if _in_window(version, now) & active else DUMMY for version in versions]
    return [*found, DUMMY, DUMMY][:2]


def in_window(versions: Iterable[Version], now: datetime) -> list[Version]:
    """Return those versions that verify at `now` (store time, ± the tolerance at the start)."""
    return [version for version in versions if _in_window(version, now)]


def picked(versions: Sequence[Version], hint: str | None) -> Sequence[Version]:
    """Return as many versions, of which those that the hint does not mean are dummies: the work stays the same."""
    if hint is None:
        return versions
    return [version if version_hint(version.version_id) == hint else DUMMY for version in versions]


def why(data: Data) -> Reason:
    """Return why nothing that was presented verifies."""
    return _REASONS.get(str(data.get("status")), Reason.NO_MATCH)


def in_transition(data: Data) -> bool:
    """Return whether the client has a version in grace."""
    return data.get("previous_version") is not None


def _in_window(version: Version, now: datetime) -> bool:
    return (version.not_before <= now + WINDOW_TOLERANCE) & (now < (version.not_after or _LONG_AFTER))
