"""One run: a seed, a deployment, and what the oracle says about it."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import process_time
from typing import TYPE_CHECKING

from tests.simulation.deployment import Deployment
from tests.simulation.director import Director
from tests.simulation.kinds import kinds_of
from tests.simulation.oracle import Oracle
from tests.simulation.people import Person
from tests.simulation.scheduler import Signal
from tests.simulation.situations import Situation, targets
from tests.simulation.stage import CLIENTS, FRESH, GROUP, USERS, Stage
from tests.simulation.trials import TRIALS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Mapping, Sequence

    from tests.simulation.deployment import Saved
    from tests.simulation.faults import Fault
    from tests.simulation.oracle import Violation

SITUATIONS_A_SEED = 3
TRIAL_EVERY = 3
LONGEST_SECONDS = 40 * 86_400.0


@dataclass
class Result:
    """What a run has shown."""

    seed: int
    violations: list[Violation]
    filled: set[Situation]
    targets: list[Situation]
    faults: Counter[Fault]
    calls: Counter[str]
    counts: dict[str, int]
    steps: int
    attempts: int
    seconds: float
    trace: str
    kinds: set[str]
    """The kinds of documents that were written, by the pattern of their paths."""
    story: list[tuple[float, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Template:
    """A deployment with people and clients, from which every run starts."""

    folder: Path
    users: Sequence[str]
    saved: Saved
    statuses: Mapping[str, list[tuple[float, str]]]
    deliveries: Sequence[Mapping[str, object]]
    kinds: set[str]


def temporary_folder() -> Path:
    """Return a new folder, in memory where the system has one: homes are written often."""
    memory = Path("/dev/shm")  # noqa: S108 - a new folder with a random name, only for its owner
    parent = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="keyturn-simulation-", dir=parent))


def carry_out(deployment: Deployment, act: Callable[[], None]) -> None:
    """Run something as a task, and everything that follows from it."""
    done = Signal(deployment.scheduler)

    def run() -> None:
        try:
            act()
        finally:
            done.fire()

    deployment.scheduler.spawn("director", run)
    deployment.scheduler.run_until(done, LONGEST_SECONDS)
    if deployment.scheduler.failures:
        name, error = deployment.scheduler.failures[0]
        raise RuntimeError(name) from error
    if not done.is_set:
        raise RuntimeError("the run did not end")


def new_template(users: Sequence[str] = USERS, clients: Sequence[str] = CLIENTS) -> Template:
    """Found a group with its people and clients, each client with a first secret."""
    folder = temporary_folder()
    deployment = Deployment(Random(0), folder)
    oracle = deployment.oracle = Oracle(deployment.keys.mac.sign)
    people = {user: Person(deployment, oracle, user, folder) for user in users}
    stage = Stage(deployment, oracle, people, folder)
    carry_out(deployment, lambda: _found(stage, clients))
    template = Template(
        folder,
        users,
        deployment.save(),
        deployment.statuses(),
        [vars(item) | {"user": ""} for item in oracle.deliveries.values()],
        kinds_of([item.path for item in deployment.written]),
    )
    deployment.close()
    return template


def _found(stage: Stage, clients: Sequence[str]) -> None:
    deployment = stage.deployment
    assert deployment.operate("/groups", {"group_id": GROUP})[0] == 200
    for user, person in stage.people.items():
        person.create()
        code = str(deployment.operate("/invites", {"user": user, "group_id": GROUP})[1]["code"])
        person.device.join(code)
    for client_id in clients:
        assert deployment.operate("/clients", {"client_id": client_id, "groups": [GROUP]})[0] == 200
        person = next(iter(stage.people.values()))
        outcome = stage.rotate(person, client_id)
        assert outcome.is_accepted, outcome
        assert stage.wait_for(lambda: stage.phase(client_id) == "distributed", 60)  # noqa: B023 - called now
        assert person.acknowledge(str(outcome.answer["rotation_id"])).is_accepted
        stage.sweep()
    for person in stage.people.values():
        person.read_inbox()


def trial_of(seed: int) -> str:
    """Return the trial that a seed plays after its situations, or nothing: one seed in three plays one."""
    number, rest = divmod(seed, TRIAL_EVERY)
    return list(TRIALS)[number % len(TRIALS)] if rest == 0 else ""


def run_seed(
    seed: int,
    template: Template,
    cells: Sequence[Situation] | None = None,
    only: Sequence[int] = (),
    trial: str | None = None,
) -> Result:
    """Run one seed: its own situations and trial, or others. `only` names by their place those to play."""
    began = process_time()
    folder = temporary_folder()
    chosen = list(cells) if cells is not None else targets(seed, SITUATIONS_A_SEED)
    trial = trial_of(seed) if trial is None else trial
    if only:
        trial = trial if len(chosen) in only else ""
        chosen = [cell for number, cell in enumerate(chosen) if number in only]
    shutil.copytree(template.folder, folder, dirs_exist_ok=True)
    deployment = Deployment(Random(seed), folder)
    try:
        oracle = deployment.oracle = Oracle(deployment.keys.mac.sign)
        deployment.load(template.saved)
        deployment.load_statuses(template.statuses)
        for path, document in template.saved.documents["control"].items():
            oracle.note_document(path, document.data, 0.0)
        for delivery in template.deliveries:
            oracle.note_delivery(delivery)
        people = {user: Person(deployment, oracle, user, folder).open() for user in template.users}
        director = Director(Stage(deployment, oracle, people, template.folder))
        carry_out(deployment, lambda: _play(director, chosen, trial))
        _judge(deployment, oracle)
        return Result(
            seed=seed,
            violations=oracle.violations,
            filled=director.filled,
            targets=chosen,
            faults=deployment.faults,
            calls=deployment.calls,
            counts=dict(oracle.counts),
            steps=deployment.scheduler.steps,
            attempts=director.attempts,
            seconds=process_time() - began,
            trace=deployment.trace(),
            kinds=kinds_of([item.path for item in deployment.written]) | template.kinds,
            story=deployment.story,
        )
    finally:
        deployment.close()
        shutil.rmtree(folder, ignore_errors=True)


def _play(director: Director, cells: Sequence[Situation], trial: str) -> None:
    clients = list(CLIENTS)
    director.stage.random.shuffle(clients)
    for client_id in CLIENTS:
        director.stage.check_all(client_id, FRESH)
    for cell, client_id in zip(cells, clients, strict=False):
        director.play(cell, client_id)
    if trial:
        director.stage.note(f"--- {trial}")
        TRIALS[trial](director.stage, clients[::-1])


def _judge(deployment: Deployment, oracle: Oracle) -> None:
    now = deployment.scheduler.now
    control = deployment.databases["control"]
    oracle.judge_audit({path: item.data or {} for path, item in control._documents.items()}, now)
    texts = [*deployment.texts]
    texts += [(f"the stored document {item.path}", repr(item.data)) for item in deployment.written]
    oracle.judge_plaintext(deployment.drawn, texts, now)
