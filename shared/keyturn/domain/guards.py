"""Guards of the lifecycle (docs/protocol.md §4): each enforces one rule, and raises a `Refusal` if it is broken.

A guard is named after the condition that it requires, so that a row of the lifecycle's table reads as a list of
conditions. It sees a settled state and a command, and changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from keyturn.domain.commands import AdminCommand, Emergency
from keyturn.domain.errors import Conflict, Forbidden, PolicyViolation, RateLimited
from keyturn.domain.model import ClientStatus, Outcome, Phase
from keyturn.domain.policy import MAX_GRACE, MAX_LEAD
from keyturn.domain.recognition import newer_release, require_known
from keyturn.domain.record import is_recognised

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
        RevokeLeaked,
        RevokeVersion,
    )
    from keyturn.domain.model import ClientState
    from keyturn.domain.policy import Policy

_HOUR = timedelta(hours=1)
_NO_TIME = timedelta(0)

C_co = TypeVar("C_co", covariant=True)
"""The kind of command. Covariant: a guard of every admin's command also guards each particular one."""


@dataclass(frozen=True, slots=True)
class Case(Generic[C_co]):
    """What a guard judges and an effect works on: a settled state, a command, the client's policy and the store's now.

    `now` is the read time of the snapshot that the decision rests on, never the clock of a process. `nearly_retired`
    are the live versions that time alone retires before every verifier is sure to know of this decision.
    """

    state: ClientState
    command: C_co
    policy: Policy
    now: datetime
    nearly_retired: frozenset[str] = frozenset()


AnyCase: TypeAlias = Case[object]
"""A case of which a guard looks at the state only."""


# --- authorisation (docs/protocol.md §7) -----------------------------------------------------------------------------


def authorised(case: Case[AdminCommand]) -> None:
    """Require that the admin has a leaf in a group that is authorised for the client."""
    if not case.command.groups & set(case.state.client.admin_groups):
        raise Forbidden("not_authorised", "This admin is in no group that is authorised for the client.")


def through_own_group(case: Case[Request]) -> None:
    """Require that the admin is a member of the very group that the request names, and that it is the client's."""
    if case.command.group not in case.command.groups & set(case.state.client.admin_groups):
        raise Forbidden("not_in_group", "This admin is not in the group that the request names.")


def recipient(case: Case[Acknowledge]) -> None:
    """Require that the admin was sent the notice, and is still a member.

    Membership is checked when the acknowledgement is written, not when the notice was sent: an admin removed in
    between cannot complete a quorum.
    """
    rotation, actor = case.state.rotation, case.command.actor
    recipients = {(item.user, item.npub) for item in rotation.recipients} if rotation else set()
    if (actor.user, actor.npub) not in recipients:
        raise Forbidden("not_a_recipient", "This admin was not sent the notice.")
    if not case.command.member:
        raise Forbidden("no_longer_a_member", "This admin is no longer a member of the group.")


# --- two releases at once (docs/upgrade.md) ---------------------------------------------------------------------------


def known_to_this_release(case: AnyCase) -> None:
    """Require that this release knows all that the client's documents say. It grants nothing under what it cannot read.

    Commands that only take rights away do without this guard, and so does the way back to a live version.
    """
    require_known(case.state)


# --- the client's status ---------------------------------------------------------------------------------------------


def not_revoked(case: AnyCase) -> None:
    """Require a client that is not revoked: revoking a client is final."""
    if case.state.client.status is ClientStatus.REVOKED:
        raise Conflict("client_revoked", "The client is revoked.")


def active(case: AnyCase) -> None:
    """Require an active client."""
    not_revoked(case)
    _known_status(case)
    if case.state.client.status is not ClientStatus.ACTIVE:
        raise Conflict("client_suspended", "The client is suspended.")


def _known_status(case: AnyCase) -> None:
    if not is_recognised(case.state.client.status):
        raise newer_release()


def suspended(case: AnyCase) -> None:
    """Require a suspended client with a version to go back to."""
    not_revoked(case)
    _known_status(case)
    if case.state.client.status is not ClientStatus.SUSPENDED:
        raise Conflict("not_suspended", "The client is not suspended.")
    # Without a live version, resuming would make an active client that no secret verifies for (invariant 2).
    if not case.state.live:
        raise Conflict("no_live_version", "The client has no live version. An emergency rotation creates one.")


# --- the rotation ----------------------------------------------------------------------------------------------------


def unused_names(case: Case[Request]) -> None:
    """Require new ids: one rotation id creates at most one version (invariant 5)."""
    command = case.command
    if command.rotation_id in case.state.rotations or command.version_id in case.state.versions:
        raise Conflict("already_exists", "That rotation or version already exists.")


def no_active_rotation(case: AnyCase) -> None:
    """Require that no rotation holds the client's lock."""
    if case.state.rotation is not None:
        raise Conflict("rotation_active", "Another rotation of this client is active.")


def rotation_open(case: Case[Distribute | Acknowledge | CountCanaries | Cancel]) -> None:
    """Require that the rotation which the command names holds the client's lock."""
    rotation = case.state.rotation
    if rotation is None or rotation.rotation_id != case.command.rotation_id:
        raise Conflict("rotation_not_open", "The rotation is no longer open.")


def undistributed(case: AnyCase) -> None:
    """Require that the secret was not distributed yet, and that the client is active unless this is an emergency.

    Distribution can run twice for one rotation. The second run ends here and its secret is thrown away.
    """
    rotation = case.state.rotation
    if rotation is None or rotation.phase is not Phase.REQUESTED:
        raise Conflict("already_distributed", "The rotation's secret was already distributed.")
    if not rotation.emergency:
        active(case)


def distributed(case: AnyCase) -> None:
    """Require that the secret was distributed."""
    rotation = case.state.rotation
    if rotation is None or rotation.phase not in {Phase.DISTRIBUTED, Phase.ACKNOWLEDGED}:
        raise Conflict("not_distributed", "The rotation's secret was not distributed yet.")


def in_time(case: AnyCase) -> None:
    """Require that the deadline for acknowledgements has not passed.

    It also holds once the quorum is reached and the promotion is scheduled for later.
    """
    rotation = case.state.rotation
    # At the deadline itself as well, because `settle` expires the rotation at that instant.
    if rotation is None or rotation.ack_deadline is None or case.now >= rotation.ack_deadline:
        raise Conflict("ack_deadline_over", "The deadline for acknowledgements has passed.")


def same_secret(case: Case[Acknowledge]) -> None:
    """Require that the acknowledgement names the pending version, its hash and its MAC key."""
    command, pending = case.command, case.state.pending
    stored = pending and (pending.version_id, pending.secret_hash, pending.mac_key_ref)
    if stored != (command.version_id, command.secret_hash, command.mac_key_ref):
        raise Conflict("ack_mismatch", "The acknowledgement is of another version, hash or key.")


def receipt_valid(case: Case[Acknowledge]) -> None:
    """Require a receipt that verifies under the pending version's receipt key (docs/protocol.md §8).

    A policy without `require_receipts` accepts an acknowledgement without a receipt, but never a wrong receipt.
    """
    command, pending = case.command, case.state.pending
    if command.receipt is None and not case.policy.require_receipts:
        return
    verified_key = command.receipt_key if command.receipt is not None else None
    # Both sides are checked for None: two absent keys must not count as equal.
    if verified_key is None or pending is None or verified_key != pending.receipt_key:
        raise Forbidden("bad_receipt", "The receipt does not prove that this admin holds the secret.")


def first_ack(case: Case[Acknowledge]) -> None:
    """Require that this person has not acknowledged yet, on any device: a quorum counts people."""
    rotation = case.state.rotation
    if rotation and case.command.actor.user in {ack.user for ack in rotation.acks}:
        raise Conflict("already_acknowledged", "This person has already acknowledged.")


def more_canaries(case: Case[CountCanaries]) -> None:
    """Require a count that is higher than the stored one: it never falls."""
    rotation = case.state.rotation
    if rotation is None or case.command.count <= rotation.canaries:
        raise Conflict("no_more_canaries", "The same number of canaries was already counted.")


# --- windows and rates (docs/protocol.md §6) -------------------------------------------------------------------------


def _lead(case: Case[Request]) -> timedelta:
    """Return how long in advance a promotion must be announced."""
    # A client without a version has nothing that could break, and an emergency cannot wait.
    first_issue = case.state.client.current_version is None
    if first_issue or isinstance(case.command, Emergency):
        return _NO_TIME
    return timedelta(seconds=case.policy.minimum_not_before_seconds)


def earliest(case: Case[Request]) -> datetime:
    """Return the earliest not_before that policy allows, measured from the event's own time.

    Measured from the store's now, a device could not choose a not_before that is still allowed on arrival.
    """
    return case.command.measured_from + _lead(case)


def start(case: Case[Request]) -> datetime:
    """Return when the new version starts: the requested not_before, or now plus the minimum if there is none."""
    return case.command.not_before or case.now + _lead(case)


def windows_inside_policy(case: Case[Request]) -> None:
    """Require a not_before that is neither too early nor too far ahead, and a grace period within its bounds."""
    not_before, grace = case.command.not_before, case.command.grace
    if not_before is not None and not_before < earliest(case):
        raise PolicyViolation("not_before_too_early", "not_before is earlier than policy allows.")
    # A scheduled rotation holds the client's lock until it starts.
    if not_before is not None and not_before > case.now + MAX_LEAD:
        raise PolicyViolation("not_before_too_late", "not_before is further ahead than policy allows.")
    if grace is not None and not _NO_TIME <= grace <= MAX_GRACE:
        raise PolicyViolation("grace_out_of_bounds", "The grace period is outside what policy allows.")


def quorum(case: Case[Request]) -> int:
    """Return the quorum of the rotation that a request would open."""
    command = case.command
    if not isinstance(command, Emergency):
        return case.policy.quorum
    # An emergency must be possible in a small group, so its quorum shrinks to the people that there are.
    others = len(command.people - {command.actor.user})
    return case.policy.emergency_quorum or max(1, min(max(2, case.policy.quorum), others))


def quorum_reachable(case: Case[Request]) -> None:
    """Require as many people as the quorum needs. From 2 on, the requester's own acknowledgement does not count."""
    command = case.command
    needed = quorum(case)
    people = command.people if needed == 1 else command.people - {command.actor.user}
    if len(people) < needed:
        raise PolicyViolation("quorum_unreachable", "Fewer people may acknowledge than the quorum needs.")


def no_grace_in_progress(case: Case[Request]) -> None:
    """Require that no version is in grace, unless the request sets `supersede` to end that grace early."""
    if case.state.previous is not None and not case.command.supersede:
        raise Conflict("grace_in_progress", "The previous version is still in grace. `supersede` would end it early.")


def interval_kept(case: Case[Request]) -> None:
    """Require the policy's minimum interval between two promotions."""
    # Measured to the start of the new version: a request can come early for a start that is late enough.
    last = case.state.client.last_promoted_at
    interval = timedelta(seconds=case.policy.minimum_interval_seconds)
    # A promotion that is still ahead shows that the clock was set back, and says nothing about the interval.
    if last is not None and last <= case.now and start(case) < last + interval:
        raise PolicyViolation("interval_too_short", "The last promotion is too recent for another one.")


def within_rates(case: Case[Request]) -> None:
    """Require that client and requester stay within their requests per hour. The refusal says when to retry."""
    # The later of both times: a retry must satisfy both limits.
    wait = max(
        _wait(case.state.client.recent_requests, case.policy.requests_per_hour_per_client, case.now),
        _wait(case.command.recent, case.policy.requests_per_hour_per_requester, case.now),
    )
    if wait:
        raise RateLimited("rate", "Too many requests within an hour.", retry_after_seconds=wait)


def _wait(moments: Sequence[datetime], limit: int, now: datetime) -> int:
    """Return in how many whole seconds fewer than `limit` moments will be within the last hour, 0 if there are now."""
    recent = sorted(recent_of(moments, now))
    if len(recent) < limit:
        return 0
    return math.ceil((recent[-limit] + _HOUR - now) / timedelta(seconds=1))


def recent_of(moments: Sequence[datetime], now: datetime) -> tuple[datetime, ...]:
    """Return those of the moments that are within the last hour. One that is ahead by an hour is of a wrong clock."""
    return tuple(moment for moment in moments if abs(now - moment) < _HOUR)


# --- rollback, early retirement, revocation --------------------------------------------------------------------------


def time_to_go_back(case: AnyCase) -> None:
    """Require a version in grace, with enough time left for every verifier to learn of the change.

    The decision takes effect late by up to the store's longest commit, and a verifier may then answer from its cache
    for the staleness bound. A later rollback could leave an instant at which a verifier has retired the old version and
    does not yet know that it is current again (invariants 2 and 3).
    """
    previous = case.state.previous
    # Nothing that is presented verifies for a damaged version, so it must not become the current one.
    if previous is not None and previous.damaged:
        raise newer_release()
    if previous is None or previous.not_after is None:
        raise Conflict("nothing_in_grace", "No version is in grace.")
    if previous.version_id in case.nearly_retired:
        raise Conflict("grace_nearly_over", "The grace period is about to end.")


def not_rolled_back(case: AnyCase) -> None:
    """Require that the last rotation was not rolled back: `restore` undoes a rollback, not a second one."""
    if case.state.last is not None and case.state.last.outcome is Outcome.ROLLED_BACK:
        raise Conflict("already_rolled_back", "The last rotation was already rolled back.")


def rolled_back(case: AnyCase) -> None:
    """Require that the last rotation was rolled back."""
    if case.state.last is None or case.state.last.outcome is not Outcome.ROLLED_BACK:
        raise Conflict("not_rolled_back", "The last rotation was not rolled back.")


def in_grace(case: Case[Retire | RetireSilent]) -> None:
    """Require that the version which the command names is the one in grace."""
    if case.state.client.previous_version != case.command.version_id:
        raise Conflict("not_in_grace", "That version is not in grace.")


def long_silent(case: Case[RetireSilent]) -> None:
    """Require that policy retires unused versions early, and that this one was unused for long enough."""
    command = case.command
    if not case.policy.retire_early:
        raise PolicyViolation("no_early_retirement", "The client's policy only proposes to retire early.")
    # None stands for too little information, which counts against retiring (usage_silence.py, rule 4).
    if command.needed is None or command.silent_for < command.needed:
        raise Conflict("not_silent", "The version in grace is not known to have been unused for long enough.")


def live_or_pending(case: Case[RevokeVersion]) -> None:
    """Require a live or pending version, and for the last live one `force`, which suspends the client."""
    command = case.command
    live = {version.version_id for version in case.state.live}
    pending = case.state.pending
    if command.version_id not in live and (pending is None or pending.version_id != command.version_id):
        raise Conflict("version_not_live", "That version is neither live nor pending.")
    # Without it the integrator is locked out, so that must be asked for explicitly. A damaged version verifies nothing.
    others = {version.version_id for version in case.state.live if not version.damaged} - {command.version_id}
    if command.version_id in live and not others and not command.force:
        raise Conflict("last_live_version", "That is the last live version. `force` would suspend the client.")


def reported_with_secret(case: Case[RevokeLeaked]) -> None:
    """Require that the report of a leaked secret is signed with that secret.

    An imported version has no receipt key to verify a signature with, so the operator's request has to do.
    """
    version = case.state.versions[case.command.version_id]
    if version.receipt_key is not None and case.command.receipt_key != version.receipt_key:
        raise Forbidden("bad_sighting", "The report is not signed with the secret of that version.")
