"""Guards: one refusal each. A guard looks at a settled state and a command, and raises or returns nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keyturn.domain.commands import AdminCommand, Emergency
from keyturn.domain.errors import Conflict, Forbidden, PolicyViolation, RateLimited
from keyturn.domain.model import ClientStatus, Outcome, Phase
from keyturn.domain.policy import MAX_GRACE, MAX_LEAD

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from keyturn.domain.commands import (
        Acknowledge,
        Cancel,
        CountCanaries,
        Distribute,
        Request,
        Retire,
        RetireSilent,
        RevokeSighted,
        RevokeVersion,
    )
    from keyturn.domain.model import ClientState
    from keyturn.domain.policy import Policy

_HOUR = timedelta(hours=1)
_NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True)
class Case:
    """What a guard judges and an effect works on: a settled state, a command, the client's policy, the store's now."""

    state: ClientState
    command: Any
    policy: Policy
    now: datetime


# --- who -------------------------------------------------------------------------------------------------------------


def authorised(case: Case) -> None:
    """Refuse an actor without a leaf in a group that is authorised for the client."""
    command: AdminCommand = case.command
    if not command.groups & set(case.state.client.admin_groups):
        raise Forbidden("not_authorised", "This admin is in no group that is authorised for the client.")


def through_own_group(case: Case) -> None:
    """Refuse a request in the name of a group that the requester is not in, or that is not the client's."""
    command: Request = case.command
    if command.group not in command.groups & set(case.state.client.admin_groups):
        raise Forbidden("not_in_group", "This admin is not in the group that the request names.")


def recipient(case: Case) -> None:
    """Refuse an ack by somebody who could not open the notice, or who has no leaf any more."""
    command: Acknowledge = case.command
    rotation = case.state.rotation
    sent_to = {(item.user, item.npub) for item in rotation.recipients} if rotation else set()
    if (command.actor.user, command.actor.npub) not in sent_to:
        raise Forbidden("not_a_recipient", "This admin was not sent the notice.")
    if not command.member:
        raise Forbidden("no_longer_a_member", "This admin has no leaf in the group any more.")


# --- the client ------------------------------------------------------------------------------------------------------


def not_revoked(case: Case) -> None:
    """Refuse everything on a revoked client: it is final."""
    if case.state.client.status is ClientStatus.REVOKED:
        raise Conflict("client_revoked", "The client is revoked.")


def active(case: Case) -> None:
    """Refuse on a client that is not active."""
    not_revoked(case)
    if case.state.client.status is not ClientStatus.ACTIVE:
        raise Conflict("client_suspended", "The client is suspended.")


def suspended(case: Case) -> None:
    """Refuse to resume what is not suspended, or has nothing that could verify."""
    not_revoked(case)
    if case.state.client.status is not ClientStatus.SUSPENDED:
        raise Conflict("not_suspended", "The client is not suspended.")
    if not case.state.live:
        raise Conflict("no_live_version", "The client has no live version; an emergency rotation brings one.")


# --- the rotation ----------------------------------------------------------------------------------------------------


def unused_names(case: Case) -> None:
    """Refuse ids that a rotation or version bears already: one rotation_id makes at most one version."""
    command: Request = case.command
    if command.rotation_id in case.state.rotations or command.version_id in case.state.versions:
        raise Conflict("already_exists", "That rotation or version exists already.")


def no_active_rotation(case: Case) -> None:
    """Refuse while a rotation holds the client's lock."""
    if case.state.rotation is not None:
        raise Conflict("rotation_active", "Another rotation of this client is active.")


def rotation_open(case: Case) -> None:
    """Refuse what names a rotation that does not hold the client's lock (any more)."""
    command: Distribute | Acknowledge | Cancel = case.command
    rotation = case.state.rotation
    if rotation is None or rotation.rotation_id != command.rotation_id:
        raise Conflict("rotation_not_open", "The rotation is not open any more.")


def undistributed(case: Case) -> None:
    """Refuse to distribute twice, and to distribute for a client that may not verify."""
    rotation = case.state.rotation
    if rotation is None or rotation.phase is not Phase.REQUESTED:
        raise Conflict("already_distributed", "The rotation's secret was sent already.")
    if not rotation.emergency:
        active(case)


def distributed(case: Case) -> None:
    """Refuse acks before the notice is out."""
    rotation = case.state.rotation
    if rotation is None or rotation.phase not in {Phase.DISTRIBUTED, Phase.ACKNOWLEDGED}:
        raise Conflict("not_distributed", "The rotation's secret was not sent yet.")


def in_time(case: Case) -> None:
    """Refuse acks from the deadline on, also when the quorum is reached and promotion is scheduled for later."""
    rotation = case.state.rotation
    if rotation is None or rotation.ack_deadline is None or case.now >= rotation.ack_deadline:
        raise Conflict("ack_deadline_over", "The deadline for acknowledgements is over.")


def same_secret(case: Case) -> None:
    """Refuse an ack of another version, hash or key."""
    command: Acknowledge = case.command
    pending = case.state.pending
    stored = pending and (pending.version_id, pending.secret_hash, pending.mac_key_ref)
    if stored != (command.version_id, command.secret_hash, command.mac_key_ref):
        raise Conflict("ack_mismatch", "The acknowledgement is of another version, hash or key.")


def receipt_valid(case: Case) -> None:
    """Refuse an ack without a receipt (unless policy allows), or with one made from another secret."""
    command: Acknowledge = case.command
    if command.receipt is None and not case.policy.require_receipts:
        return
    pending = case.state.pending
    proven = command.receipt_key if command.receipt is not None else None
    if proven is None or pending is None or proven != pending.receipt_key:
        raise Forbidden("bad_receipt", "The receipt does not prove that this admin holds the secret.")


def first_ack(case: Case) -> None:
    """Refuse a second ack of one person, on whatever device."""
    command: Acknowledge = case.command
    rotation = case.state.rotation
    if rotation and command.actor.user in {ack.user for ack in rotation.acks}:
        raise Conflict("already_acknowledged", "This person has acknowledged already.")


def more_canaries(case: Case) -> None:
    """Refuse a count that brings nothing new: it never falls."""
    command: CountCanaries = case.command
    rotation = case.state.rotation
    if rotation is None or command.count <= rotation.canaries:
        raise Conflict("no_more_canaries", "As many canaries were counted already.")


# --- windows and rates -----------------------------------------------------------------------------------------------


def _lead(case: Case) -> timedelta:
    first_issue = case.state.client.current_version is None
    none_needed = first_issue or isinstance(case.command, Emergency)
    return _NO_TIME if none_needed else timedelta(seconds=case.policy.minimum_not_before_seconds)


def earliest(case: Case) -> datetime:
    """Return the earliest not_before that policy allows: measured from the event's time; at once for a first issue."""
    command: Request = case.command
    return command.measured_from + _lead(case)


def start(case: Case) -> datetime:
    """Return when the new version starts: at the not_before asked for; absent means now + minimum (protocol.md §6)."""
    command: Request = case.command
    return command.not_before or case.now + _lead(case)


def windows_inside_policy(case: Case) -> None:
    """Refuse a not_before that is too early or absurdly far, and a grace that is negative or too long."""
    command: Request = case.command
    if command.not_before is not None and command.not_before < earliest(case):
        raise PolicyViolation("not_before_too_early", "not_before is earlier than policy allows.")
    if command.not_before is not None and command.not_before > case.now + MAX_LEAD:
        raise PolicyViolation("not_before_too_late", "not_before is further ahead than policy allows.")
    if command.grace is not None and not _NO_TIME <= command.grace <= MAX_GRACE:
        raise PolicyViolation("grace_out_of_bounds", "The grace window is outside what policy allows.")


def quorum(case: Case) -> int:
    """Return the quorum that a request would have to reach."""
    command: Request = case.command
    if not isinstance(command, Emergency):
        return case.policy.quorum
    others = len(command.people - {command.actor.user})
    return case.policy.emergency_quorum or max(1, min(max(2, case.policy.quorum), others))


def quorum_reachable(case: Case) -> None:
    """Refuse a request that too few people could acknowledge."""
    command: Request = case.command
    needed = quorum(case)
    people = command.people if needed == 1 else command.people - {command.actor.user}
    if len(people) < needed:
        raise PolicyViolation("quorum_unreachable", "Fewer people may acknowledge than the quorum needs.")


def no_grace_in_progress(case: Case) -> None:
    """Refuse to cut a running grace window short, unless the request says so."""
    command: Request = case.command
    if case.state.previous is not None and not command.supersede:
        raise Conflict("grace_in_progress", "The previous version is still in grace; supersede would end it early.")


def interval_kept(case: Case) -> None:
    """Refuse promotions that would follow each other too fast."""
    last = case.state.client.last_promoted_at
    interval = timedelta(seconds=case.policy.minimum_interval_seconds)
    if last is not None and start(case) < last + interval:
        raise PolicyViolation("interval_too_short", "The last promotion is too recent for another one.")


def within_rates(case: Case) -> None:
    """Refuse more requests within any hour than the client and the requester may make; both say when to come back."""
    command: Request = case.command
    wait = max(
        _wait(case.state.client.recent_requests, case.policy.requests_per_hour_per_client, case.now),
        _wait(command.recent, case.policy.requests_per_hour_per_requester, case.now),
    )
    if wait:
        raise RateLimited("rate", "Too many requests within an hour.", retry_after_seconds=wait)


def _wait(moments: Sequence[datetime], limit: int, now: datetime) -> int:
    """Return in how many whole seconds fewer than `limit` moments will be within the last hour: 0 if they are now."""
    recent = sorted(recent_of(moments, now))
    if len(recent) < limit:
        return 0
    return math.ceil((recent[-limit] + _HOUR - now) / timedelta(seconds=1))


def recent_of(moments: Sequence[datetime], now: datetime) -> tuple[datetime, ...]:
    """Return those of the moments that are within the last hour."""
    return tuple(moment for moment in moments if moment > now - _HOUR)


# --- going back and ending early -------------------------------------------------------------------------------------


def time_to_go_back(case: Case) -> None:
    """Refuse to swap when no version is in grace, or its end is too near for every verifier to learn of it."""
    previous = case.state.previous
    if previous is None or previous.not_after is None:
        raise Conflict("nothing_in_grace", "No version is in grace.")
    if case.now >= previous.not_after - case.policy.rollback_margin():
        raise Conflict("grace_nearly_over", "The grace window is too near its end.")


def not_rolled_back(case: Case) -> None:
    """Refuse a second rollback: going forward again is a restore."""
    if case.state.last is not None and case.state.last.outcome is Outcome.ROLLED_BACK:
        raise Conflict("already_rolled_back", "The last rotation was rolled back already.")


def rolled_back(case: Case) -> None:
    """Refuse to restore what was not rolled back."""
    if case.state.last is None or case.state.last.outcome is not Outcome.ROLLED_BACK:
        raise Conflict("not_rolled_back", "The last rotation was not rolled back.")


def in_grace(case: Case) -> None:
    """Refuse to retire early what is not in grace."""
    command: Retire | RetireSilent = case.command
    if case.state.client.previous_version != command.version_id:
        raise Conflict("not_in_grace", "That version is not in grace.")


def long_silent(case: Case) -> None:
    """Refuse to retire by policy where policy does not say so, or the silence is too short or not shown."""
    command: RetireSilent = case.command
    if not case.policy.retire_early:
        raise PolicyViolation("no_early_retirement", "The client's policy only proposes to retire early.")
    if command.needed is None or command.silent_for < command.needed:
        raise Conflict("not_silent", "The version in grace is not known to have been silent for long enough.")


def live_or_pending(case: Case) -> None:
    """Refuse to revoke what is neither live nor pending; the last live version only with force."""
    command: RevokeVersion = case.command
    live = {version.version_id for version in case.state.live}
    pending = case.state.pending
    if command.version_id not in live and (pending is None or pending.version_id != command.version_id):
        raise Conflict("version_not_live", "That version is neither live nor pending.")
    if live == {command.version_id} and not command.force:
        raise Conflict("last_live_version", "That is the last live version; force would suspend the client.")


def sighted(case: Case) -> None:
    """Refuse a sighting that the secret did not sign; an imported version has no key that could tell."""
    command: RevokeSighted = case.command
    version = case.state.versions[command.version_id]
    if version.receipt_key is not None and command.receipt_key != version.receipt_key:
        raise Forbidden("bad_sighting", "The sighting is not signed with the secret of that version.")
