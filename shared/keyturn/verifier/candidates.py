"""Read from a client's document which versions a presented value is compared with.

There are always exactly two candidates. Where a client has fewer versions in their window, is suspended, or does not
exist, a placeholder takes the free place, so that every refusal does the same work. Only the two live versions are
parsed. The whole state is read after a match, or when a deadline has passed that no sweep has processed yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from keyturn.domain.encodings import base64url_encode
from keyturn.domain.model import ClientStatus, Version, VersionState
from keyturn.domain.secret_format import version_hint
from keyturn.records.client_document import read_part
from keyturn.records.codec import to_data
from keyturn.verifier.verdict import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from keyturn.domain.model import ClientState
    from keyturn.ports.store import Data, Value

PLACEHOLDER_ID: Final = "-"
"""A client id that no client has. Malformed ids are looked up under it, on the same path as well-formed ones."""
_PLACEHOLDER_ULID = "0" * 26
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_LONG_AFTER = _LONG_AGO + timedelta(days=365 * 1000)
PLACEHOLDER: Final = Version(
    client_id=_PLACEHOLDER_ULID,
    version_id=_PLACEHOLDER_ULID,
    created_at=_LONG_AGO,
    not_before=_LONG_AGO,
    rotation_id=_PLACEHOLDER_ULID,
    rotated_by="",
    rotation_reason="",
    state=VersionState.GRACE,
    secret_hash=base64url_encode(bytes(32)),
    mac_key_ref="",
    # Thirty-two zero bytes encode a point of small order. No derived public key equals it.
    receipt_key=base64url_encode(bytes(32)),
    not_after=_LONG_AFTER,
)
"""A version that no value matches, for work that is done whether or not there is a version."""
DAMAGED: Final = replace(PLACEHOLDER)
"""Takes the place of a version that cannot be checked. A value that matches no other candidate may be its secret."""
_CHECKED: Final = frozenset(
    {"client_id", "version_id", "rotation_id", "not_after", "algo", "secret_hash", "mac_key_ref", "receipt_key"}
)
"""The fields of a version that a check depends on."""
_NO_VERSIONS = {"current": to_data(replace(PLACEHOLDER, not_after=None)), "previous": to_data(PLACEHOLDER)}
"""Each has the fields of a real version in its place, so that parsing it takes the same time."""
_NO_CLIENT: Final[Data] = {
    "client_id": PLACEHOLDER_ID,
    "status": "none",
    "revision": 0,
    "next_due_at": None,
    "live": {"current": None, "previous": None},
}
_REASONS = {
    "none": Reason.UNKNOWN_CLIENT,
    ClientStatus.ACTIVE.value: Reason.NO_MATCH,
    ClientStatus.SUSPENDED.value: Reason.SUSPENDED,
    ClientStatus.REVOKED.value: Reason.REVOKED,
}


def client_or_placeholder(data: Data | None) -> Data:
    """Return a client's document, or the placeholder's where there is none."""
    return data if data is not None else _NO_CLIENT


def is_due(data: Data, now: datetime) -> bool:
    """Return whether a deadline has passed that has not taken effect in the document yet."""
    due = data.get("next_due_at", now)
    # A damaged deadline counts as passed: what is due is computed from the versions then.
    return due is not None and (not isinstance(due, datetime) or due <= now)


def read_candidates(data: Data, now: datetime) -> Sequence[Version]:
    """Return two candidates from a document without a due deadline. Damage in its other fields does not matter."""
    live = data.get("live")
    parts: Mapping[str, Value] = live if isinstance(live, Mapping) else {}
    versions = []
    for name, no_version in _NO_VERSIONS.items():
        version_id = data.get(f"{name}_version")
        part = no_version if version_id is None else parts.get(name)
        versions.append(read_part(Version, part, _PLACEHOLDER_ULID if version_id is None else str(version_id)))
    # The operator & evaluates both sides: no short circuit.
    is_active = (data.get("status") == ClientStatus.ACTIVE.value) & (not has_ended(data.get("valid_until"), now))
    return _pad(versions, now, active=is_active)


def settled_candidates(state: ClientState, now: datetime) -> Sequence[Version]:
    """Return two candidates from a state in which every due deadline has taken effect."""
    return _pad(state.live, now, active=_is_active(state, now))


def live_versions(state: ClientState, now: datetime) -> Sequence[Version]:
    """Return the versions of an active client that verify at `now` (store time)."""
    active = _is_active(state, now)
    return [version for version in state.live if active and _is_in_window(version, now) and not _is_damaged(version)]


def select_by_hint(versions: Sequence[Version], hint: str | None) -> Iterable[Version]:
    """Return the versions with a placeholder for each that the hint of a scannable secret excludes."""
    if hint is None:
        return versions
    return [version if version_hint(version.version_id) == hint else PLACEHOLDER for version in versions]


def has_ended(valid_until: object, now: datetime) -> bool:
    """Return whether a client's end has passed. What is no time has passed."""
    return valid_until is not None and not (isinstance(valid_until, datetime) and now < valid_until)


def _is_active(state: ClientState, now: datetime) -> bool:
    return state.client.status is ClientStatus.ACTIVE and not has_ended(state.client.valid_until, now)


def refusal_reason(data: Data, now: datetime) -> Reason:
    """Return why nothing that is presented for this client verifies."""
    if has_ended(data.get("valid_until"), now):
        return Reason.EXPIRED
    return _REASONS.get(str(data.get("status")), Reason.NO_MATCH)


def is_in_transition(data: Data) -> bool:
    """Return whether the client has a version in grace."""
    return data.get("previous_version") is not None


def _pad(versions: Iterable[Version], now: datetime, *, active: bool) -> Sequence[Version]:
    # No short circuit: window and damage are evaluated whether or not the client is active, and & evaluates both sides.
    # Otherwise a suspended client would be told apart by its time, like one that does not exist.
    readable = [DAMAGED if _is_damaged(version) else version for version in versions]
    valid = [version if _is_in_window(version, now) & active else PLACEHOLDER for version in readable]
    return [*valid, PLACEHOLDER, PLACEHOLDER][:2]


def _is_damaged(version: Version) -> bool:
    return bool(version.damaged & _CHECKED)


def _is_in_window(version: Version, now: datetime) -> bool:
    # Without `not_before`: no version is promoted earlier, so a live one whose start is ahead shows that the clock was
    # set back. It would lock out the integrator until the clock catches up.
    return now < (version.not_after or _LONG_AFTER)
