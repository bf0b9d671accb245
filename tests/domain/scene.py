"""A client, some admins and a clock that the test moves: the scene of the lifecycle's tests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from keyturn.domain import commands
from keyturn.domain.encodings import ulid
from keyturn.domain.lifecycle import decide, decide_all, settle
from keyturn.domain.model import Client, ClientKind, ClientState, Person, Recipient
from keyturn.domain.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from keyturn.domain.audit_chain import Transition
    from keyturn.domain.commands import Command
    from keyturn.domain.lifecycle import Decision
    from keyturn.domain.model import Rotation, Version

START = datetime(2026, 1, 1, tzinfo=UTC)
GROUP, OTHER_GROUP = "ops", "sales"
ADMINS = ("ada", "bo", "cy", "di")
TICK = timedelta(microseconds=1)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LEAD = 10 * MINUTE
GRACE = 7 * DAY
LONGEST_COMMIT = 2 * SECOND
MARGIN = 5 * SECOND + 4 * SECOND + LONGEST_COMMIT
"""Staleness bound + 4 s + the store's longest commit: that close to the end of grace, a rollback is refused."""


def person(user: str, device: str = "") -> Person:
    return Person(user, hashlib.sha256(f"{user}{device}".encode()).hexdigest())


def rotation_id(number: int) -> str:
    return ulid(START, b"R" + number.to_bytes(9, "big"))


def version_id(number: int) -> str:
    return ulid(START, b"V" + number.to_bytes(9, "big"))


def new_client() -> ClientState:
    return ClientState(Client("ext", ClientKind.X_API_KEY, (GROUP,), START))


@dataclass
class Scene:
    """One client and its admins. Every command is decided at `now`, and recorded if it is accepted."""

    people: tuple[str, ...] = ADMINS
    policy: Policy = field(default_factory=Policy)
    state: ClientState = field(default_factory=new_client)
    now: datetime = START
    longest_commit: timedelta = LONGEST_COMMIT
    history: list[Transition] = field(default_factory=list)
    accepted: list[Command] = field(default_factory=list)

    def act(self, command: Command) -> Decision:
        decision = decide(self.state, command, self.policy, self.now, self.longest_commit)
        self.state = decision.state
        self.history.extend(decision.transitions)
        self.accepted.append(command)
        return decision

    def wait(self, duration: timedelta) -> Scene:
        self.now += duration
        return self

    def settle(self) -> Decision:
        decision = settle(self.state, self.policy, self.now)
        self.state = decision.state
        self.history.extend(decision.transitions)
        return decision

    def by(self, user: str) -> dict[str, Any]:
        """Return the evidence that an admin's command carries."""
        return {
            "actor": person(user),
            "groups": frozenset({GROUP} if user in self.people else {OTHER_GROUP}),
            "people": frozenset(self.people),
        }

    def version(self, number: int) -> Version:
        return self.state.versions[version_id(number)]

    def rotation(self, number: int) -> Rotation:
        return self.state.rotations[rotation_id(number)]

    # --- the commands ------------------------------------------------------------------------------------------------

    def _asked(self, number: int, by: str) -> dict[str, Any]:
        return {
            **self.by(by),
            "rotation_id": rotation_id(number),
            "version_id": version_id(number),
            "group": GROUP,
            "measured_from": self.now,
        }

    def request(self, number: int, by: str = "ada", **given: Any) -> Decision:  # noqa: ANN401 - a command's fields
        return self.act(commands.Request(**{**self._asked(number, by), **given}))

    def emergency(self, number: int, by: str = "ada", **given: Any) -> Decision:  # noqa: ANN401 - a command's fields
        return self.act(commands.Emergency(**{**self._asked(number, by), **given}))

    def distribute(self, number: int) -> Decision:
        return self.act(
            commands.Distribute(
                rotation_id=rotation_id(number),
                secret_hash=f"hash-{number}",
                mac_key_ref="key-1",
                receipt_key=f"receipt-key-{number}",
                recipients=tuple(Recipient(user, person(user).npub, GROUP, 7) for user in self.people),
                message_id=f"message-{number}",
            )
        )

    def acknowledge(self, number: int, by: str = "ada", **given: Any) -> Decision:  # noqa: ANN401 - a command's fields
        fields: dict[str, Any] = {
            "actor": person(by),
            "member": True,
            "people": frozenset(self.people),
            "rotation_id": rotation_id(number),
            "version_id": version_id(number),
            "secret_hash": f"hash-{number}",
            "mac_key_ref": "key-1",
            "ack_at": 1,
            "receipt": "receipt",
            "receipt_key": f"receipt-key-{number}",
        }
        return self.act(commands.Acknowledge(**{**fields, **given}))

    def count_canaries(self, number: int, count: int) -> Decision:
        return self.act(commands.CountCanaries(rotation_id=rotation_id(number), count=count))

    def cancel(self, number: int, by: str = "ada") -> Decision:
        return self.act(commands.Cancel(**self.by(by), rotation_id=rotation_id(number)))

    def rollback(self, by: str = "ada", *, compromised: bool = False) -> Decision:
        return self.act(commands.Rollback(**self.by(by), compromised=compromised))

    def restore(self, by: str = "ada") -> Decision:
        return self.act(commands.Restore(**self.by(by)))

    def retire(self, number: int, by: str = "ada") -> Decision:
        return self.act(commands.Retire(**self.by(by), version_id=version_id(number)))

    def retire_silent(self, number: int, silent_for: timedelta = 2 * DAY, needed: timedelta | None = DAY) -> Decision:
        return self.act(
            commands.RetireSilent(version_id=version_id(number), silent_for=silent_for, needed=needed, reason="silent")
        )

    def revoke(self, number: int, by: str = "ada", *, force: bool = False) -> Decision:
        return self.act(commands.RevokeVersion(**self.by(by), version_id=version_id(number), force=force))

    def leak_report(self, number: int, **given: Any) -> commands.RevokeLeaked:  # noqa: ANN401 - a command's fields
        """Return the operator's command for the leaked version `number`. The operator has no leaf in any group."""
        operator = {**self.by(ADMINS[0]), "actor": Person("operator", "")}
        fields = {"version_id": version_id(number), "receipt_key": f"receipt-key-{number}"}
        return commands.RevokeLeaked(**{**operator, **fields, **given})

    def burn(self, number: int, successor: int, **given: Any) -> Decision:  # noqa: ANN401 - a command's fields
        """Revoke a leaked version and request its successor, in one decision."""
        revoke = self.leak_report(number, **given)
        evidence = {name: getattr(revoke, name) for name in ("actor", "groups", "people")}
        emergency = commands.Emergency(**{**self._asked(successor, "ada"), **evidence})
        decision = decide_all(self.state, [revoke, emergency], self.policy, self.now, self.longest_commit)
        self.state = decision.state
        self.history.extend(decision.transitions)
        return decision

    def revoke_client(self, by: str = "ada") -> Decision:
        return self.act(commands.RevokeClient(**self.by(by)))

    def suspend(self, by: str = "ada") -> Decision:
        return self.act(commands.Suspend(**self.by(by)))

    def resume(self, by: str = "ada") -> Decision:
        return self.act(commands.Resume(**self.by(by)))

    # --- where a scenario begins -------------------------------------------------------------------------------------

    def bring(self, number: int, **given: Any) -> Scene:  # noqa: ANN401 - a request's fields
        """Run one rotation up to its promotion."""
        self.request(number, **given)
        self.distribute(number)
        self.acknowledge(number)
        self.now = max(self.now, self.rotation(number).not_before)
        self.settle()
        return self


def _new(scene: Scene) -> None:
    """Begin with a client that never had a version."""
    assert scene.state.current is None


def _requested(scene: Scene) -> None:
    """Begin with version 1 current and rotation 2 asked for."""
    _current(scene)
    scene.request(2)


def _distributed(scene: Scene) -> None:
    """Begin with version 1 current and rotation 2 sent."""
    _requested(scene)
    scene.distribute(2)


def _acknowledged(scene: Scene) -> None:
    """Begin with version 1 current and rotation 2 waiting for its not_before."""
    _distributed(scene)
    scene.acknowledge(2)


def _current(scene: Scene) -> None:
    """Begin an hour after version 1 became current."""
    scene.bring(1).wait(HOUR)


def _grace(scene: Scene) -> None:
    """Begin with version 2 current and version 1 in grace."""
    _current(scene)
    scene.bring(2)


def _rolled_back(scene: Scene) -> None:
    """Begin with version 1 current again and version 2 in grace."""
    _grace(scene)
    scene.rollback()


def _suspended(scene: Scene) -> None:
    """Begin with version 1 current, the client suspended."""
    _current(scene)
    scene.suspend()


def _emptied(scene: Scene) -> None:
    """Begin with the last live version revoked."""
    _current(scene)
    for user in scene.people[:2]:
        scene.revoke(1, by=user, force=True)


def _revoked(scene: Scene) -> None:
    """Begin with a client that two people revoked."""
    _current(scene)
    for user in scene.people[:2]:
        scene.revoke_client(by=user)


STAGES: dict[str, Callable[[Scene], None]] = {
    "new": _new,
    "current": _current,
    "requested": _requested,
    "distributed": _distributed,
    "acknowledged": _acknowledged,
    "grace": _grace,
    "rolled back": _rolled_back,
    "suspended": _suspended,
    "emptied": _emptied,
    "revoked": _revoked,
}


def staged(stage: str, people: tuple[str, ...] = ADMINS, **policy: Any) -> Scene:  # noqa: ANN401 - a policy's fields
    """Return a scene at the named stage; policy overrides hold from then on."""
    scene = Scene(people)
    STAGES[stage](scene)
    scene.policy = replace(scene.policy, **policy)
    return scene
