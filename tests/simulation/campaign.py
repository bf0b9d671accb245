"""A campaign: many seeds on several processes, and what they show together."""

from __future__ import annotations

import multiprocessing
import shutil
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.faults import Fault
from tests.simulation.kinds import NOT_WRITTEN, missing_kinds
from tests.simulation.run import SITUATIONS_A_SEED, Result, new_template, run_seed
from tests.simulation.situations import all_situations, reachable, reason_unreachable
from tests.simulation.story import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.simulation.oracle import Violation
    from tests.simulation.run import Template
    from tests.simulation.situations import Situation

SURE_AFTER = 2
"""How often a campaign must have aimed at a situation before a missing one is a failure: other faults may interfere."""
LONG = 42
"""From so many seeds on a campaign must be complete: it plays each trial twice."""
OBSERVATIONS = (
    "accepted",
    "refused",
    "answers",
    "probes",
    "secrets delivered",
    "audit chains",
    "values searched for",
    "sweeps judged",
    "distributions judged",
    "blocks judged",
)
"""What every campaign of some seeds observes."""


@dataclass
class Campaign:
    """The sum of many runs."""

    ran: set[int] = field(default_factory=set)
    """The seeds that were run."""
    seconds: float = 0.0
    steps: int = 0
    attempts: int = 0
    aimed: Counter[Situation] = field(default_factory=Counter)
    filled: set[Situation] = field(default_factory=set)
    faults: Counter[Fault] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, Violation]] = field(default_factory=list)
    crashes: list[tuple[int, str]] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)

    def add(self, result: Result | Crash) -> None:
        """Add one run. A seed counts once, however often it is run."""
        if result.seed in self.ran:
            return
        self.ran.add(result.seed)
        if isinstance(result, Crash):
            self.crashes.append((result.seed, result.text))
            return
        self.seconds += result.seconds
        self.steps += result.steps
        self.attempts += result.attempts
        self.aimed.update(result.targets)
        self.filled |= result.filled
        self.faults += result.faults
        self.counts.update(result.counts)
        self.kinds |= result.kinds
        self.violations += [(result.seed, violation) for violation in result.violations]

    @property
    def seeds(self) -> int:
        """How many seeds were run."""
        return len(self.ran)

    @property
    def empty(self) -> list[Situation]:
        """The situations that were aimed at often enough, and were never met."""
        return sorted(cell for cell, times in self.aimed.items() if times >= SURE_AFTER and cell not in self.filled)

    @property
    def unseen(self) -> list[str]:
        """Kinds of observations that no run has made: a campaign that sees nothing proves nothing."""
        return [name for name in OBSERVATIONS if not self.counts[name]]

    @property
    def missing(self) -> list[str]:
        """What a campaign of some length must have seen, and has not."""
        kinds = [f"not written: {kind}" for kind in missing_kinds(self.kinds)]
        situations = [f"empty: {cell}" for cell in self.empty]
        return [*kinds, *(f"never observed: {name}" for name in self.unseen), *situations]

    @property
    def is_good(self) -> bool:
        is_complete = self.seeds < LONG or not self.missing
        return is_complete and not self.violations and not self.crashes

    def lines(self) -> Iterator[str]:
        """Yield the report."""
        generated = list(all_situations())
        unreachable = [cell for cell in generated if reason_unreachable(cell)]
        yield f"{self.seeds} seeds, {self.attempts} attempts, {self.steps} calls of ports"
        yield f"{self.seconds / max(1, self.seeds):.2f} processor seconds a seed"
        yield f"faults: {', '.join(f'{kind.value} {self.faults[kind]}' for kind in Fault if self.faults[kind])}"
        yield f"observations: {', '.join(f'{name} {count}' for name, count in sorted(self.counts.items()))}"
        yield (
            f"situations: {len(self.filled)} of {len(self.aimed)} aimed at, {len(reachable())} reachable,"
            f" {len(unreachable)} of {len(generated)} unreachable ({len(unreachable) / len(generated):.1%})"
        )
        yield f"kinds of documents: {len(self.kinds)} written, {len(NOT_WRITTEN)} not simulated"
        yield from self.missing[:20]
        for seed, text in self.crashes[:3]:
            yield f"seed {seed} did not end: {text}"
        rules = Counter(violation.rule for _, violation in self.violations)
        yield f"violations: {len(self.violations)} in {len({seed for seed, _ in self.violations})} seeds"
        for rule, count in rules.most_common():
            seeds = sorted({seed for seed, violation in self.violations if violation.rule == rule})
            yield f"  {rule}: {count}, in seeds {', '.join(map(str, seeds[:10]))}"


@dataclass(frozen=True)
class Crash:
    """A run that did not end as it should."""

    seed: int
    text: str


_template: list[Template] = []


def _run(seed: int) -> Result | Crash:
    try:
        result = run_seed(seed, _template[0])
    except Exception:  # noqa: BLE001 - one seed must not end the campaign
        return Crash(seed, traceback.format_exc(limit=-4))
    result.story = []  # a failing seed is run again for its story
    return result


def run_campaign(
    seeds: Iterable[int], processes: int, progress: Callable[[Campaign], None], earlier: Campaign | None = None
) -> Campaign:
    """Run seeds on several processes, and add them to what earlier runs have shown."""
    campaign = earlier or Campaign()
    _template[:] = [new_template()]
    try:
        for result in _results(seeds, processes):
            campaign.add(result)
            progress(campaign)
    finally:
        shutil.rmtree(_template[0].folder, ignore_errors=True)
    return campaign


def _results(seeds: Iterable[int], processes: int) -> Iterator[Result | Crash]:
    if processes == 1:
        yield from map(_run, seeds)
        return
    # A forked process has the template already, and leaves no folder of its own behind when the pool ends it.
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        yield from pool.imap_unordered(_run, seeds, chunksize=4)


def tell_seed(seed: int, only: Sequence[int] = ()) -> str:
    """Run a seed again, and return the shortest story that shows its first violation."""
    template = new_template()
    try:
        result = run_seed(seed, template, only=only)
        if not result.violations:
            return f"Seed {seed} keeps every promise. Its trace is {result.trace}."
        violation, numbers = result.violations[0], list(only)
        if not only:
            # Often one of the situations is enough.
            for number in range(SITUATIONS_A_SEED + 1):
                shorter = run_seed(seed, template, only=[number])
                same = [item for item in shorter.violations if item.rule == violation.rule]
                if same:
                    result, violation, numbers = shorter, same[0], [number]
                    break
        command = f"make simulate SEED={seed}" + (f" ONLY={numbers[0]}" if numbers else "")
        return tell(result, violation, command)
    finally:
        shutil.rmtree(template.folder, ignore_errors=True)
