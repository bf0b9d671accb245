"""How each row of the lifecycle table is tried, by people with devices or by the suite's own triggers.

A row that stands in no table here fails a test: the simulator knows every command.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from keyturn.device.core.signed_events import ack_event
from keyturn.domain.encodings import base64url_encode, ulid
from keyturn.ports.store import put
from keyturn.proofs.canaries import Canary
from keyturn.proofs.receipts import AckStatement, LeakReport, _signer, sign_leak_report

from tests.simulation.people import Outcome
from tests.simulation.usage import silent_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulation.faults import Armed
    from tests.simulation.oracle import Delivery
    from tests.simulation.people import Person
    from tests.simulation.stage import Stage

NO_VERSION = "01KJMMA2G09AGNKGJXP5TJZTD3"
_SOON_SECONDS = 1.5
"""A command that its device sends later was held up by the fault: the attempt began with its user's decision."""
NOTHING = Outcome(0, "asked for by no person")


@dataclass
class Attempt:
    """One try of one row for one client."""

    stage: Stage
    row: str
    client_id: str
    person: Person
    armed: Armed | None = None
    began: float = 0.0
    """When the command reached the network."""
    outcome: Outcome = NOTHING

    def run(self) -> Attempt:
        """Try it now."""
        person = self.person
        self.began, person.armed = self.stage.now, self.armed
        posted_before = len(person.posted_at)
        try:
            self.outcome = PERFORM[self.row](self)
        finally:
            person.armed = None
        posted = person.posted_at[posted_before:]
        if posted and posted[0] - self.began < _SOON_SECONDS:
            self.began = posted[0]
        return self

    def command(self, action: str, params: Mapping[str, Any] | None = None) -> Outcome:
        """Send a command, and have a second person send it if that is needed."""
        outcome = self.stage.command(self.person, action, self.client_id, params or {})
        if outcome.answer.get("awaits_second_person"):
            other = self.stage.person(other_than=self.person)
            return self.stage.command(other, action, self.client_id, params or {})
        return outcome


def _rotate(attempt: Attempt, *, emergency: bool = False) -> Outcome:
    random = attempt.stage.random
    grace = timedelta(seconds=random.choice((0, 60, 3600)))
    supersede = not emergency and (attempt.armed is not None or random.random() < 0.6)
    return attempt.stage.rotate(
        attempt.person, attempt.client_id, emergency=emergency, supersede=supersede, grace=grace
    )


def _distribute(attempt: Attempt) -> Outcome:
    stage, rotation = attempt.stage, attempt.stage.latest_rotation(attempt.client_id)
    message = {"client_id": attempt.client_id, "rotation_id": rotation}
    body = json.dumps({"message": {"attributes": message, "messageId": "1"}}).encode()
    stage.note(f"an event asks to distribute rotation {rotation[-6:]} of {attempt.client_id}")
    headers = {"ce-specversion": "1.0", "ce-id": "1"}
    stage.deployment.request("POST", "/distribute/", body, headers, armed=attempt.armed)
    return NOTHING


def _acknowledge(attempt: Attempt) -> Outcome:
    stage, client_id = attempt.stage, attempt.client_id
    name = stage.latest_rotation(client_id)
    stage.oracle.note_command("ack", client_id, stage.now)
    if stage.phase(client_id) in {"distributed", "acknowledged"}:
        return attempt.person.act(f"acknowledges rotation {name[-6:]} of {client_id}", lambda device: device.ack(name))
    return forge_ack(stage, client_id, attempt.person)


def forge_ack(stage: Stage, client_id: str, person: Person) -> Outcome:
    """Acknowledge without the secret, which no device of ours does."""
    signer, name = person.device.context.signer, stage.latest_rotation(client_id)
    rotation = stage.deployment.document(f"oauth2_rotations/{name}") or {}
    statement = AckStatement(
        rotation_id=name,
        client_id=client_id,
        version_id=str(rotation.get("new_version") or NO_VERSION),
        ack_by=signer.public_key,
        ack_at=round(person.now().timestamp() * 1000),
        secret_hash="A" * 43,
        mac_key_ref="local/mac/1",
    )
    event = ack_event(signer, statement, "a guess")
    return person.act(
        f"acknowledges rotation {name[-6:]} of {client_id} without its secret",
        lambda device: device.context.api.post_event(event),
    )


def _count_canaries(attempt: Attempt) -> Outcome:
    prove_canary(attempt.stage, attempt.client_id, attempt.armed)
    return _sweep(attempt)


def prove_canary(stage: Stage, client_id: str, armed: Armed | None = None) -> None:
    """Prove as one of the integrator's instances that it holds the pending secret."""
    delivery = stage.pending_delivery(client_id)
    if delivery is None:
        return
    body = json.dumps({"client_id": client_id}).encode()
    reply = stage.deployment.request("POST", "/client_token/canary/challenge", body, armed=armed)
    if reply is None or reply.status != 200:
        return
    stage.callers += 1
    canary = Canary(
        rotation_id=delivery.rotation_id,
        client_id=client_id,
        version_id=delivery.version_id,
        instance_id=f"instance-{stage.callers}",
        nonce=json.loads(reply.body)["nonce"],
    )
    stage.note(f"an instance of {client_id} proves that it holds the new secret")
    fields = {**_fields(canary), "signature": _sign_canary(canary, delivery)}
    stage.deployment.request("POST", "/client_token/canary", json.dumps(fields).encode(), armed=armed)


def _fields(canary: Canary) -> dict[str, str]:
    names = ("rotation_id", "client_id", "version_id", "instance_id", "nonce")
    return {name: getattr(canary, name) for name in names}


def _sign_canary(canary: Canary, delivery: Delivery) -> str:
    signer = _signer(delivery.secret, canary.client_id, canary.version_id, canary.rotation_id)
    return base64url_encode(signer.sign(canary.signed_bytes()))


def _cancel(attempt: Attempt) -> Outcome:
    active = attempt.stage.client(attempt.client_id).get("active_rotation")
    return attempt.command("cancel", {"rotation_id": active or attempt.person.device.new_id()})


def _roll_back(attempt: Attempt) -> Outcome:
    return attempt.command("rollback", {"compromised": True} if attempt.stage.random.random() < 0.3 else {})


def _retire(attempt: Attempt) -> Outcome:
    live = attempt.stage.live(attempt.client_id)
    return attempt.command("retire", {"version_id": (live or [NO_VERSION])[-1]})


def _retire_silent(attempt: Attempt) -> Outcome:
    stage, client_id = attempt.stage, attempt.client_id
    stage.deployment.operate(f"/clients/{client_id}/policy", {"policy": {"retire_early": True}})
    live = stage.live(client_id)
    if len(live) > 1:
        silent_usage(stage.deployment, client_id, old=live[1], new=live[0])
    control = stage.deployment.databases["control"]
    house = control.get(["service/house"])["service/house"]
    control.commit([put(house, {"due_at": stage.deployment.store_time()})])
    stage.oracle.note_command("retire", client_id, stage.now)
    return _sweep(attempt)


def _revoke_version(attempt: Attempt) -> Outcome:
    random = attempt.stage.random
    params: dict[str, Any] = {"version_id": random.choice(attempt.stage.live(attempt.client_id) or [NO_VERSION])}
    if attempt.armed is not None or random.random() < 0.6:
        params["force"] = True
    return attempt.command("revoke", params)


def _revoke_leaked(attempt: Attempt) -> Outcome:
    stage, client_id = attempt.stage, attempt.client_id
    delivery = stage.random.choice(stage.oracle.secrets_of(client_id)[-2:])
    stage.oracle.note_command("leak", client_id, stage.now)
    stage.note(f"the operator reports a leak of version {delivery.version_id[-6:]} of {client_id}")
    report = LeakReport(
        client_id=client_id,
        version_id=delivery.version_id,
        made_by=delivery.rotation_id,
        replaced_by=ulid(stage.deployment.true_time(), stage.random.randbytes(10)),
        sighted_at=stage.store_ms,
    )
    fields = {
        "client_id": client_id,
        "version_id": report.version_id,
        "made_by": report.made_by,
        "rotation_id": report.replaced_by,
        "sighted_at": report.sighted_at,
        "signature": sign_leak_report(delivery.secret, report),
    }
    status, answer = stage.deployment.operate("/leak/revoke", fields, armed=attempt.armed)
    return Outcome(status, str(answer.get("reason", "")), answer)


def _sweep(attempt: Attempt) -> Outcome:
    attempt.stage.sweep(attempt.armed)
    return NOTHING


PERFORM: Mapping[str, Callable[[Attempt], Outcome]] = {
    "Request": _rotate,
    "Emergency": lambda attempt: _rotate(attempt, emergency=True),
    "Distribute": _distribute,
    "Acknowledge": _acknowledge,
    "CountCanaries": _count_canaries,
    "Cancel": _cancel,
    "Rollback": _roll_back,
    "Restore": lambda attempt: attempt.command("restore"),
    "Retire": _retire,
    "RetireSilent": _retire_silent,
    "RevokeVersion": _revoke_version,
    "RevokeLeaked": _revoke_leaked,
    "RevokeClient": lambda attempt: attempt.command("revoke", {"version_id": "all"}),
    "Suspend": lambda attempt: attempt.command("suspend"),
    "Resume": lambda attempt: attempt.command("resume"),
    # What time alone brings: the sweeper writes it.
    "Promote": _sweep,
    "Expire": _sweep,
    "RetireElapsed": _sweep,
}
BY_OTHERS = ("Request", "Emergency", "Cancel", "Rollback", "Restore", "Retire", "RevokeVersion", "Suspend", "Resume")
"""Rows that another admin may try at the same time."""
