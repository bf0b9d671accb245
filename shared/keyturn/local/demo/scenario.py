"""The demo's scenario: from an empty folder to a retired secret, with real processes over HTTP.

Three admins on three devices rotate the secret of one client, with quorum 2. An observer is notified of each step. A
step with a wrong result ends the demo with a `DemoError`.
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
from keyturn.local.demo.forged_requests import send_forged_requests
from keyturn.local.demo.suite_process import LEAD_SECONDS
from keyturn.local.demo.timeline import Timeline
from keyturn.local.errors import LocalError
from keyturn.local.plaintext import search, search_folder
from keyturn.proofs.jws import read_unverified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from keyturn.device.core.signed_events import RotationRequest
    from keyturn.device.device import Device
    from keyturn.local.demo.admins import DemoAdmin
    from keyturn.local.demo.suite_process import DemoSuite

CLIENT = "acme-billing"
GROUP = "ops"
ADMINS = ("alice", "bob", "carol")
QUORUM = 2
TIMEOUT_SECONDS = 20.0
POLL_SECONDS = 0.05
REPORT = "This is a bug, please report it."


class DemoError(LocalError):
    """A step of the demo had a wrong result."""


@dataclass(slots=True)
class DemoResults:
    """The demo's results for its summary. They contain no secret."""

    steps: list[tuple[str, float]] = field(default_factory=list)
    rotations: list[Mapping[str, Any]] = field(default_factory=list)
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Forged requests, and the reason of each refusal."""
    proofs: list[Mapping[str, Any]] = field(default_factory=list)
    """The proofs that were issued: `user`, and the factors `amr`."""
    plaintext_found: int = -1
    control_found: bool = False
    doctor: Mapping[str, Any] = field(default_factory=dict)
    timeline: Timeline | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class Scenario:
    """One run. `observe(name, seconds)` is called when a step begins (with None) and when it ends."""

    stage: DemoSuite
    observe: Callable[[str, float | None], None]
    results: DemoResults = field(default_factory=DemoResults)
    people: dict[str, DemoAdmin] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    request: RotationRequest | None = None
    """Bob's request. The recorder has its proof."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    def run(self) -> DemoResults:
        """Run the scenario and return its results."""
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
            raise DemoError("At some moment no secret was accepted.", REPORT)
        self._check_data()
        self.results.seconds = time.monotonic() - began
        return self.results

    # --- the steps ---------------------------------------------------------------------------------------------------

    def _enrol(self) -> None:
        with self._step("three admins join a group: each registers a device and an authenticator, another approves"):
            self.stage.operate("POST", "/groups", {"group_id": GROUP})
            for user, approver in zip(ADMINS, (None, *ADMINS), strict=False):
                approved_by = self.people[approver] if approver else None
                self.people[user] = self.stage.enrol(user, GROUP, approved_by, partial(self._wait_for_code, user))
                self.devices[user] = self.people[user].device
            policy = {"quorum": QUORUM, "grace_seconds": self.stage.grace_seconds}
            self.stage.operate("POST", "/clients", {"client_id": CLIENT, "groups": [GROUP], "policy": policy})

    def _issue(self) -> str:
        with self._step("first secret: alice requests it, bob and carol acknowledge that they hold it"):
            rotation_id = str(self.devices["alice"].rotate(CLIENT, "first issue")["rotation_id"])
            self._acknowledge(rotation_id, "bob", "carol")
            self._complete(rotation_id)
            self._expect(rotation_id, "current")
        return rotation_id

    def _watch(self, first: str) -> Timeline:
        timeline = Timeline(ApiClient(self.stage.url), CLIENT)
        timeline.watch("v1", self.secrets[first])
        timeline.start()
        self.results.timeline = timeline
        return timeline

    def _rotate(self, first: str, timeline: Timeline) -> str:
        with self._step("rotation: bob requests it, alice and carol acknowledge the new secret"):
            timeline.mark("requested")
            plan = self.devices["bob"].preview(
                RotationOptions(client_id=CLIENT, rotation_id=self.devices["bob"].new_id(), reason="quarterly")
            )
            self.devices["bob"].send(plan)
            self.request = plan.request
            rotation_id = plan.request.rotation_id
            self._acknowledge(rotation_id, "alice", "carol")
            timeline.watch("v2", self.secrets[rotation_id])
        with self._step(f"promotion {LEAD_SECONDS} s after the request: new and old secret are accepted during grace"):
            self._complete(rotation_id)
            timeline.mark("promoted")
            self._expect(rotation_id, "current")
            self._expect(first, "grace")
        return rotation_id

    def _back_and_forth(self, first: str, second: str, timeline: Timeline) -> None:
        with self._step("rollback to the old secret, and forward again"):
            self.devices["carol"].command("rollback", CLIENT, {}, "a deploy went wrong")
            timeline.mark("rolled back")
            self._expect(first, "current")
            self._expect(second, "grace")
            time.sleep(1.0)  # long enough to be seen in the timeline
            self.devices["carol"].command("restore", CLIENT, {}, "fixed")
            timeline.mark("restored")
            self._expect(second, "current")

    def _refusals(self, second: str) -> None:
        with self._step("a wrong secret and a late acknowledgement are refused"):
            right = self.secrets[second]
            wrong = ("A" if right[0] != "A" else "B") + right[1:]
            if ApiClient(self.stage.url).check(CLIENT, wrong)["accepted"]:
                raise DemoError("A wrong secret was accepted.", REPORT)
            self.devices["bob"].catch_up()
            self._expect_late_ack_refused("bob", second)
        with self._step("forged requests are refused: no proof, a used proof, a proof of another request or admin"):
            self._expect_forgeries_refused()

    def _expect_forgeries_refused(self) -> None:
        if self.request is None:
            raise DemoError("There is no request to forge yet.", REPORT)
        reasons = send_forged_requests(self.request, self.people["bob"], self.people["carol"])
        self.results.refusals = dict(reasons)
        if not all(reasons.values()):
            raise DemoError("A request without a valid proof was accepted.", REPORT)

    def _expect_late_ack_refused(self, user: str, rotation_id: str) -> None:
        try:
            self.devices[user].ack(rotation_id)
        except ServerRefusedError as error:
            if error.error == "conflict":
                return
            raise
        raise DemoError("A late acknowledgement was accepted.", REPORT)

    def _grace_ends(self, first: str, second: str, timeline: Timeline) -> None:
        with self._step("grace ends: the old secret is refused, the new one keeps working"):
            retired, grace_seconds = (lambda: self._state(first) == "refused"), self.stage.grace_seconds
            self._wait_until(retired, "the old version to be refused", grace_seconds)
            timeline.mark("grace ended")
            self._expect(second, "current")
            time.sleep(0.5)  # long enough to be seen in the timeline

    def _leave(self, second: str, timeline: Timeline) -> None:
        with self._step("carol leaves: an emergency rotation at once replaces the secret that she knows"):
            removal = self.stage.operate("POST", f"/groups/{GROUP}/remove", {"user": "carol"})
            if removal["received"] != [CLIENT]:
                raise DemoError("The server does not list the active secrets that carol received.", REPORT)
            rotation = self.devices["alice"].rotate(CLIENT, "carol left", emergency=True, grace=timedelta(0))
            third = str(rotation["rotation_id"])
            self._receive(third, "bob")
            timeline.watch("v3", self.secrets[third])  # before bob's acknowledgement, which makes it replace v2
            self._acknowledge(third, "bob")
            self._complete(third)
            timeline.mark("carol left")
            self._expect(third, "current")
            self._expect(second, "refused")
        with self._step("carol's device receives nothing, and her acknowledgement is refused"):
            self._expect_nothing_received("carol", third)
            time.sleep(0.5)  # long enough to be seen in the timeline

    def _expect_nothing_received(self, user: str, rotation_id: str) -> None:
        device = self.devices[user]
        try:
            device.ack(rotation_id)
        except DeviceError:
            if not _holds(device, rotation_id):
                return
        raise DemoError("A removed device received a secret, or its acknowledgement was accepted.", REPORT)

    def _check_data(self) -> None:
        with self._step("checks: audit chain, every invariant, no plaintext on disk"):
            status, self.results.doctor = self.stage.keyturn("doctor", "--data", str(self.stage.data))
            if status:
                raise DemoError("`keyturn doctor` found a problem.", "Run it on the folder of --keep DIR.")
            self.results.proofs = [
                _proof_summary(proof) for user in ADMINS for proof in self.people[user].recorder.proofs
            ]
            self.stage.export_documents()
            seeds = [text for person in self.people.values() for text in person.authenticator.secrets]
            self.results.plaintext_found = len(search_folder(self.stage.folder, [*self.secrets.values(), *seeds]))
            # A positive control: the search must find a secret that is there.
            control = b"..." + next(iter(self.secrets.values())).encode() + b"..."
            self.results.control_found = bool(list(search(control, self.secrets.values())))
            if self.results.plaintext_found or not self.results.control_found:
                raise DemoError("A secret is stored in plaintext.", REPORT)

    # --- parts of the steps ---------------------------------------------------------------------------------------

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self.observe(name, None)
        began = time.monotonic()
        yield
        self.results.steps.append((name, time.monotonic() - began))
        self.observe(name, self.results.steps[-1][1])

    def _acknowledge(self, rotation_id: str, *users: str) -> None:
        for user in users:
            self._receive(rotation_id, user)
            self.devices[user].ack(rotation_id)

    def _receive(self, rotation_id: str, user: str) -> None:
        device = self.devices[user]
        self._wait_until(partial(_has_received, device, rotation_id), "the delivery of a secret")
        self.secrets[rotation_id] = device.notice(rotation_id).require_secret()

    def _complete(self, rotation_id: str) -> None:
        reader = self.devices["alice"]
        self._wait_until(lambda: reader.rotation(rotation_id)["phase"] == "completed", "the promotion")
        self.results.rotations.append(reader.rotation(rotation_id))

    def _state(self, rotation_id: str) -> str:
        verdict = ApiClient(self.stage.url).check(CLIENT, self.secrets[rotation_id])
        return str(verdict["state"]) if verdict["accepted"] else "refused"

    def _expect(self, rotation_id: str, state: str) -> None:
        actual_state = self._state(rotation_id)
        if actual_state != state:
            raise DemoError(f"A version should be {state} and is {actual_state}.", REPORT)

    def _wait_for_code(self, user: str, seconds: float) -> None:
        with self._step(f"{user} waits for the authenticator's next code"):
            time.sleep(seconds)

    def _wait_until(self, condition: Callable[[], object], what: str, expected_seconds: float = 0) -> None:
        deadline = time.monotonic() + expected_seconds + TIMEOUT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise DemoError(f"Timed out waiting for {what}.", "See up.log in the folder of --keep DIR.")
            time.sleep(POLL_SECONDS)


def _proof_summary(proof: str) -> Mapping[str, Any]:
    claims = read_unverified(proof).claims
    return {"user": claims["sub"], "amr": claims["amr"]}


def _has_received(device: Device, rotation_id: str) -> bool:
    device.catch_up()
    return _holds(device, rotation_id)


def _holds(device: Device, rotation_id: str) -> bool:
    return rotation_id in {notice.rotation_id for notice in device.inbox()}


def acks_of(rotation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return a rotation's acknowledgements in the form of the `status` function."""
    return cast("list[Mapping[str, Any]]", rotation["acks"])
