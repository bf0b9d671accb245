"""The Firestore emulator is killed in the middle of a rotation: a check gets a verdict from memory or 503.

The emulator loses its data when it ends. So this is about the answers during the outage, and about an empty store after
it: neither makes the service accept a secret that is not the client's.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from keyturn.device.api.client import ApiClient, HttpTransport
from keyturn.device.core.errors import ServerRefusedError
from keyturn.local.emulators import start_firestore, start_pubsub

from tests.local.real_machine import Machine, free_port
from tests.local.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from keyturn.device.device import Device

pytestmark = [pytest.mark.tier("java"), pytest.mark.xdist_group("machine_on_emulators")]

CLIENT = "acme"
OUTAGE_SECONDS = 4.0


def secret_of(device: Device, rotation_id: str) -> str:
    def received() -> str | None:
        device.catch_up()
        return next((item.secret for item in device.inbox() if item.rotation_id == rotation_id), None)

    return until(received)


def issue(device: Device) -> str:
    rotation_id = device.new_id()
    device.rotate(CLIENT, "first secret", rotation_id=rotation_id)
    secret = secret_of(device, rotation_id)
    device.ack(rotation_id)
    until(lambda: device.rotation(rotation_id)["outcome"] == "promoted")
    return secret


def answer(server: ApiClient, secret: str) -> str:
    """Return the answer to a check: `accepted`, `refused`, or the status and reason of an error."""
    try:
        return "accepted" if server.check(CLIENT, secret)["accepted"] else "refused"
    except ServerRefusedError as error:
        return f"{error.status} {error.error}"


def test_checks_are_answered_from_memory_or_with_503_and_nothing_is_granted(tmp_path: Path) -> None:
    port = free_port()
    with ExitStack() as stack:
        firestore = stack.enter_context(start_firestore(functions=f"127.0.0.1:{port}"))
        pubsub = stack.enter_context(start_pubsub())
        hosts = {"FIRESTORE_EMULATOR_HOST": firestore.host, "PUBSUB_EMULATOR_HOST": pubsub.host}
        machine = Machine(tmp_path, port, options=["--emulators"], variables=hosts)
        stack.callback(machine.end)
        machine.start()
        machine.wait_until_up(seconds=90)
        machine.operator("/groups", {"group_id": "ops"})
        fields = {"client_id": CLIENT, "groups": ["ops"], "kind": "x_api_key", "policy": {"quorum": 1}}
        machine.operator("/clients", fields)
        device = machine.device("alice", "ops")
        secret, server = issue(device), ApiClient(machine.url, HttpTransport(timeout_seconds=60))
        wrong = secret[:-8] + "AAAAAAAA"
        assert (answer(server, secret), answer(server, wrong)) == ("accepted", "refused")

        device.rotate(CLIENT, "in the middle", rotation_id=device.new_id())
        os.kill(firestore.process.pid, signal.SIGKILL)
        right_answers, wrong_answers = set(), set()
        deadline = time.monotonic() + OUTAGE_SECONDS
        while time.monotonic() < deadline:
            right_answers.add(answer(server, secret))
            wrong_answers.add(answer(server, wrong))
        assert right_answers <= {"accepted", "503 unavailable"}
        assert "503 unavailable" in wrong_answers
        assert wrong_answers <= {"refused", "503 unavailable"}
        with pytest.raises(ServerRefusedError) as refused:
            device.rotate(CLIENT, "during the outage", rotation_id=device.new_id())
        assert (refused.value.status, refused.value.error) == (503, "unavailable")
        assert machine.process is not None
        assert machine.process.poll() is None
