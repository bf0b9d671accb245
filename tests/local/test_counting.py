"""Counting on one machine: stopped, it has written everything and said goodbye; killed, it has not said goodbye."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from keyturn.device.api.client import HttpRequest, HttpTransport
from keyturn.local.doctor import diagnose, open_folder
from keyturn.ports.store import Query
from keyturn.records.codec import from_data
from keyturn.records.usage import VerifierLife, VersionUse

from tests.local.real_machine import Machine
from tests.local.rotated import _notice
from tests.local.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    running = Machine(tmp_path)
    running.start()
    running.wait_until_up()
    yield running
    running.end()


def issued(machine: Machine) -> str:
    machine.operator("/groups", {"group_id": "ops"})
    machine.operator("/clients", {"client_id": "acme", "groups": ["ops"], "policy": {"quorum": 1}})
    alice, bob = (machine.device(name, "ops") for name in ("alice", "bob"))
    secret = _notice(bob, alice)
    bob.ack(bob.inbox()[-1].rotation_id)
    return secret


def check(machine: Machine, secret: str) -> int:
    headers = {"X-Client-Id": "acme", "X-API-Key": secret}
    return HttpTransport(20).send(HttpRequest("POST", f"{machine.url}/client_token/check", headers, b"")).status


def stored(machine: Machine) -> tuple[list[int], list[VerifierLife]]:
    suite = open_folder(machine.data)
    try:
        assert diagnose(suite).breaches == ()
        found = {
            name: [item.data for item in suite.databases.usage.query(Query(name, order_by="expires_at")) if item.data]
            for name in ("version_usage", "verifiers")
        }
    finally:
        for name in ("control", "auth", "usage"):
            getattr(suite.databases, name).close()
    counts = [from_data(VersionUse, data).count for data in found["version_usage"]]
    return counts, [from_data(VerifierLife, data) for data in found["verifiers"]]


def test_a_machine_that_stops_has_counted_everything_and_says_goodbye(machine: Machine) -> None:
    secret = issued(machine)
    assert [check(machine, secret) for _ in range(3)] == [200, 200, 200]
    assert machine.stop() == 0
    counts, (life,) = stored(machine)
    assert sum(counts) == 3
    assert life.ended_at is not None


def test_a_machine_that_is_killed_says_no_goodbye(machine: Machine) -> None:
    secret = issued(machine)
    assert check(machine, secret) == 200
    until(lambda: stored(machine)[1] or None)
    machine.kill()
    _, (life,) = stored(machine)
    assert life.ended_at is None
