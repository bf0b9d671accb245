"""The timeline: which of a client's secrets are accepted at each moment, checked over HTTP like an integrator does."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

from keyturn.device.core.errors import UnreachableError

if TYPE_CHECKING:
    from keyturn.device.api.client import ApiClient

# Short enough to notice a gap of half a second, long enough not to load the server that is being shown.
EVERY_SECONDS = 0.25
WIDTH = 64
_MARKS = {"current": ("█", "green"), "grace": ("▒", "yellow"), "refused": ("·", "dim")}


@dataclass(frozen=True, slots=True)
class Sample:
    """One result of the verifier: `at` in seconds since the timeline began, `state` of the version or `refused`."""

    at: float
    state: str


@dataclass
class Timeline:
    """Samples by version. `moments` are the times and names of events."""

    server: ApiClient
    client_id: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    moments: list[tuple[float, str]] = field(default_factory=list)
    unanswered: int = 0
    gaps: int = 0
    """The number of rounds in which no version was accepted."""
    _secrets: dict[str, str] = field(default_factory=dict, repr=False)
    _began: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def watch(self, name: str, secret: str) -> None:
        """Check this secret too from now on."""
        self.samples[name] = []
        self._secrets[name] = secret

    def start(self) -> None:
        """Start regular checks in a thread."""
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop checking."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def mark(self, event: str) -> None:
        """Mark the current moment with the name of an event."""
        self.moments.append((time.monotonic() - self._began, event))

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            secrets = list(self._secrets.items())
            states = [self._check(name, secret) for name, secret in secrets]
            # Don't count a round during which a version was added: the new one may have replaced the others meanwhile.
            self.gaps += len(secrets) == len(self._secrets) and set(states) == {"refused"}

    def _check(self, name: str, secret: str) -> str:
        try:
            verdict = self.server.check(self.client_id, secret)
        except UnreachableError:
            self.unanswered += 1
            return "unanswered"
        state = str(verdict["state"]) if verdict["accepted"] else "refused"
        self.samples[name].append(Sample(time.monotonic() - self._began, state))
        return state

    def draw(self, seconds: float) -> Text:
        """Return a drawing of at least that many seconds: one row per version, and the events below."""
        total_seconds = max(
            [seconds, *(samples[-1].at + EVERY_SECONDS for samples in self.samples.values() if samples)]
        )
        text = Text()
        for name, samples in self.samples.items():
            text.append(f"  {name:<4}")
            for column in range(WIDTH):
                text.append_text(_cell(samples, total_seconds * column / WIDTH, total_seconds / WIDTH))
            text.append("\n")
        text.append_text(_axis(self.moments, total_seconds))
        return text


def _cell(samples: list[Sample], begin: float, width: float) -> Text:
    cell_samples = [sample for sample in samples if begin <= sample.at < begin + width]
    if not cell_samples:
        return Text(" ")
    mark, style = _MARKS[cell_samples[-1].state]
    return Text(mark, style=style)


def _axis(moments: list[tuple[float, str]], total_seconds: float) -> Text:
    marks: dict[int, str] = {}
    for place, (at, _) in enumerate(moments):
        column = round(WIDTH * at / total_seconds)
        while column in marks:  # two moments in one column are drawn side by side
            column += 1
        marks[column] = chr(ord("a") + place)
    axis = "".join(marks.get(column, "─") for column in range(WIDTH + 1))
    legend = "   ".join(f"{chr(ord('a') + place)} {event}" for place, (_, event) in enumerate(moments))
    return Text(f"      {axis}\n      {legend}", style="dim")
