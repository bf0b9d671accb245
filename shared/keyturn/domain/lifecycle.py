"""The lifecycle of a client's secrets, on one page (protocol.md §4).

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

1. A decision is pure: (state, command, policy, now) → steps and the state they lead to, or a typed refusal.
2. What time alone brings is `settle`. It is applied before every guard and after every effect, by the verifier to what
   it reads, and by the sweeper to what nobody touches: so no lateness of any process changes what is accepted.
3. `due` says what time brings next and when it took effect. `settle` carries out, in order, what is due, as of the
   instant at which it became due: settling once late equals settling often (test: path independence).
4. A row of TABLE is a command: its guards in order, its effect, and when it needs a second person.
5. Every step becomes one audit entry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keyturn.domain import commands, effects, guards
from keyturn.domain.audit_chain import Transition
from keyturn.domain.effects import Step
from keyturn.domain.guards import Case
from keyturn.domain.model import Approval, ClientStatus, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from keyturn.domain.commands import Command
    from keyturn.domain.model import ClientState
    from keyturn.domain.policy import Policy

APPROVAL_LASTS = timedelta(hours=1)
SECOND_PERSON_FROM = 3
"""A group of at least so many people needs two of them for what cannot be undone."""


@dataclass(frozen=True, slots=True)
class Row:
    """One command: what refuses it, what it does, and whether two people must want it."""

    guards: tuple[Callable[[Case], None], ...]
    effect: Callable[[Case], Iterator[Step] | Any]
    second_person: Callable[[Any], bool] = lambda _command: False


def _always(_command: object) -> bool:
    return True


_ASK = (
    guards.authorised,
    guards.through_own_group,
    guards.unused_names,
    guards.windows_inside_policy,
    guards.quorum_reachable,
)

TABLE: Mapping[type, Row] = {
    commands.Request: Row(
        (*_ASK, guards.active, guards.no_active_rotation, guards.no_grace_in_progress, guards.interval_kept,
         guards.within_rates),
        effects.open_rotation,
    ),
    commands.Emergency: Row((*_ASK, guards.not_revoked, guards.within_rates), effects.open_rotation),
    commands.Distribute: Row((guards.rotation_open, guards.undistributed), effects.store_distribution),
    commands.Acknowledge: Row(
        (guards.rotation_open, guards.distributed, guards.in_time, guards.recipient, guards.same_secret,
         guards.receipt_valid, guards.first_ack),
        effects.add_ack,
    ),
    commands.CountCanaries: Row(
        (guards.rotation_open, guards.distributed, guards.more_canaries), effects.count_canaries
    ),
    commands.Cancel: Row((guards.authorised, guards.rotation_open), effects.cancel),
    commands.Rollback: Row(
        (guards.authorised, guards.active, guards.no_active_rotation, guards.not_rolled_back, guards.time_to_go_back),
        effects.roll_back,
    ),
    commands.Restore: Row(
        (guards.authorised, guards.active, guards.no_active_rotation, guards.rolled_back, guards.time_to_go_back),
        effects.restore,
    ),
    commands.Retire: Row((guards.authorised, guards.not_revoked, guards.in_grace), effects.retire_early, _always),
    commands.RetireSilent: Row(
        (guards.active, guards.in_grace, guards.not_rolled_back, guards.long_silent), effects.retire_early
    ),
    commands.RevokeVersion: Row(
        (guards.authorised, guards.not_revoked, guards.live_or_pending),
        effects.revoke_version,
        lambda command: command.force,
    ),
    commands.RevokeSighted: Row(
        (guards.authorised, guards.not_revoked, guards.live_or_pending, guards.sighted), effects.revoke_version
    ),
    commands.RevokeClient: Row((guards.authorised, guards.not_revoked), effects.revoke_client, _always),
    commands.Suspend: Row((guards.authorised, guards.active), effects.suspend),
    commands.Resume: Row((guards.authorised, guards.suspended), effects.resume),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Due:
    """What time brings next: since when, and the step."""

    at: datetime
    step: Callable[[ClientState, datetime, Policy], Step]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a command comes to: the state after, its transitions in order, and whether a second person is awaited."""

    state: ClientState
    transitions: tuple[Transition, ...]
    awaits_second_person: bool = False


def due(state: ClientState, policy: Policy) -> Due | None:
    """Return what time alone brings next, or None. Retiring comes before promoting at the same instant."""
    return min((*_grace_due(state), *_rotation_due(state, policy)), key=lambda item: item.at, default=None)


def _grace_due(state: ClientState) -> Iterator[Due]:
    if state.previous and state.previous.not_after:
        yield Due(state.previous.not_after, effects.retire_elapsed)


def _rotation_due(state: ClientState, policy: Policy) -> Iterator[Due]:
    rotation = state.rotation
    if rotation is None:
        return
    if rotation.phase is Phase.REQUESTED:
        yield Due(rotation.created_at + timedelta(seconds=policy.distribute_deadline_seconds), effects.expire)
    elif rotation.phase is Phase.DISTRIBUTED and rotation.ack_deadline:
        yield Due(rotation.ack_deadline, effects.expire)
    elif rotation.acknowledged_at:
        since = max(rotation.acknowledged_at, rotation.not_before)
        may = state.client.status is ClientStatus.ACTIVE or rotation.emergency
        late = since + timedelta(seconds=policy.promote_deadline_seconds)
        if may and not rotation.awaits_canaries:
            yield Due(max(since, rotation.canaried_at or since), effects.promote)
        else:
            yield Due(late, effects.expire)


def next_due_at(state: ClientState, policy: Policy) -> datetime | None:
    """Return when the sweeper must look at this client next.

    Meanwhile a rotation that is not sent yet is published again, and for one that awaits canaries they are counted.
    """
    upcoming = due(state, policy)
    rotation = state.rotation
    if rotation and rotation.awaits_canaries and upcoming:
        return min(upcoming.at, rotation.distributed_at or upcoming.at)
    if rotation and rotation.phase is Phase.REQUESTED and upcoming:
        return min(upcoming.at, rotation.created_at + timedelta(seconds=policy.republish_seconds))
    return upcoming.at if upcoming else None


def settle(state: ClientState, policy: Policy, now: datetime) -> Decision:
    """Carry out what time alone has brought by `now`, oldest first."""
    transitions: list[Transition] = []
    while (item := due(state, policy)) and item.at <= now:
        step = item.step(state, item.at, policy)
        transitions.append(_transition(state, step, actor="time"))
        state = step.state
    return Decision(state, tuple(transitions))


def decide(state: ClientState, command: Command, policy: Policy, now: datetime) -> Decision:
    """Return what `command` comes to at `now` (the store's read time), or raise its `Refusal`."""
    settled = settle(state, policy, now)
    row = TABLE[type(command)]
    case = Case(settled.state, command, policy, now)
    for guard in row.guards:
        guard(case)
    if row.second_person(command):
        if not _seconded(case):
            return _approved(case, settled)
        case = replace(case, state=case.state.with_client(approvals=_approvals_besides(case)))
    done = _carried_out(case, row, settled)
    after = settle(done.state, policy, now)
    return Decision(after.state, (*done.transitions, *after.transitions))


def decide_together(state: ClientState, wanted: Sequence[Command], policy: Policy, now: datetime) -> Decision:
    """Return what several commands come to, each resting on the one before, as one decision; none if one is refused."""
    decision = Decision(state, ())
    for command in wanted:
        done = decide(decision.state, command, policy, now)
        awaits = decision.awaits_second_person or done.awaits_second_person
        decision = Decision(done.state, (*decision.transitions, *done.transitions), awaits)
    return decision


def _carried_out(case: Case, row: Row, settled: Decision) -> Decision:
    transitions = list(settled.transitions)
    state = case.state
    for step in row.effect(case):
        transitions.append(_transition(state, step, command=case.command))
        state = step.state
    return Decision(state, tuple(transitions))


def _act(command: commands.AdminCommand) -> str:
    return f"{type(command).__name__}:{getattr(command, 'version_id', '')}:{getattr(command, 'force', '')}"


def _seconded(case: Case) -> bool:
    act, since = _act(case.command), case.now - APPROVAL_LASTS
    earlier = {item.user for item in case.state.client.approvals if item.act == act and item.at > since}
    others = case.command.people - {case.command.actor.user}
    return len(case.command.people) < SECOND_PERSON_FROM or bool(earlier & others)


def _approvals_besides(case: Case, user: str | None = None) -> tuple[Approval, ...]:
    """Return the approvals that last, but for this act's (only `user`'s, when given)."""
    act, since = _act(case.command), case.now - APPROVAL_LASTS
    lasting = (item for item in case.state.client.approvals if item.at > since)
    return tuple(item for item in lasting if item.act != act or item.user != (user or item.user))


def _approved(case: Case, settled: Decision) -> Decision:
    mine = Approval(_act(case.command), case.command.actor.user, case.now)
    step = Step("approve", case.state.with_client(approvals=(*_approvals_besides(case, mine.user), mine)))
    entry = _transition(case.state, step, command=case.command)
    return Decision(step.state, (*settled.transitions, entry), awaits_second_person=True)


def _transition(before: ClientState, step: Step, *, actor: str = "", command: Any = None) -> Transition:  # noqa: ANN401 - any row's command
    person = getattr(command, "actor", None)
    ids = {
        "client_id": before.client.client_id,
        "rotation_id": step.rotation_id,
        "version_id": step.version_id,
        "npub": person.npub if person else "",
    }
    reason = getattr(command, "reason", "")
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
