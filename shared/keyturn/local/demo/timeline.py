"""The timeline: which of a client's secrets verifies at each moment, asked over HTTP like any integrator's request."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.text import Text

from keyturn.device.core.errors import UnreachableError

if TYPE_CHECKING:
    from keyturn.device.api.client import ApiClient

EVERY_SECONDS = 0.25
WIDTH = 64
_MARKS = {"current": ("█", "green"), "grace": ("▒", "yellow"), "refused": ("·", "dim")}


@dataclass(frozen=True, slots=True)
class Sample:
    """What the verifier said at a moment (seconds since the timeline began): a state, or `refused`."""

    at: float
    state: str


@dataclass
class Timeline:
    """Samples by version; `moments` are what happened when."""

    server: ApiClient
    client_id: str
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    moments: list[tuple[float, str]] = field(default_factory=list)
    unanswered: int = 0
    gaps: int = 0
    """Rounds in which no version at all was accepted."""
    _secrets: dict[str, str] = field(default_factory=dict, repr=False)
    _began: float = field(default_factory=time.monotonic)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def watch(self, name: str, secret: str) -> None:
        """Ask for this secret, too, from now on."""
        self.samples[name] = []
        self._secrets[name] = secret

    def start(self) -> None:
        """Ask regularly, in the background."""
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def happened(self, what: str) -> None:
        """Note a moment."""
        self.moments.append((time.monotonic() - self._began, what))

    def _run(self) -> None:
        while not self._stop.wait(EVERY_SECONDS):
            watched = list(self._secrets.items())
            states = [self._ask(name, secret) for name, secret in watched]
            # A round in which a version was added asked for too few: the new one may have replaced the rest meanwhile.
            self.gaps += len(watched) == len(self._secrets) and set(states) == {"refused"}

    def _ask(self, name: str, secret: str) -> str:
        try:
            verdict = self.server.check(self.client_id, secret)
        except UnreachableError:
            self.unanswered += 1
            return "unanswered"
        state = str(verdict["state"]) if verdict["accepted"] else "refused"
        self.samples[name].append(Sample(time.monotonic() - self._began, state))
        return state

    def drawn(self, seconds: float) -> Text:
        """Return the picture, of so many seconds at least: a row a version, and what happened when below."""
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
    inside = [sample for sample in samples if begin <= sample.at < begin + width]
    if not inside:
        return Text(" ")
    mark, style = _MARKS[inside[-1].state]
    return Text(mark, style=style)


def _axis(moments: list[tuple[float, str]], total_seconds: float) -> Text:
    marks: dict[int, str] = {}
    for place, (at, _) in enumerate(moments):
        column = round(WIDTH * at / total_seconds)
        while column in marks:  # two moments at once stand side by side
            column += 1
        marks[column] = chr(ord("a") + place)
    axis = "".join(marks.get(column, "─") for column in range(WIDTH + 1))
    legend = "   ".join(f"{chr(ord('a') + place)} {what}" for place, (_, what) in enumerate(moments))
    return Text(f"      {axis}\n      {legend}", style="dim")
