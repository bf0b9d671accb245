"""Row: how 10 000 wrong guesses a second from one source slow other callers' checks in the same process.

It compares mean latencies, so that the full wait behind a guess counts: of cached credentials (hot) and of first checks
(cold), with and without guesses in turns.
"""

from __future__ import annotations

import threading
import time
from statistics import median
from typing import TYPE_CHECKING

from keyturn.domain.errors import RateLimited
from keyturn.domain.policy import Policy
from keyturn.ports.effects import monotonic
from keyturn.ports.store import Document, Snapshot
from keyturn.records import paths
from keyturn.verifier.failure_limits import FailureLimits
from keyturn.verifier.verifier import Caching, Verifier

from bench.rows import Measured, NotRunError
from bench.verify import SECRET, MadeUp, made_up_client

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

GUESSES_A_SECOND = 10_000
_ROUNDS = 12
_HOT_SECONDS = 0.4
_BATCH = 200
_COLD = 500
_PAUSE_SECONDS = 0.0005
_CLIENT_IDS = [f"client-{number:06d}" for number in range(_COLD)]


class Remembered(MadeUp):
    """The same clients each time, so that reading one costs next to nothing."""

    def __init__(self) -> None:
        super().__init__()
        clients_by_path = {paths.client(name): made_up_client(name) for name in _CLIENT_IDS}
        self._documents = {path: Document(path, data, "1") for path, data in clients_by_path.items()}

    def get(self, paths: Iterable[str]) -> Snapshot:
        """Return the generated documents."""
        time_of = super().get(())
        return Snapshot({path: self._documents[path] for path in paths}, time_of.read_time)


class Guesser:
    """One source in a thread of its own: wrong secrets for the very clients that are measured, at an even rate."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._guess, daemon=True)
        self.guesses = 0
        self.refused_for_free = 0

    def __enter__(self) -> Guesser:  # noqa: PYI034 - Self needs no import, but says no more
        """Begin."""
        self._began = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop. `rate` is then the number of guesses a second."""
        self._over.set()
        self._thread.join()
        self.rate = self.guesses / (time.perf_counter() - self._began)

    def _guess(self) -> None:
        while not self._over.is_set():
            while self.guesses < (time.perf_counter() - self._began) * GUESSES_A_SECOND * 1.05:
                self._one(self.guesses)
                self.guesses += 1
            time.sleep(_PAUSE_SECONDS)

    def _one(self, number: int) -> None:
        try:
            self._verifier.check(_CLIENT_IDS[number % _COLD], f"{number:043d}", source="203.0.113.9")
        except RateLimited:
            self.refused_for_free += 1


def guessing_against_quiet(_folder: Path) -> Measured:
    """Return the larger of two ratios: hot and cold latency of other sources under guesses, over that without."""
    store, limits = Remembered(), FailureLimits(monotonic)
    latencies_by_phase: dict[str, list[dict[str, float]]] = {"quiet": [], "guessed": []}
    for turn in range(_ROUNDS):
        # Every other round runs backwards, so that none always follows the other.
        for when in list(latencies_by_phase)[:: -1 if turn % 2 else 1]:
            verifier = Verifier(store, store, Policy(), caching=Caching(), failure_limits=limits)
            latencies_by_phase[when].append(latencies(verifier) if when == "quiet" else _under_guesses(verifier))
    rate = median(each.pop("rate") for each in latencies_by_phase["guessed"])
    if rate < GUESSES_A_SECOND:
        raise NotRunError("a machine that makes so many guesses a second beside what it measures")
    parts = {
        f"{name}_{when}_us": median(each[name] for each in all_)
        for when, all_ in latencies_by_phase.items()
        for name in all_[0]
    }
    ratios = [parts[f"{name}_guessed_us"] / parts[f"{name}_quiet_us"] for name in ("cold", "hot")]
    return Measured(max(ratios), {**parts, "guesses_per_second": rate})


def _under_guesses(verifier: Verifier) -> dict[str, float]:
    with Guesser(verifier) as guesser:
        latencies_by_phase = latencies(verifier)
    return {**latencies_by_phase, "rate": guesser.rate}


def latencies(verifier: Verifier) -> dict[str, float]:
    """Return mean microseconds of first checks and of kept ones, each of a source of its own."""
    began = time.perf_counter()
    for number, client_id in enumerate(_CLIENT_IDS):
        _right(verifier, client_id, number)
    cold = (time.perf_counter() - began) / _COLD
    began, check_count = time.perf_counter(), 0
    while (ended := time.perf_counter()) - began < _HOT_SECONDS:
        for number in range(_BATCH):
            _right(verifier, _CLIENT_IDS[number], number)
        check_count += _BATCH
    return {"cold": cold * 1e6, "hot": (ended - began) / check_count * 1e6}


def _right(verifier: Verifier, client_id: str, number: int) -> None:
    if not verifier.check(client_id, SECRET, source=f"198.51.100.{number % 250}").accepted:
        raise ValueError("a right secret was refused")
