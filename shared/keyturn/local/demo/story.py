"""The demo's story: the main job from nothing to retired, by real processes over HTTP.

Three admins on three devices, one client, quorum 2. Each step is told to an observer; a step that does not come out as
it must ends the demo with a `DemoError` that names it.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from keyturn.device.api.client import ApiClient
from keyturn.device.core.errors import DeviceError, ServerRefusedError
from keyturn.device.rotation_preview import RotationOptions
from keyturn.local.demo.forged_requests import attempts
from keyturn.local.demo.stage import LEAD_SECONDS
from keyturn.local.demo.timeline import Timeline
from keyturn.local.errors import LocalError
from keyturn.local.plaintext import search, search_folder
from keyturn.proofs.jws import read_unverified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from keyturn.device.core.signed_events import RotationRequest
    from keyturn.device.device import Device
    from keyturn.local.demo.people import Person
    from keyturn.local.demo.stage import Stage

CLIENT = "acme-billing"
GROUP = "ops"
ADMINS = ("alice", "bob", "carol")
QUORUM = 2
GRACE_SECONDS = 13
PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.05
REPORT = "This must never happen: please report it."


class DemoError(LocalError):
    """Something did not come out as it must."""


@dataclass(slots=True)
class Told:
    """What the demo found out, for its summary; no secret is in it."""

    steps: list[tuple[str, float]] = field(default_factory=list)
    rotations: list[Mapping[str, Any]] = field(default_factory=list)
    refused: Mapping[str, str] = field(default_factory=dict)
    """What was tried without a right to it, and the reason that it was refused with."""
    proofs: list[Mapping[str, Any]] = field(default_factory=list)
    """Who was given a proof, and by which factors: `user`, `amr`."""
    plaintext_found: int = -1
    control_found: bool = False
    doctor: Mapping[str, Any] = field(default_factory=dict)
    timeline: Timeline | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class Story:
    """One run; `observe` is called with a step's name when it begins, and with its seconds when it is done."""

    stage: Stage
    observe: Callable[[str, float | None], None]
    told: Told = field(default_factory=Told)
    people: dict[str, Person] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    request: RotationRequest | None = None
    """What bob asked for, with a proof that was overheard."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def run(self) -> Told:
        """Tell it from beginning to end."""
        began = time.monotonic()
        self._enrol()
        first = self._issue()
        timeline = self._watch(first)
        try:
            second = self._rotate(first, timeline)
            self._back_and_forth(first, second, timeline)
            self._refusals(second)
            self._grace_ends(first, second, timeline)
            self._leave(second, timeline)
        finally:
            timeline.stop()
        if timeline.gaps:
            raise DemoError("There was a moment without an accepted secret.", REPORT)
        self._examine()
        self.told.seconds = time.monotonic() - began
        return self.told

    # --- the steps ---------------------------------------------------------------------------------------------------

    def _enrol(self) -> None:
        with self._step("a group, a client, three admins: registered device, authenticator, another one's approval"):
            self.stage.operate("POST", "/groups", {"group_id": GROUP})
            for user, approver in zip(ADMINS, (None, *ADMINS), strict=False):
                approved_by = self.people[approver] if approver else None
                self.people[user] = self.stage.enrol(user, GROUP, approved_by, partial(self._wait_for_code, user))
                self.devices[user] = self.people[user].device
            policy = {"quorum": QUORUM, "grace_seconds": GRACE_SECONDS}
            self.stage.operate("POST", "/clients", {"client_id": CLIENT, "groups": [GROUP], "policy": policy})

    def _issue(self) -> str:
        with self._step("first issue: alice asks, bob and carol prove that they hold it"):
            rotation_id = str(self.devices["alice"].rotate(CLIENT, "first issue")["rotation_id"])
            self._acknowledged(rotation_id, "bob", "carol")
            self._completed(rotation_id)
            self._expect(rotation_id, "current")
        return rotation_id

    def _watch(self, first: str) -> Timeline:
        timeline = Timeline(ApiClient(self.stage.url), CLIENT)
        timeline.watch("v1", self.secrets[first])
        timeline.start()
        self.told.timeline = timeline
        return timeline

    def _rotate(self, first: str, timeline: Timeline) -> str:
        with self._step("rotation: bob asks, alice and carol acknowledge"):
            timeline.happened("asked")
            plan = self.devices["bob"].preview(
                RotationOptions(client_id=CLIENT, rotation_id=self.devices["bob"].new_id(), reason="quarterly")
            )
            self.devices["bob"].send(plan)
            self.request = plan.request
            rotation_id = plan.request.rotation_id
            self._acknowledged(rotation_id, "alice", "carol")
            timeline.watch("v2", self.secrets[rotation_id])
        with self._step(f"promotion, {LEAD_SECONDS} s after the request: both are accepted in grace"):
            self._completed(rotation_id)
            timeline.happened("promoted")
            self._expect(rotation_id, "current")
            self._expect(first, "grace")
        return rotation_id

    def _back_and_forth(self, first: str, second: str, timeline: Timeline) -> None:
        with self._step("rollback, and forward again"):
            self.devices["carol"].command("rollback", CLIENT, {}, "a deploy went wrong")
            timeline.happened("back")
            self._expect(first, "current")
            self._expect(second, "grace")
            time.sleep(1.0)  # long enough to be seen in the timeline
            self.devices["carol"].command("restore", CLIENT, {}, "fixed")
            timeline.happened("forward")
            self._expect(second, "current")

    def _refusals(self, second: str) -> None:
        with self._step("a wrong secret and a late acknowledgement are refused"):
            right = self.secrets[second]
            wrong = ("A" if right[0] != "A" else "B") + right[1:]
            if ApiClient(self.stage.url).check(CLIENT, wrong)["accepted"]:
                raise DemoError("A wrong secret was accepted.", REPORT)
            self.devices["bob"].catch_up()
            self._refused_ack("bob", second)
        with self._step("without a proof nobody rotates, and a proof serves its own request only, once"):
            self._refused_requests()

    def _refused_requests(self) -> None:
        if self.request is None:
            raise DemoError("Nothing was asked for yet.", REPORT)
        found = attempts(self.request, self.people["bob"], self.people["carol"])
        self.told.refused = dict(found)
        if not all(found.values()):
            raise DemoError("A request without a good proof was accepted.", REPORT)

    def _refused_ack(self, user: str, rotation_id: str) -> None:
        try:
            self.devices[user].ack(rotation_id)
        except ServerRefusedError as refused:
            if refused.error == "conflict":
                return
            raise
        raise DemoError("A late acknowledgement was accepted.", REPORT)

    def _grace_ends(self, first: str, second: str, timeline: Timeline) -> None:
        with self._step("grace ends: the old version is refused, the new one goes on"):
            self._until(lambda: self._state(first) == "refused", "the old version to be refused")
            timeline.happened("grace over")
            self._expect(second, "current")
            time.sleep(0.5)  # long enough to be seen in the timeline

    def _leave(self, second: str, timeline: Timeline) -> None:
        with self._step("carol leaves: an emergency rotation replaces at once the secret that she knows"):
            removed = self.stage.operate("POST", f"/groups/{GROUP}/remove", {"user": "carol"})
            if removed["received"] != [CLIENT]:
                raise DemoError("It is not known which live secrets carol received.", REPORT)
            asked = self.devices["alice"].rotate(CLIENT, "carol left", emergency=True, grace=timedelta(0))
            third = str(asked["rotation_id"])
            self._received(third, "bob")
            timeline.watch("v3", self.secrets[third])  # before bob acknowledges: at that moment it replaces the second
            self._acknowledged(third, "bob")
            self._completed(third)
            timeline.happened("carol left")
            self._expect(third, "current")
            self._expect(second, "refused")
        with self._step("her device is sent nothing, and her acknowledgement is refused"):
            self._gets_nothing("carol", third)
            time.sleep(0.5)  # long enough to be seen in the timeline

    def _gets_nothing(self, user: str, rotation_id: str) -> None:
        device = self.devices[user]
        try:
            device.ack(rotation_id)
        except DeviceError:
            if not _holds(device, rotation_id):
                return
        raise DemoError("A removed device got a notice, or its acknowledgement counted.", REPORT)

    def _examine(self) -> None:
        with self._step("audit chain, every invariant, and no plaintext at rest"):
            status, self.told.doctor = self.stage.keyturn("doctor", "--data", str(self.stage.data))
            if status:
                raise DemoError("`keyturn doctor` found something.", "Run it on the folder of --keep DIR.")
            self.told.proofs = [_told_of(proof) for user in ADMINS for proof in self.people[user].overheard.proofs]
            self.stage.keep_documents()
            seeds = [text for person in self.people.values() for text in person.authenticator.secrets]
            self.told.plaintext_found = len(search_folder(self.stage.folder, [*self.secrets.values(), *seeds]))
            control = b"..." + next(iter(self.secrets.values())).encode() + b"..."
            self.told.control_found = bool(list(search(control, self.secrets.values())))
            if self.told.plaintext_found or not self.told.control_found:
                raise DemoError("A secret is at rest in the clear.", REPORT)

    # --- what they are made of ---------------------------------------------------------------------------------------

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self.observe(name, None)
        began = time.monotonic()
        yield
        self.told.steps.append((name, time.monotonic() - began))
        self.observe(name, self.told.steps[-1][1])

    def _acknowledged(self, rotation_id: str, *users: str) -> None:
        for user in users:
            self._received(rotation_id, user)
            self.devices[user].ack(rotation_id)

    def _received(self, rotation_id: str, user: str) -> None:
        device = self.devices[user]
        self._until(partial(_received, device, rotation_id), "the notice")
        self.secrets[rotation_id] = device.notice(rotation_id).require_secret()

    def _completed(self, rotation_id: str) -> None:
        reader = self.devices["alice"]
        self._until(lambda: reader.rotation(rotation_id)["phase"] == "completed", "the promotion")
        self.told.rotations.append(reader.rotation(rotation_id))

    def _state(self, rotation_id: str) -> str:
        verdict = ApiClient(self.stage.url).check(CLIENT, self.secrets[rotation_id])
        return str(verdict["state"]) if verdict["accepted"] else "refused"

    def _expect(self, rotation_id: str, state: str) -> None:
        found = self._state(rotation_id)
        if found != state:
            raise DemoError(f"A version should be {state} and is {found}.", "Please report it.")

    def _wait_for_code(self, user: str, seconds: float) -> None:
        with self._step(f"{user} waits for the next code of the authenticator"):
            time.sleep(seconds)

    def _until(self, holds: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise DemoError(f"Waited too long for {what}.", "See up.log in the folder of --keep DIR.")
            time.sleep(POLL_SECONDS)


def _told_of(proof: str) -> Mapping[str, Any]:
    claims = read_unverified(proof).claims
    return {"user": claims["sub"], "amr": claims["amr"]}


def _received(device: Device, rotation_id: str) -> bool:
    device.catch_up()
    return _holds(device, rotation_id)


def _holds(device: Device, rotation_id: str) -> bool:
    return rotation_id in {notice.rotation_id for notice in device.inbox()}


def acks_of(rotation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a rotation's acks as `status` shows them."""
    return cast("list[Mapping[str, Any]]", rotation["acks"])
