"""Virtual time: tasks on greenlets in one thread. Time passes only while all of them wait.

Each task runs until it waits: at a port call, for a signal, or in `sleep`. Who is next depends on the seed alone. So a
run is repeated exactly, whatever the machine does meanwhile.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from greenlet import greenlet

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random


class Died(BaseException):  # what no `except Exception` survives
    """The process of this task was killed."""


class Stuck(Exception):  # noqa: N818 - it names the state
    """A run did not end: tasks wait for ever, or run for ever."""


@dataclass(eq=False)
class Task:
    """One thread of control. `is_dead` is read whenever the task would go on."""

    name: str
    run: greenlet = field(init=False)
    is_dead: bool = False
    is_done: bool = False
    ticket: int = 0
    """Rises with each wake. An older entry in the queue is void."""
    process: object = None


@dataclass(eq=False)
class Signal:
    """Something that tasks wait for."""

    scheduler: Scheduler
    is_set: bool = False
    waiting: list[Task] = field(default_factory=list)

    def fire(self) -> None:
        self.is_set = True
        for task in self.waiting:
            self.scheduler.wake(task, 0.0)
        self.waiting.clear()

    def wait(self, seconds: float) -> bool:
        """Wait for the signal, at most that long. Return whether it came."""
        if not self.is_set:
            self.waiting.append(self.scheduler.current)
            self.scheduler.sleep(seconds)
        return self.is_set


class Scheduler:
    """Runs tasks. `now` is true time in seconds since the start of the run. `steps` counts port calls."""

    def __init__(self, random: Random) -> None:
        self.now = 0.0
        self.steps = 0
        self.switches = 0
        self._random = random
        self._queue: list[tuple[float, float, int, Task, int]] = []
        self._order = 0
        self._hub = greenlet.getcurrent()
        self._current: Task | None = None
        self.failures: list[tuple[str, BaseException]] = []

    @property
    def current(self) -> Task:
        """The task that runs now."""
        if self._current is None:
            raise Stuck("no task runs")
        return self._current

    def spawn(self, name: str, act: Callable[[], None], delay: float = 0.0, process: object = None) -> Task:
        """Start a task after a delay."""
        task = Task(name, process=process)
        task.run = greenlet(lambda: self._carry_out(task, act), self._hub)
        self.wake(task, delay)
        return task

    def wake(self, task: Task, delay: float) -> None:
        """Let a task go on after a delay, instead of at the time that it waits for."""
        task.ticket += 1
        self._order += 1
        # Of tasks that are due at the same time any may be first.
        heapq.heappush(self._queue, (self.now + delay, self._random.random(), self._order, task, task.ticket))

    def sleep(self, seconds: float) -> None:
        """Let the other tasks run for a while. Raises `Died` in a task whose process was killed meanwhile."""
        task = self.current
        if task.is_dead:  # what unwinds must not wait, and has no effect
            raise Died
        self.wake(task, max(0.0, seconds))
        self._hub.switch()
        if task.is_dead:
            raise Died

    def run(self, until: float) -> None:
        """Run all tasks up to a time."""
        while self._queue and self._queue[0][0] <= until:
            at, _, _, task, ticket = heapq.heappop(self._queue)
            if ticket != task.ticket or task.is_done:
                continue
            self.switches += 1
            if self.switches > _MOST_SWITCHES:
                raise Stuck(f"{task.name} and others run for ever")
            self.now = max(self.now, at)
            self._current = task
            task.run.switch()
            self._current = None
        self.now = max(self.now, until)

    def run_until(self, signal: Signal, seconds: float) -> bool:
        """Run all tasks until a signal comes, at most that long. Return whether it came."""
        end = self.now + seconds
        while not signal.is_set and self._queue and self._queue[0][0] <= end:
            self.run(self._queue[0][0])
        return signal.is_set

    def close(self) -> None:
        """End all tasks."""
        for entry in sorted(self._queue)[:]:
            task = entry[3]
            if not task.is_done and task.run:
                task.is_dead = True
                self._current = task
                task.run.switch()
        self._current = None
        self._queue.clear()

    def _carry_out(self, task: Task, act: Callable[[], None]) -> None:
        try:
            if not task.is_dead:
                act()
        except Died:
            pass
        except Exception as error:  # noqa: BLE001 - a fault of the simulator itself, which the run reports
            self.failures.append((task.name, error))
        finally:
            task.is_done = True


_MOST_SWITCHES = 200_000
