"""Verify a credential: one read, equal work for every refusal, at most one MAC call (protocol.md §10).

1. What time alone brought is applied to what is read: a sweeper that sleeps changes no answer.
2. The receipt key is derived for current and for previous, always both, dummies included; only a match goes to the MAC.
3. Unknown client, wrong secret, retired and suspended end in the same refusal, by the same path.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shared.domain import lifecycle
from shared.domain.encodings import base64url_encode, identifier
from shared.domain.errors import InvalidRequest
from shared.domain.model import ClientKind, ClientStatus, Version
from shared.domain.policy import WINDOW_TOLERANCE
from shared.records import paths
from shared.records.live import live_state
from shared.verifier import matching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.domain.model import ClientState
    from shared.domain.policy import Policy
    from shared.ports.keys import MacKey
    from shared.ports.store import Document, Store

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
_DUMMY_ID = "0" * 26
_DUMMY_SECRET = "A" * 43


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a check; a refusal says nothing else. `not_after` is None for a version without an end."""

    accepted: bool
    now: datetime
    client_id: str = ""
    kind: ClientKind | None = None
    version_id: str = ""
    state: str = ""
    not_after: datetime | None = None
    access_token_seconds: int = 0


@dataclass(frozen=True, slots=True)
class Verifier:
    """Checks credentials against the store's `live` records."""

    store: Store
    mac_key: MacKey
    policy: Policy

    def check(self, client_id: str, secret: str) -> Verdict:
        """Return the verdict on a presented credential; `StoreUnavailable` or `KeyUnavailable` when there is none."""
        path = paths.client(_known_form(client_id))
        snapshot = self.store.get([path])
        state = self._settled(snapshot[path], snapshot.read_time)
        candidates = _candidates(state, snapshot.read_time)
        presented = secret if matching.well_formed(secret) else _DUMMY_SECRET
        resembling = [version for version in candidates if matching.resembles(presented, version)]
        if state is None or presented != secret or not resembling:
            return Verdict(accepted=False, now=snapshot.read_time)
        version = resembling[0]
        if not matching.confirmed(secret, version, self.mac_key):
            return Verdict(accepted=False, now=snapshot.read_time)
        return self._accepted(state, version, snapshot.read_time)

    def _settled(self, document: Document, now: datetime) -> ClientState | None:
        if document.data is None or "client_id" not in document.data:
            return None
        state = live_state(document.data)
        return lifecycle.settle(state, self.policy.overridden(state.client.policy), now).state

    def _accepted(self, state: ClientState, version: Version, now: datetime) -> Verdict:
        return Verdict(
            accepted=True,
            now=now,
            client_id=state.client.client_id,
            kind=state.client.kind,
            version_id=version.version_id,
            state=version.state.value,
            not_after=version.not_after,
            access_token_seconds=self.policy.overridden(state.client.policy).access_token_seconds,
        )


def _known_form(client_id: str) -> str:
    try:
        return identifier(client_id)
    except InvalidRequest:
        return "-"  # an id that no client has, so that a malformed one takes the same path


def _candidates(state: ClientState | None, now: datetime) -> Sequence[Version]:
    """Return exactly two versions: current and previous, each a dummy where it may not verify."""
    verifies = state is not None and state.client.status is ClientStatus.ACTIVE
    pair = (state.current, state.previous) if state and verifies else (None, None)
    return [version if version and version.not_before <= now + WINDOW_TOLERANCE else _DUMMY for version in pair]


_DUMMY = Version(
    client_id=_DUMMY_ID,
    version_id=_DUMMY_ID,
    created_at=_LONG_AGO,
    not_before=_LONG_AGO,
    rotation_id=_DUMMY_ID,
    rotated_by="",
    rotation_reason="",
    # A point of small order: no derived key is ever equal to it.
    receipt_key=base64url_encode(bytes(32)),
)
