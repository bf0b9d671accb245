"""Pairs of admins that rotate, and checks that go on, while workers are killed."""

from __future__ import annotations

import os
import random
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from keyturn.device.core.errors import ServerRefusedError, UnreachableError

from tests.local.waiting import until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from keyturn.device.api.client import ApiClient
    from keyturn.device.device import Device

    from tests.local.real_machine import Holdings, Machine


WORKERS = 3
SEED = int(os.environ.get("KILL_LOOP_SEED") or random.SystemRandom().randrange(2**32))


@dataclass
class Pair:
    """Two people with their devices, and the two clients that they rotate."""

    asks: Device
    acks: Device
    clients: Sequence[str]
    rng: random.Random
    holdings: Holdings

    def rotate(self, turn: int) -> str:
        """Run one rotation to its end, mostly promoted, now and then canceled; its outcome."""
        client_id, rotation_id = self.clients[turn % 2], self.asks.new_id()
        self.asks.rotate(
            client_id,
            "kill loop",
            rotation_id=rotation_id,
            grace=timedelta(seconds=self.rng.choice([0, 1, 120])),
            not_before=self.rng.choice([None, None, timedelta(seconds=1)]),
            supersede=True,
        )
        if self.rng.random() < 0.15:
            self.asks.command("cancel", client_id, {"rotation_id": rotation_id}, "kill loop")
        else:
            self._acknowledge(client_id, rotation_id)
        return self._outcome(rotation_id)

    def _acknowledge(self, client_id: str, rotation_id: str) -> None:
        device = self.rng.choice([self.asks, self.acks])
        self.holdings.received(client_id, self._secret(device, rotation_id))
        device.ack(rotation_id)
        if self._outcome(rotation_id) == "promoted":
            self.holdings.promoted(client_id)

    def _secret(self, device: Device, rotation_id: str) -> str:
        def received() -> str | None:
            device.catch_up()
            return next((item.secret for item in device.inbox() if item.rotation_id == rotation_id), None)

        return until(received)

    def _outcome(self, rotation_id: str) -> str:
        return until(lambda: str(self.asks.rotation(rotation_id)["outcome"] or ""))


@dataclass
class Prober:
    """Checks, whenever the server answers, that each client verifies with a secret that the devices hold."""

    server: ApiClient
    holdings: Holdings
    verdicts: int = 0
    locked_out: list[str] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    """The status codes of answers without a verdict."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.02):
            for client_id in self.holdings.clients():
                self._probe(client_id)

    def _probe(self, client_id: str) -> None:
        held = self.holdings.of(client_id)
        if held.current is None:
            return
        try:
            # In this order: if the first is refused, the other was promoted before, and verifies from then on.
            accepted = any(self._accepts(client_id, secret) for secret in (held.current, held.next) if secret)
        except ServerRefusedError as answer:
            self.refused.add(answer.status)
            return
        except UnreachableError:
            return  # killed in the middle: no verdict
        self.verdicts += 1
        if not accepted and held is self.holdings.of(client_id):
            self.locked_out.append(client_id)

    def _accepts(self, client_id: str, secret: str) -> bool:
        return self.server.check(client_id, secret)["accepted"] is True


def pairs_on(machine: Machine, holdings: Holdings, rng: random.Random) -> list[Pair]:
    machine.operator("/groups", {"group_id": "ops"})
    made = []
    for number in range(WORKERS):
        clients = [f"client-{number}-{name}" for name in "ab"]
        for client_id in clients:
            fields = {"client_id": client_id, "groups": ["ops"], "kind": "x_api_key", "policy": {"quorum": 1}}
            machine.operator("/clients", fields)
        asks, acks = (machine.device(f"{name}-{number}", "ops") for name in ("asks", "acks"))
        made.append(Pair(asks, acks, clients, random.Random(rng.random()), holdings))
    return made
