"""Row: how more guesses for an imported client than bcrypt can compute slow the checks of other clients.

Hot and cold latency of clients with generated secrets, as in verify_guessing.py, with and without guesses in turns. The
guesses come from as many sources as there are threads, so that no budget stops them. The cap on bcrypt does.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import bcrypt
from keyturn.domain.imported_secret import BCRYPT
from keyturn.domain.policy import Policy
from keyturn.ports.store import Document
from keyturn.records import paths
from keyturn.records.client_document import client_data, live_state
from keyturn.verifier.imported_check import PLACES, ImportedBusy
from keyturn.verifier.verifier import Caching, Verifier

from bench.rows import Measured
from bench.verify import made_up_client
from bench.verify_guessing import Remembered, latencies

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from keyturn.ports.store import Data

IMPORTED = "imported-client"
GUESSERS = PLACES + 8
COST = 12
_ROUNDS = 8
_PAUSE_SECONDS = 0.1
"""How long a guesser waits after it was told that there is no place."""


class WithImported(Remembered):
    """The same clients, and one that was imported."""

    def __init__(self) -> None:
        super().__init__()
        path = paths.client(IMPORTED)
        self._documents[path] = Document(path, _imported(), "1")


def _imported() -> Data:
    state = live_state(made_up_client(IMPORTED))
    (version,) = state.live
    hashed = bcrypt.hashpw(b"what nobody guesses", bcrypt.gensalt(COST)).decode("ascii")
    imported = replace(version, algo=BCRYPT, rotation_id="", secret_hash=hashed, mac_key_ref=None, receipt_key=None)
    return client_data(state.with_versions(imported), Policy())


class Guesses:
    """The outcome of the guesses: how many bcrypt computed, and how many were turned away as busy."""

    def __init__(self) -> None:
        self.computed = 0
        self.busy = 0


@contextmanager
def guessing(verifier: Verifier) -> Iterator[Guesses]:
    """Have many threads guess the imported client's secret for as long as the context lasts."""
    guesses, over = Guesses(), threading.Event()
    threads = [threading.Thread(target=_guess, args=(verifier, n, guesses, over), daemon=True) for n in range(GUESSERS)]
    for thread in threads:
        thread.start()
    try:
        yield guesses
    finally:
        over.set()
        for thread in threads:
            thread.join()


def _guess(verifier: Verifier, name: int, guesses: Guesses, over: threading.Event) -> None:
    turn = 0
    while not over.is_set():
        turn += 1
        try:
            verifier.check(IMPORTED, f"guess {turn} of {name}")
            guesses.computed += 1
        except ImportedBusy:
            guesses.busy += 1
            time.sleep(_PAUSE_SECONDS)


def imported_against_quiet(_folder: Path) -> Measured:
    """Return the larger of two ratios: hot and cold latency of others under such guesses, over that without."""
    store = WithImported()
    quiet: list[Mapping[str, float]] = []
    guessed: list[Mapping[str, float]] = []
    busy = computed = 0
    for _ in range(_ROUNDS):
        quiet.append(latencies(_verifier(store)))
        verifier = _verifier(store)
        with guessing(verifier) as guesses:
            guessed.append(latencies(verifier))
        busy, computed = busy + guesses.busy, computed + guesses.computed
    if not (busy and computed):
        raise ValueError("bcrypt was not asked for more than it can do")
    parts = {
        f"{name.removesuffix('_us')}_{when}_us": median(each[name] for each in rounds)
        for when, rounds in (("quiet", quiet), ("guessed", guessed))
        for name in rounds[0]
    }
    ratios = [parts[f"{name}_guessed_us"] / parts[f"{name}_quiet_us"] for name in ("cold", "hot")]
    return Measured(max(ratios), {**parts, "computed": computed, "refused_for_want_of_a_place": busy})


def _verifier(store: WithImported) -> Verifier:
    return Verifier(store, store, Policy(), caching=Caching())
