"""Effects: the steps by which a command changes a settled state. Each step becomes exactly one audit entry."""

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

    from keyturn.domain.commands import (
        Acknowledge,
        CountCanaries,
        Distribute,
        Request,
        RevokeVersion,
        Rollback,
    )
    from keyturn.domain.guards import AnyCase, Case
    from keyturn.domain.model import ClientState
    from keyturn.domain.policy import Policy


@dataclass(frozen=True, slots=True)
class Step:
    """One transition: its name, the state that it leads to, and the rotation and version that it concerns."""

    action: str
    state: ClientState
    rotation_id: str = ""
    version_id: str = ""


# --- steps that time alone takes -------------------------------------------------------------------------------------


def promote(state: ClientState, at: datetime, _policy: Policy) -> Step:
    """Make the pending version current as of `at`. The current one goes into grace, an older one is superseded."""
    rotation, new = _require_open(state)
    old, older = state.current, state.previous
    versions = [new.make_current()]
    if older:
        versions.append(older.retire(RetiredBecause.SUPERSEDED))
    if old:
        # The notice promised `grace_until` as the earliest end, so a late promotion never shortens the grace.
        end = max(rotation.grace_until, at + rotation.grace)
        versions.append(old.put_in_grace(end) if rotation.grace else old.retire(RetiredBecause.SUPERSEDED))
    after = (
        state.with_versions(*versions)
        .with_rotation(rotation.end(Outcome.PROMOTED, at))
        .with_client(
            # An emergency promotion resumes a suspended client (docs/protocol.md §4).
            status=ClientStatus.ACTIVE,
            current_version=new.version_id,
            previous_version=old.version_id if old and rotation.grace else None,
            active_rotation=None,
            last_rotation=rotation.rotation_id,
            # The first issue of a client starts no minimum interval (docs/protocol.md §6).
            last_promoted_at=at if old or state.client.last_rotation else None,
        )
    )
    return Step("promote", after, rotation.rotation_id, new.version_id)


def expire(state: ClientState, at: datetime, _policy: Policy) -> Step:
    """End a rotation that missed its deadline."""
    return end_rotation(state, at, Outcome.EXPIRED)


def retire_elapsed(state: ClientState, _at: datetime, _policy: Policy) -> Step:
    """Retire the version in grace at the end of its grace period."""
    return _retire_previous(state, RetiredBecause.GRACE_ELAPSED)


def end_rotation(state: ClientState, at: datetime, outcome: Outcome) -> Step:
    """Release the lock: the pending version is retired, and the rotation completed as canceled or expired."""
    rotation, pending = _require_open(state)
    after = (
        state.with_versions(pending.retire(RetiredBecause(outcome.value)))
        .with_rotation(rotation.end(outcome, at))
        .with_client(active_rotation=None)
    )
    action = {Outcome.CANCELED: "cancel", Outcome.EXPIRED: "expire"}[outcome]
    return Step(action, after, rotation.rotation_id, pending.version_id)


def _retire_previous(state: ClientState, because: RetiredBecause) -> Step:
    previous = state.previous
    if previous is None:
        raise Broken("no version is in grace")
    after = state.with_versions(previous.retire(because)).with_client(previous_version=None)
    return Step("retire", after, previous.rotation_id, previous.version_id)


def _require_open(state: ClientState) -> tuple[Rotation, Version]:
    if state.rotation is None or state.pending is None:
        raise Broken("no rotation is open")
    return state.rotation, state.pending


def _cancel_active(case: AnyCase) -> list[Step]:
    return [end_rotation(case.state, case.now, Outcome.CANCELED)] if case.state.rotation else []


def _cancel_first(case: AnyCase) -> tuple[list[Step], ClientState]:
    """Return the step that cancels an active rotation, if there is one, and the state after it."""
    steps = _cancel_active(case)
    return steps, steps[-1].state if steps else case.state


# --- the rotation ----------------------------------------------------------------------------------------------------


def open_rotation(case: Case[Request]) -> Sequence[Step]:
    """Take the lock with a new rotation and its pending version. An emergency first cancels the active rotation."""
    # A plain request got past `no_active_rotation`, so for it there is nothing to cancel.
    steps, state = _cancel_first(case)
    rotation = _new_rotation(case)
    after = (
        state.with_versions(_new_version(case, rotation))
        .with_rotation(rotation)
        .with_client(
            active_rotation=rotation.rotation_id,
            recent_requests=(*guards.recent_of(state.client.recent_requests, case.now), case.now),
        )
    )
    action = "emergency" if rotation.emergency else "request"
    return [*steps, Step(action, after, rotation.rotation_id, rotation.new_version)]


def _new_rotation(case: Case[Request]) -> Rotation:
    command = case.command
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
        canaries_required=_required_canaries(case),
    )


def _required_canaries(case: Case[Request]) -> int:
    """Return how many canaries the promotion waits for: none for a first issue or an emergency."""
    # Before a first issue no instance can authenticate yet, and a leaked secret must not wait for instances.
    urgent = isinstance(case.command, Emergency) or case.state.client.current_version is None
    return 0 if urgent else case.policy.canaries


def _new_version(case: Case[Request], rotation: Rotation) -> Version:
    return Version(
        client_id=rotation.client_id,
        version_id=rotation.new_version,
        created_at=case.now,
        not_before=rotation.not_before,
        rotation_id=rotation.rotation_id,
        rotated_by=rotation.requested_by.user,
        rotation_reason=rotation.reason,
    )


def store_distribution(case: Case[Distribute]) -> Sequence[Step]:
    """Store the secret's hash and recipients. From now on the deadline for acknowledgements runs."""
    command = case.command
    rotation, pending = _require_open(case.state)
    # A rotation that is scheduled for later than the normal deadline has the longer one.
    normal = case.now + timedelta(seconds=case.policy.ack_deadline_seconds)
    scheduled = case.now + timedelta(seconds=case.policy.scheduled_ack_deadline_seconds)
    after = case.state.with_rotation(
        replace(
            rotation,
            phase=Phase.DISTRIBUTED,
            distributed_at=case.now,
            ack_deadline=scheduled if rotation.not_before > normal else normal,
            recipients=command.recipients,
            distribution_message_id=command.message_id,
        )
    ).with_versions(
        replace(
            pending,
            secret_hash=command.secret_hash,
            mac_key_ref=command.mac_key_ref,
            receipt_key=command.receipt_key,
        )
    )
    return [Step("distribute", after, rotation.rotation_id, pending.version_id)]


def add_ack(case: Case[Acknowledge]) -> Sequence[Step]:
    """Add one person's acknowledgement. With the one that completes the quorum, the rotation is acknowledged."""
    command = case.command
    rotation, pending = _require_open(case.state)
    ack = Ack(command.actor.user, command.actor.npub, command.ack_at, command.receipt)
    rotation = replace(rotation, acks=(*rotation.acks, ack))
    # Only acknowledgements of present members count: one who was removed may have leaked the secret.
    if rotation.phase is Phase.DISTRIBUTED and rotation.count_acks(command.people) >= rotation.quorum:
        rotation = replace(rotation, phase=Phase.ACKNOWLEDGED, acknowledged_at=case.now)
    return [Step("acknowledge", case.state.with_rotation(rotation), rotation.rotation_id, pending.version_id)]


def count_canaries(case: Case[CountCanaries]) -> Sequence[Step]:
    """Store the count, and the time at which the required number was reached."""
    before, pending = _require_open(case.state)
    after = replace(before, canaries=case.command.count)
    if before.awaits_canaries and not after.awaits_canaries:
        after = replace(after, canaried_at=case.now)
    return [Step("count_canaries", case.state.with_rotation(after), after.rotation_id, pending.version_id)]


def cancel(case: AnyCase) -> Sequence[Step]:
    """End the active rotation."""
    return _cancel_active(case)


# --- rollback, early retirement, revocation --------------------------------------------------------------------------


def roll_back(case: Case[Rollback]) -> Sequence[Step]:
    """Swap the two live versions. The newer one goes into grace, or is retired as compromised."""
    return [_swap(case, "rollback", Outcome.ROLLED_BACK, compromised=case.command.compromised)]


def restore(case: AnyCase) -> Sequence[Step]:
    """Swap the two live versions back."""
    return [_swap(case, "restore", Outcome.PROMOTED, compromised=False)]


def _swap(case: AnyCase, action: str, outcome: Outcome, *, compromised: bool) -> Step:
    previous, current, last = case.state.previous, case.state.current, case.state.last
    if previous is None or current is None or last is None or previous.not_after is None:
        raise Broken("a version is in grace without a rotation that put it there")
    # The window keeps its end whichever version is in it: a swap can neither extend nor shorten a grace period.
    leaving = current.retire(RetiredBecause.COMPROMISED) if compromised else current.put_in_grace(previous.not_after)
    after = (
        case.state.with_versions(previous.make_current(), leaving)
        .with_rotation(replace(last, outcome=outcome))
        .with_client(
            current_version=previous.version_id,
            previous_version=None if compromised else current.version_id,
        )
    )
    return Step(action, after, last.rotation_id, previous.version_id)


def retire_early(case: AnyCase) -> Sequence[Step]:
    """Retire the version in grace before its time.

    The reason is `superseded` and not `grace_elapsed`, so that the version's access tokens end as well.
    """
    return [_retire_previous(case.state, RetiredBecause.SUPERSEDED)]


def revoke_version(case: Case[RevokeVersion]) -> Sequence[Step]:
    """Retire one version at once: the current one, the one in grace, or the pending one by canceling its rotation."""
    client = case.state.client
    if case.command.version_id == client.current_version:
        return _revoke_current(case)
    if case.command.version_id == client.previous_version:
        return [replace(_retire_previous(case.state, RetiredBecause.REVOKED), action="revoke")]
    # Neither current nor in grace: then it is pending (guard `live_or_pending`).
    return _revoke_pending(case)


def _dropped(case: Case[RevokeVersion]) -> frozenset[str]:
    """Return the versions that a forced revocation drops, since keeping them could let a retired one verify again.

    Without `force` none is dropped, and the command is refused (`lifecycle`, rule 6).
    """
    return case.nearly_retired if case.command.force else frozenset()


def _revoke_pending(case: Case[RevokeVersion]) -> Sequence[Step]:
    """Cancel the rotation. Of the live versions, those that its promotion was about to retire are dropped as well."""
    steps, state = _cancel_first(case)
    current, previous, dropped = state.current, state.previous, _dropped(case)
    if current and current.version_id in dropped:
        versions = [version.retire(RetiredBecause.SUPERSEDED) for version in state.live]
        after = state.with_versions(*versions).with_client(
            current_version=None, previous_version=None, status=ClientStatus.SUSPENDED
        )
        return [*steps, Step("revoke", after, current.rotation_id, current.version_id)]
    if previous and previous.version_id in dropped:
        steps.append(_retire_previous(state, RetiredBecause.SUPERSEDED))
    return steps


def _revoke_current(case: Case[RevokeVersion]) -> Sequence[Step]:
    """Retire the current version. A version in grace becomes current again, else the client is suspended."""
    steps, state = _cancel_first(case)
    current, previous = state.current, state.previous
    if current is None:
        raise Broken("no version is current")
    versions = [current.retire(RetiredBecause.REVOKED)]
    is_successor = previous and not previous.damaged and previous.version_id not in _dropped(case)
    successor = previous if is_successor else None
    if previous:
        versions.append(previous.make_current() if successor else previous.retire(RetiredBecause.SUPERSEDED))
    after = state.with_versions(*versions).with_client(
        current_version=successor.version_id if successor else None,
        previous_version=None,
        status=state.client.status if successor else ClientStatus.SUSPENDED,
    )
    return [*steps, Step("revoke", after, current.rotation_id, current.version_id)]


def revoke_client(case: AnyCase) -> Sequence[Step]:
    """Retire all versions and revoke the client, for good."""
    steps, state = _cancel_first(case)
    versions = [version.retire(RetiredBecause.REVOKED) for version in state.live]
    after = state.with_versions(*versions).with_client(
        status=ClientStatus.REVOKED, current_version=None, previous_version=None
    )
    return [*steps, Step("revoke_client", after)]


def suspend(case: AnyCase) -> Sequence[Step]:
    """Suspend the client and cancel its active rotation."""
    steps, state = _cancel_first(case)
    return [*steps, Step("suspend", state.with_client(status=ClientStatus.SUSPENDED))]


def resume(case: AnyCase) -> Sequence[Step]:
    """Make the client active again."""
    return [Step("resume", case.state.with_client(status=ClientStatus.ACTIVE))]
