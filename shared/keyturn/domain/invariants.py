"""The invariants of docs/protocol.md §4 that can be checked on one client's documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keyturn.domain.imported_secret import is_imported
from keyturn.domain.model import ClientStatus, Outcome, Phase, VersionState

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from keyturn.domain.model import ClientState, Rotation


_PROMOTED = frozenset({Outcome.PROMOTED, Outcome.ROLLED_BACK})


def breaches(state: ClientState, forgotten: datetime | None = None) -> Iterator[str]:
    """Yield a sentence for each broken invariant. `state` has all of the client's documents.

    Versions of rotations that were completed by `forgotten` may have been deleted (records/retention.py).
    """
    dangling = list(_dangling(state, forgotten))
    yield from dangling
    # The other checks follow the client's references, so they need them to be whole.
    if not dangling:
        yield from _references(state)
        yield from _liveness(state)
        yield from _rotations(state)
        yield from _promotions(state)


def _dangling(state: ClientState, forgotten: datetime | None) -> Iterator[str]:
    client = state.client
    for version in (client.current_version, client.previous_version):
        if version is not None and version not in state.versions:
            yield "the client refers to a version that is missing"
    for rotation in (client.active_rotation, client.last_rotation):
        if rotation is not None and rotation not in state.rotations:
            yield "the client refers to a rotation that is missing"
    for item in state.rotations.values():
        deletable = forgotten is not None and item.completed_at is not None and item.completed_at <= forgotten
        if item.new_version not in state.versions and not deletable:
            yield "a rotation's version is missing"


def _references(state: ClientState) -> Iterator[str]:
    expected = {
        VersionState.CURRENT: state.client.current_version,
        VersionState.GRACE: state.client.previous_version,
        VersionState.PENDING: state.rotation.new_version if state.rotation else None,
    }
    for kind, name in expected.items():
        holders = {version.version_id for version in state.versions.values() if version.state is kind}
        if holders != ({name} if name else set()):
            yield f"the client's pointer and the versions that are {kind.value} disagree"
    if state.previous and state.previous.not_after is None:
        yield "a version in grace has no end"
    if state.current and state.current.not_after is not None:
        yield "the current version has an end"

    # Such a version would be reported as a leak at every normal use.
    live = {version.version_id for version in state.live}
    if live & set(state.client.recently_retired):
        yield "a live version is listed as retired"


def _liveness(state: ClientState) -> Iterator[str]:
    promoted = any(rotation.outcome in _PROMOTED for rotation in state.rotations.values())
    if state.client.status is ClientStatus.ACTIVE and promoted and state.current is None:
        yield "an active client that had a current version has none"
    if state.client.status is ClientStatus.REVOKED and state.live:
        yield "a revoked client has a live version"
    if state.client.status is ClientStatus.REVOKED and state.rotation:
        yield "a revoked client has an open rotation"
    if state.previous and state.current is None:
        yield "a version is in grace beside no current one"
    # A live version without a hash would be current, and no secret would verify for it: the integrator is locked out.
    for version in state.live:
        if not (version.secret_hash and (version.mac_key_ref or is_imported(version))):
            yield "a live version has no hash to verify against"
    for version in state.versions.values():
        if (version.state is VersionState.RETIRED) != (version.retired_because is not None):
            yield "a version is retired without a reason, or has a reason without being retired"
        if is_imported(version) and (version.rotation_id or version.mac_key_ref or version.receipt_key):
            yield "an imported version has a rotation or keys of this service"


def _rotations(state: ClientState) -> Iterator[str]:
    open_ones = {item.rotation_id for item in state.rotations.values() if item.phase is not Phase.COMPLETED}
    if open_ones != ({state.client.active_rotation} if state.client.active_rotation else set()):
        yield "the lock and the open rotations disagree"
    for rotation in state.rotations.values():
        if (rotation.phase is Phase.COMPLETED) != (rotation.outcome is not None):
            yield "a rotation is completed without an outcome, or has one without being completed"
    versions = [rotation.new_version for rotation in state.rotations.values()]
    if len(versions) != len(set(versions)):
        yield "two rotations created one version"
    makers = [version.rotation_id for version in state.versions.values() if version.rotation_id in state.rotations]
    if len(makers) != len(set(makers)):
        yield "one rotation created two versions"


def _promotions(state: ClientState) -> Iterator[str]:
    for rotation in state.rotations.values():
        if rotation.outcome in _PROMOTED and not _has_quorum(rotation):
            yield "a rotation was promoted without its quorum"
        if rotation.outcome in _PROMOTED and rotation.canaries < rotation.canaries_required:
            yield "a rotation was promoted without its canaries"
    if state.last and state.last.outcome not in _PROMOTED:
        yield "the last rotation was never promoted"
    for version in state.live:
        # An imported version has no rotation, so it has no maker here.
        maker = state.rotations.get(version.rotation_id)
        if maker and maker.outcome not in _PROMOTED:
            yield "a live version was never promoted"


def _has_quorum(rotation: Rotation) -> bool:
    recipients = {(item.user, item.npub) for item in rotation.recipients}
    # An ack counts only from a device that the notice was sent to (invariant 4).
    return rotation.count_acks() >= rotation.quorum and all((ack.user, ack.npub) in recipients for ack in rotation.acks)
