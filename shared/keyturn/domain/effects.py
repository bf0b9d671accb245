"""Effects: what a command does to a settled state, as steps. Each step becomes exactly one audit entry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from keyturn.domain import guards
from keyturn.domain.commands import Emergency
from keyturn.domain.errors import Broken
from keyturn.domain.model import Ack, ClientStatus, Outcome, Phase, RetiredBecause, Rotation, Version

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.domain.commands import Acknowledge, CountCanaries, Distribute, Request, RevokeVersion, Rollback
    from keyturn.domain.guards import Case
    from keyturn.domain.model import ClientState
    from keyturn.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class Step:
    """One transition: what it is called, the state it leads to, and what it is about."""

    action: str
    state: ClientState
    rotation_id: str = ""
    version_id: str = ""


# --- what time alone brings ------------------------------------------------------------------------------------------


def promote(state: ClientState, at: datetime, _policy: Policy) -> Step:
    """Make the pending version current as of `at`; its predecessor goes into grace, an older one is superseded."""
    rotation, new = _open(state)
    old, older = state.current, state.previous
    ended = rotation.ended(Outcome.PROMOTED, at)
    changed = [new.current()]
    if older:
        changed.append(older.retired(RetiredBecause.SUPERSEDED))
    if old:
        end = max(rotation.grace_until, at + rotation.grace)
        changed.append(old.in_grace(end) if rotation.grace else old.retired(RetiredBecause.SUPERSEDED))
    after = (
        state.with_versions(*changed)
        .with_rotation(ended)
        .with_client(
            status=ClientStatus.ACTIVE,
            current_version=new.version_id,
            previous_version=old.version_id if old and rotation.grace else None,
            active_rotation=None,
            last_rotation=rotation.rotation_id,
            # The first issue starts no interval (protocol.md §6).
            last_promoted_at=at if old or state.client.last_rotation else None,
        )
    )
    return Step("promote", after, rotation.rotation_id, new.version_id)


def expire(state: ClientState, at: datetime, _policy: Policy) -> Step:
    """End a rotation that time ran out on."""
    return end_rotation(state, at, Outcome.EXPIRED)


def retire_elapsed(state: ClientState, _at: datetime, _policy: Policy) -> Step:
    """Retire the version whose grace window is over."""
    return _retire_previous(state, RetiredBecause.GRACE_ELAPSED)


def end_rotation(state: ClientState, at: datetime, outcome: Outcome) -> Step:
    """Free the lock: the pending version is retired, the rotation completed as canceled or expired."""
    rotation, pending = _open(state)
    because = RetiredBecause(outcome.value)
    ended = rotation.ended(outcome, at)
    after = state.with_versions(pending.retired(because)).with_rotation(ended).with_client(active_rotation=None)
    action = {Outcome.CANCELED: "cancel", Outcome.EXPIRED: "expire"}[outcome]
    return Step(action, after, rotation.rotation_id, pending.version_id)


def _retire_previous(state: ClientState, because: RetiredBecause) -> Step:
    previous = state.previous
    if previous is None:
        raise Broken("no version is in grace")
    after = state.with_versions(previous.retired(because)).with_client(previous_version=None)
    return Step("retire", after, previous.rotation_id, previous.version_id)


def _open(state: ClientState) -> tuple[Rotation, Version]:
    if state.rotation is None or state.pending is None:
        raise Broken("no rotation is open")
    return state.rotation, state.pending


def _cancel_active(case: Case) -> list[Step]:
    return [end_rotation(case.state, case.now, Outcome.CANCELED)] if case.state.rotation else []


# --- the rotation ----------------------------------------------------------------------------------------------------


def open_rotation(case: Case) -> Sequence[Step]:
    """Take the lock with a new rotation and its pending version; an emergency first cancels what is open."""
    canceled = _cancel_active(case) if isinstance(case.command, Emergency) else []
    state = canceled[-1].state if canceled else case.state
    rotation = _new_rotation(case)
    opened = (
        state.with_versions(_new_version(case, rotation))
        .with_rotation(rotation)
        .with_client(
            active_rotation=rotation.rotation_id,
            recent_requests=(*guards.recent_of(state.client.recent_requests, case.now), case.now),
        )
    )
    action = "emergency" if rotation.emergency else "request"
    return [*canceled, Step(action, opened, rotation.rotation_id, rotation.new_version)]


def _new_rotation(case: Case) -> Rotation:
    command: Request = case.command
    not_before = guards.start(case)
    grace = command.grace if command.grace is not None else timedelta(seconds=case.policy.grace_seconds)
    return Rotation(
        rotation_id=command.rotation_id,
        client_id=case.state.client.client_id,
        requested_by=command.actor,
        reason=command.reason,
        mls_group=command.group,
        groups=case.state.client.admin_groups,
        new_version=command.version_id,
        old_version=case.state.client.current_version,
        not_before=not_before,
        grace_duration_ms=grace // timedelta(milliseconds=1),
        grace_until=not_before + grace,
        quorum=guards.quorum(case),
        request_digest=command.digest,
        created_at=case.now,
        emergency=isinstance(command, Emergency),
        canaries_required=_canaries(case),
    )


def _canaries(case: Case) -> int:
    """Return how many canaries to wait for: none where nothing works yet, or where what leaked is to be replaced."""
    urgent = isinstance(case.command, Emergency) or case.state.client.current_version is None
    return 0 if urgent else case.policy.canaries


def _new_version(case: Case, rotation: Rotation) -> Version:
    return Version(
        client_id=rotation.client_id,
        version_id=rotation.new_version,
        created_at=case.now,
        not_before=rotation.not_before,
        rotation_id=rotation.rotation_id,
        rotated_by=rotation.requested_by.user,
        rotation_reason=rotation.reason,
    )


def store_distribution(case: Case) -> Sequence[Step]:
    """Store what was sent; from now on the ack deadline runs, longer for a rotation that is scheduled."""
    command: Distribute = case.command
    rotation, pending = _open(case.state)
    soon = case.now + timedelta(seconds=case.policy.ack_deadline_seconds)
    later = case.now + timedelta(seconds=case.policy.scheduled_ack_deadline_seconds)
    sent = replace(
        rotation,
        phase=Phase.DISTRIBUTED,
        distributed_at=case.now,
        ack_deadline=later if rotation.not_before > soon else soon,
        recipients=command.recipients,
        distribution_message_id=command.message_id,
    )
    hashed = replace(
        pending,
        secret_hash=command.secret_hash,
        mac_key_ref=command.mac_key_ref,
        receipt_key=command.receipt_key,
    )
    after = case.state.with_versions(hashed).with_rotation(sent)
    return [Step("distribute", after, rotation.rotation_id, pending.version_id)]


def add_ack(case: Case) -> Sequence[Step]:
    """Add one person's ack; the one that makes the quorum makes the rotation acknowledged."""
    command: Acknowledge = case.command
    rotation, pending = _open(case.state)
    ack = Ack(command.actor.user, command.actor.npub, command.ack_at, command.receipt)
    acked = replace(rotation, acks=(*rotation.acks, ack))
    if acked.phase is Phase.DISTRIBUTED and acked.counted_acks(command.people) >= acked.quorum:
        acked = replace(acked, phase=Phase.ACKNOWLEDGED, acknowledged_at=case.now)
    return [Step("acknowledge", case.state.with_rotation(acked), rotation.rotation_id, pending.version_id)]


def count_canaries(case: Case) -> Sequence[Step]:
    """Keep the count; the one that makes as many as are required opens the way to promotion."""
    command: CountCanaries = case.command
    rotation, pending = _open(case.state)
    counted = replace(rotation, canaries=command.count)
    if rotation.awaits_canaries and not counted.awaits_canaries:
        counted = replace(counted, canaried_at=case.now)
    return [Step("count_canaries", case.state.with_rotation(counted), rotation.rotation_id, pending.version_id)]


def cancel(case: Case) -> Sequence[Step]:
    """End the active rotation."""
    return _cancel_active(case)


# --- going back and ending early -------------------------------------------------------------------------------------


def roll_back(case: Case) -> Sequence[Step]:
    """Swap: the version in grace becomes current, the one left goes into its grace, or dies compromised."""
    command: Rollback = case.command
    return [_swap(case, "rollback", Outcome.ROLLED_BACK, compromised=command.compromised)]


def restore(case: Case) -> Sequence[Step]:
    """Swap back."""
    return [_swap(case, "restore", Outcome.PROMOTED, compromised=False)]


def _swap(case: Case, action: str, outcome: Outcome, *, compromised: bool) -> Step:
    back, left, last = case.state.previous, case.state.current, case.state.last
    if back is None or left is None or last is None or back.not_after is None:
        raise Broken("a version is in grace without a rotation that put it there")
    leaving = left.retired(RetiredBecause.COMPROMISED) if compromised else left.in_grace(back.not_after)
    swapped = case.state.with_versions(back.current(), leaving).with_rotation(replace(last, outcome=outcome))
    after = swapped.with_client(
        current_version=back.version_id,
        previous_version=None if compromised else left.version_id,
    )
    return Step(action, after, last.rotation_id, back.version_id)


def retire_early(case: Case) -> Sequence[Step]:
    """Retire the version in grace before its time: superseded, so that its tokens die too."""
    return [_retire_previous(case.state, RetiredBecause.SUPERSEDED)]


def revoke_version(case: Case) -> Sequence[Step]:
    """Kill one version: pending by canceling, in grace by retiring, current by falling back or suspending."""
    command: RevokeVersion = case.command
    client = case.state.client
    if command.version_id == client.current_version:
        return _revoke_current(case)
    if command.version_id == client.previous_version:
        retired = _retire_previous(case.state, RetiredBecause.REVOKED)
        return [replace(retired, action="revoke")]
    return _cancel_active(case)


def _revoke_current(case: Case) -> Sequence[Step]:
    canceled = _cancel_active(case)
    state = canceled[-1].state if canceled else case.state
    current, heir = state.current, state.previous
    if current is None:
        raise Broken("no version is current")
    dead = current.retired(RetiredBecause.REVOKED)
    after = state.with_versions(dead, *([heir.current()] if heir else [])).with_client(
        current_version=heir.version_id if heir else None,
        previous_version=None,
        status=state.client.status if heir else ClientStatus.SUSPENDED,
    )
    return [*canceled, Step("revoke", after, current.rotation_id, current.version_id)]


def revoke_client(case: Case) -> Sequence[Step]:
    """Kill all versions and the client, for good."""
    canceled = _cancel_active(case)
    state = canceled[-1].state if canceled else case.state
    dead = [version.retired(RetiredBecause.REVOKED) for version in state.live]
    after = state.with_versions(*dead).with_client(
        status=ClientStatus.REVOKED, current_version=None, previous_version=None
    )
    return [*canceled, Step("revoke_client", after)]


def suspend(case: Case) -> Sequence[Step]:
    """Let nothing verify; what is open is canceled."""
    canceled = _cancel_active(case)
    state = canceled[-1].state if canceled else case.state
    return [*canceled, Step("suspend", state.with_client(status=ClientStatus.SUSPENDED))]


def resume(case: Case) -> Sequence[Step]:
    """Let live versions verify again."""
    return [Step("resume", case.state.with_client(status=ClientStatus.ACTIVE))]
