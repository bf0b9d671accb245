"""A stand-in key service with the real client before it; a test may bend, refuse and count its calls."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from keyturn.adapters.google_kms.keys import CloudKeyNames, CloudKeys
from keyturn.adapters.google_kms.retry import KmsRetryPolicy
from keyturn.local.kms_emulator import KmsEmulator, Tap
from keyturn.local.kms_names import KmsFault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import grpc
    from keyturn.local.kms_operations import Message


class ScriptedTap(Tap):
    """Fails calls with the codes in `failures`, one each; `bend_request` and `bend_response` change what passes."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.failures: list[grpc.StatusCode] = []
        self.bend_request: Callable[[Message], object] = lambda _: None
        self.bend_response: Callable[[Message], object] = lambda _: None

    def request(self, method: str, message: Message) -> Message:
        self.calls[method] += 1
        if self.failures:
            raise KmsFault(self.failures.pop(0))
        self.bend_request(message)
        return message

    def response(self, method: str, message: Message) -> Message:
        del method
        self.bend_response(message)
        return message


@dataclass
class Time:
    """Time that passes only by sleeping and by `pass_by`; `slept` are the pauses."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class Scene:
    """The stand-in, the keys through the real client, and the time that they live in."""

    def __init__(self, folder: Path, lag_seconds: float = 0.0) -> None:
        self.tap = ScriptedTap()
        self.time = Time()
        self.stand_in = KmsEmulator(folder / "kms.json", tap=self.tap)
        self.retry_policy = KmsRetryPolicy(clock=lambda: self.time.now, sleep=self.time.sleep)
        self.keys = CloudKeys(
            CloudKeyNames.of_ring(self.stand_in.ring),
            os.urandom,
            emulator_host=self.stand_in.host,
            retry_policy=self.retry_policy,
            lag_seconds=lag_seconds,
        )


@contextmanager
def scene(folder: Path, lag_seconds: float = 0.0) -> Iterator[Scene]:
    """Run the stand-in while the context lasts."""
    opened = Scene(folder, lag_seconds)
    with opened.stand_in:
        yield opened
        opened.keys.rpc.close()
