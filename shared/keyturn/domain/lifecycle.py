"""The lifecycle of a client's secrets, on one page (docs/protocol.md §4).

    rotation                                                      version            client
    ────────                                                      ───────            ──────
       · ──request/emergency──▶ requested ──distribute──▶ distributed     pending     active ◀──resume── suspended
                                    │                        │ acknowledge    │           ──suspend──▶      │
                                    │ expire                 │ until quorum   │ promote         │           │
                                    │                        │ count          │                 │           │
                                    │ cancel                 ▼                ▼                 └─revoke────┤
                                    │◀──expire/cancel── acknowledged       current ◀─rollback─┐   client    ▼
                                    ▼                        │                │      restore  │          revoked
                         completed: expired, canceled        │ promote        │ promote       │
                                                             ▼                ▼               │
                                  completed: promoted ⇄ rolled_back         grace ────────────┘
                                              rollback/restore                │ retire, revoke, superseded
                                                                              ▼
                                                                           retired   (final)

Rules:

1. A decision is a pure function: (state, command, policy, now) → the state after it and its transitions, or a refusal.
2. `settle` applies what time alone brings: a promotion, an expiry, the end of a grace period. Every command settles the
   state before its guards and after its effect. The verifier settles the state that it reads. The sweeper writes the
   result down for clients without commands. So a process that is late never changes which secret is accepted.
3. `due` returns the next such step and the instant at which it takes effect. `settle` carries the steps out in order,
   each as of its own instant, so settling once and late equals settling often (a test holds this).
4. A row of TABLE describes a command: its guards in order, its effect, and whether a second admin must approve it.
5. Every step becomes exactly one audit entry.
6. A decision may take effect late, while verifiers settle the state without it. So no command may keep a version that
   time alone retires within the margin (`Policy.rollback_margin`): it would verify again after a verifier refused it.
   Commands that can undo what time brings are `timely`: their commit is lost if it comes later than the margin allows.
   All others are safe however late they take effect (a test enumerates both).
7. A rotation or a policy that this release does not know is left as it is by time alone (`recognition`): it is neither
   promoted nor ended. Another release may promote it, so rule 6 counts on that (`ahead`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from keyturn.domain import commands, effects, guards
from keyturn.domain.audit_chain import Transition
from keyturn.domain.commands import AdminCommand
from keyturn.domain.effects import Step
from keyturn.domain.errors import Conflict
from keyturn.domain.guards import Case
from keyturn.domain.model import ClientStatus, CommandApproval, Phase
from keyturn.domain.recognition import is_rotation_damaged, knows_rotation, may_grant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.commands import Command
    from keyturn.domain.model import ClientState
    from keyturn.domain.policy import Policy

APPROVAL_LASTS = timedelta(hours=1)
MOST_APPROVALS = 100
"""How many approvals a client keeps, over all commands."""
SECOND_PERSON_FROM = 3
"""From this many people on, a group needs two of them for a command that cannot be undone (docs/protocol.md §7)."""

C = TypeVar("C", bound="Command")


@dataclass(frozen=True, slots=True)
class Row(Generic[C]):
    """One command: the guards that can refuse it, its effect, and whether a second admin must approve it."""

    command: type[C]
    guards: tuple[Callable[[Case[C]], None], ...]
    effect: Callable[[Case[C]], Sequence[Step]]
    second_person: Callable[[C], bool] = lambda _command: False
    timely: bool = False
    """Whether the command can undo what time brings, so that it must not take effect late (rule 6)."""


def _always(_command: object) -> bool:
    return True


_REQUEST_GUARDS = (
    guards.authorised,
    guards.known_to_this_release,
    guards.through_own_group,
    guards.unused_names,
    guards.windows_inside_policy,
    guards.quorum_reachable,
)

_ROWS: tuple[Row[Any], ...] = (
    Row(
        commands.Request,
        (*_REQUEST_GUARDS, guards.active, guards.no_active_rotation, guards.no_grace_in_progress, guards.interval_kept,
         guards.within_rates),
        effects.open_rotation,
    ),
    Row(
        commands.Emergency,
        (*_REQUEST_GUARDS, guards.not_revoked, guards.within_rates),
        effects.open_rotation,
        timely=True,
    ),
    Row(
        commands.Distribute,
        (guards.known_to_this_release, guards.rotation_open, guards.undistributed),
        effects.store_distribution,
    ),
    Row(
        commands.Acknowledge,
        (guards.known_to_this_release, guards.rotation_open, guards.distributed, guards.in_time, guards.recipient,
         guards.same_secret, guards.receipt_valid, guards.first_ack),
        effects.add_ack,
    ),
    Row(
        commands.CountCanaries,
        (guards.known_to_this_release, guards.rotation_open, guards.distributed, guards.more_canaries),
        effects.count_canaries,
    ),
    Row(commands.Cancel, (guards.authorised, guards.rotation_open), effects.cancel, timely=True),
    Row(
        commands.Rollback,
        (guards.authorised, guards.active, guards.no_active_rotation, guards.not_rolled_back, guards.time_to_go_back),
        effects.roll_back,
        timely=True,
    ),
    Row(
        commands.Restore,
        (guards.authorised, guards.known_to_this_release, guards.active, guards.no_active_rotation, guards.rolled_back,
         guards.time_to_go_back),
        effects.restore,
        timely=True,
    ),
    Row(commands.Retire, (guards.authorised, guards.not_revoked, guards.in_grace), effects.retire_early, _always),
    Row(
        commands.RetireSilent,
        (guards.known_to_this_release, guards.active, guards.in_grace, guards.not_rolled_back, guards.long_silent),
        effects.retire_early,
    ),
    Row(
        commands.RevokeVersion,
        (guards.authorised, guards.not_revoked, guards.live_or_pending),
        effects.revoke_version,
        lambda command: command.force,
        timely=True,
    ),
    Row(
        commands.RevokeLeaked,
        (guards.authorised, guards.not_revoked, guards.live_or_pending, guards.reported_with_secret),
        effects.revoke_version,
        timely=True,
    ),
    Row(commands.RevokeClient, (guards.authorised, guards.not_revoked), effects.revoke_client, _always),
    Row(commands.Suspend, (guards.authorised, guards.active), effects.suspend, timely=True),
    Row(commands.Resume, (guards.authorised, guards.known_to_this_release, guards.suspended), effects.resume),
)  # fmt: skip

TABLE: Mapping[type, Row[Any]] = {row.command: row for row in _ROWS}


@dataclass(frozen=True, slots=True)
class Due:
    """The next step that time alone takes, and the instant at which it takes effect."""

    at: datetime
    step: Callable[[ClientState, datetime, Policy], Step]


@dataclass(frozen=True, slots=True)
class Decision:
    """The state after a command, its transitions in order, and whether it still needs a second admin's approval.

    A `timely` one must be committed on the basis of its snapshot (keyturn/ports/store.py, rule 9).
    """

    state: ClientState
    transitions: tuple[Transition, ...]
    awaits_second_person: bool = False
    timely: bool = False


def due(state: ClientState, policy: Policy) -> Due | None:
    """Return the next step that time alone takes, or None."""
    # `min` returns the first of equals: at the same instant the version in grace is retired before the promotion.
    return min((*_grace_due(state), *_rotation_due(state, policy)), key=lambda item: item.at, default=None)


def _grace_due(state: ClientState) -> Iterator[Due]:
    if state.previous and state.previous.not_after:
        yield Due(state.previous.not_after, effects.retire_elapsed)


def _rotation_due(state: ClientState, policy: Policy) -> Iterator[Due]:
    rotation = state.rotation
    if rotation is None or not knows_rotation(state, rotation):  # rule 7
        return
    if rotation.phase is Phase.REQUESTED:
        yield Due(rotation.created_at + timedelta(seconds=policy.distribute_deadline_seconds), effects.expire)
    elif rotation.phase is Phase.DISTRIBUTED and rotation.ack_deadline:
        yield Due(rotation.ack_deadline, effects.expire)
    elif rotation.acknowledged_at and may_grant(state):
        # A quorum that comes after not_before promotes at once, an earlier one waits for not_before.
        ready_at = max(rotation.acknowledged_at, rotation.not_before)
        promotable = state.client.status is ClientStatus.ACTIVE or rotation.emergency
        if promotable and not rotation.awaits_canaries:
            yield Due(max(ready_at, rotation.canaried_at or ready_at), effects.promote)
        else:
            yield Due(ready_at + timedelta(seconds=policy.promote_deadline_seconds), effects.expire)


def next_due_at(state: ClientState, policy: Policy) -> datetime | None:
    """Return when the sweeper must next look at this client, or None if there is nothing to wait for.

    Earlier than the next step in three cases: a rotation that was not distributed is published again, canaries are
    counted while a rotation waits for them, and a rotation that this release leaves as it is waits for another release.
    """
    upcoming = due(state, policy)
    rotation = state.rotation
    if rotation and not may_grant(state):
        return rotation.created_at  # already over: only a release that knows it computes the next step
    if rotation and rotation.awaits_canaries and upcoming:
        return min(upcoming.at, rotation.distributed_at or upcoming.at)
    if rotation and rotation.phase is Phase.REQUESTED and upcoming:
        return min(upcoming.at, rotation.created_at + timedelta(seconds=policy.republish_seconds))
    return upcoming.at if upcoming else None


def settle(state: ClientState, policy: Policy, now: datetime) -> Decision:
    """Return the state after everything that time alone has brought by `now`, oldest first."""
    transitions: list[Transition] = []
    # It terminates: each step ends the rotation or a grace period, and none opens a rotation.
    while (item := due(state, policy)) and item.at <= now:
        step = item.step(state, item.at, policy)
        transitions.append(_transition(state, step, actor="time"))
        state = step.state
    return Decision(state, tuple(transitions))


def ahead(state: ClientState, policy: Policy, until: datetime) -> ClientState:
    """Return what time alone makes of the state by `until`, with any release (rule 7)."""
    state = settle(state, policy, until).state
    rotation = state.rotation
    is_foreign = rotation and not may_grant(state) and not state.client.damaged
    if not rotation or not is_foreign or is_rotation_damaged(state, rotation):
        return state
    # A promotion by time alone needs the quorum and the canaries, and never comes before `not_before`.
    waits = rotation.phase in {Phase.REQUESTED, Phase.DISTRIBUTED} or rotation.awaits_canaries
    return state if waits or rotation.not_before > until else effects.promote(state, until, policy).state


def decide(state: ClientState, command: Command, policy: Policy, now: datetime, longest_commit: timedelta) -> Decision:
    """Return the decision on `command` at `now` (the store's read time), or raise its `Refusal`.

    It may take effect later than `now`, by up to `longest_commit` (a property of the store).
    """
    # First of all, everything that was due earlier: the command comes after it, however late that is written.
    before = settle(state, policy, now)
    margin_end = now + policy.rollback_margin(longest_commit)
    later = ahead(before.state, policy, margin_end)
    row = TABLE[type(command)]
    case = Case(before.state, command, policy, now, _live(before.state) - _live(later))
    for guard in row.guards:
        guard(case)
    if isinstance(command, AdminCommand) and row.second_person(command):
        if not _has_second_person(case.state, command, now):
            return _approve(before, command, now)
        # The approvals are used up: the same command needs two people again.
        approvals = _other_approvals(case.state, command, now)
        case = replace(case, state=case.state.with_client(approvals=approvals))
    decision = _apply(row, case, before.transitions)
    _require_no_revival(case, later, ahead(decision.state, policy, margin_end))
    after = settle(decision.state, policy, now)
    return Decision(after.state, (*decision.transitions, *after.transitions), timely=row.timely)


def decide_all(
    state: ClientState, sequence: Sequence[Command], policy: Policy, now: datetime, longest_commit: timedelta
) -> Decision:
    """Return one decision on several commands, each decided on the state after the one before.

    If one is refused, its `Refusal` is raised and there is no decision.
    """
    decision = Decision(state, ())
    for command in sequence:
        latest = decide(decision.state, command, policy, now, longest_commit)
        awaits = decision.awaits_second_person or latest.awaits_second_person
        transitions = (*decision.transitions, *latest.transitions)
        decision = Decision(latest.state, transitions, awaits, decision.timely or latest.timely)
    return decision


def _require_no_revival(case: Case[Command], later: ClientState, after: ClientState) -> None:
    """Refuse a command that would keep a version which time alone retires within the margin (rule 6).

    `later` is what verifiers make of the state without the command at the end of the margin, `after` with it.
    """
    # A command that suspends an active client is never refused: nothing verifies after it.
    suspends = (case.state.client.status, after.client.status) == (ClientStatus.ACTIVE, ClientStatus.SUSPENDED)
    if suspends or not _live(after) & case.nearly_retired:
        return
    if later.client.current_version != case.state.client.current_version:
        raise Conflict("promotion_imminent", "The rotation is about to be promoted. Try again after that.")
    raise Conflict("grace_nearly_over", "The grace period is about to end.")


def _live(state: ClientState) -> frozenset[str]:
    return frozenset(version.version_id for version in state.live)


def _apply(row: Row[Any], case: Case[Command], earlier: Sequence[Transition]) -> Decision:
    transitions = list(earlier)
    state = case.state
    for step in row.effect(case):
        transitions.append(_transition(state, step, command=case.command))
        state = step.state
    return Decision(state, tuple(transitions))


# --- the second person -----------------------------------------------------------------------------------------------


def _act(command: AdminCommand) -> str:
    """Return the text that identifies a command for approvals: two people must want exactly the same."""
    return f"{type(command).__name__}:{getattr(command, 'version_id', '')}:{getattr(command, 'force', '')}"


def _has_second_person(state: ClientState, command: AdminCommand, now: datetime) -> bool:
    if len(command.people) < SECOND_PERSON_FROM:
        return True
    act, since = _act(command), now - APPROVAL_LASTS
    approvers = {item.user for item in state.client.approvals if item.act == act and item.at > since}
    # Only present members count, and never the actor.
    return bool(approvers & (command.people - {command.actor.user}))


def _other_approvals(
    state: ClientState, command: AdminCommand, now: datetime, user: str | None = None
) -> tuple[CommandApproval, ...]:
    """Return the unexpired approvals without those for this command. With `user`, only without that user's."""
    act, since = _act(command), now - APPROVAL_LASTS
    unexpired = (item for item in state.client.approvals if item.at > since)
    return tuple(item for item in unexpired if item.act != act or (user is not None and item.user != user))


def _approve(before: Decision, command: AdminCommand, now: datetime) -> Decision:
    """Return the decision that only adds the actor's approval."""
    state, user = before.state, command.actor.user
    approvals = (*_other_approvals(state, command, now, user), CommandApproval(_act(command), user, now))
    # An approval grants. Without the oldest ones, people have to approve again, and the document stays small.
    approvals = approvals[-MOST_APPROVALS:]
    step = Step("approve", state.with_client(approvals=approvals))
    transition = _transition(state, step, command=command)
    return Decision(step.state, (*before.transitions, transition), awaits_second_person=True)


# --- the audit -------------------------------------------------------------------------------------------------------


def _transition(before: ClientState, step: Step, *, actor: str = "", command: object = None) -> Transition:
    person = getattr(command, "actor", None)
    ids = {
        "client_id": before.client.client_id,
        "rotation_id": step.rotation_id,
        "version_id": step.version_id,
        "npub": person.npub if person else "",
    }
    reason = getattr(command, "reason", "")
    # Commands that no admin gives name their own source (`by`), and only a distribution has none.
    name = actor or (person.user if person else getattr(command, "by", "distribute"))
    return Transition(step.action, name, ids, audited_facts(before), audited_facts(step.state), reason)


def audited_facts(state: ClientState) -> Mapping[str, object]:
    """Return what an audit entry records of a state: status, versions and phase."""
    rotation = state.rotation
    facts = {
        "status": state.client.status.value,
        "current": state.client.current_version,
        "previous": state.client.previous_version,
        "pending": rotation.new_version if rotation else None,
        "phase": rotation.phase.value if rotation else None,
    }
    return {key: value for key, value in facts.items() if value is not None}
