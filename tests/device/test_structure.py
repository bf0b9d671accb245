"""The structure of the device: few modules take part in an acknowledgement, and imports have few levels."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import keyturn.device
import pytest

from tests.scenarios.people import Person
from tests.world import CLIENT, GROUP, World

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

PACKAGE = "keyturn.device"
FOLDER = Path(keyturn.device.__file__).parent
MOST_MODULES = 8
MOST_LEVELS = 8


def calls_between_modules(action: Callable[[], object]) -> list[tuple[str, str]]:
    """Return (calling module, called module) for each Python call that enters a module of the device."""
    calls: list[tuple[str, str]] = []

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        module = str(frame.f_globals.get("__name__"))
        if event == "call" and module.startswith(PACKAGE):
            calls.append((str(frame.f_back.f_globals.get("__name__")) if frame.f_back else "", module))

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.world
def test_an_acknowledgement_passes_at_most_eight_modules_and_enters_the_facade_once(world: World) -> None:
    """Counts modules of keyturn.device. MLS, proofs, encodings and private files are libraries to it.

    The device has read its notice, and its client requires no admin proof, which would add the attestation modules.
    The home keeps a rollback counter, as the command line's does.
    """
    alice = Person(world, "alice").join()
    rotation_id = str(alice.device.rotate(CLIENT, "routine")["rotation_id"])
    world.pump()
    alice.device.catch_up()

    calls = calls_between_modules(lambda: alice.device.ack(rotation_id))

    assert alice.device.notice(rotation_id).acked_at is not None
    modules = {called.removeprefix(f"{PACKAGE}.") for _, called in calls}
    assert modules >= {"device", "groups.outbox", "home.home"}  # the profile sees them
    assert len(modules) <= MOST_MODULES, sorted(modules)
    facade = f"{PACKAGE}.device"
    assert sum(called == facade and caller != facade for caller, called in calls) == 1
    assert alice.device.memberships()[0].group_id == GROUP


def imports() -> dict[str, set[str]]:
    """Return the modules of the device that each of its modules imports, those for type checking included."""
    modules = {
        ".".join((PACKAGE, *path.relative_to(FOLDER).with_suffix("").parts)): path
        for path in FOLDER.rglob("*.py")
        if path.name != "__init__.py"
    }
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        graph[module] = names & modules.keys()
    return graph


def test_imports_have_at_most_eight_levels_and_no_circle() -> None:
    graph = imports()

    @cache
    def level(module: str) -> int:
        return 1 + max(
            (level(imported) for imported in graph[module]), default=0
        )  # a circle never ends: RecursionError

    levels = {module: level(module) for module in graph}
    assert max(levels.values()) <= MOST_LEVELS, sorted(levels.items(), key=lambda item: item[1])
    assert levels[f"{PACKAGE}.device"] == max(levels.values())  # nothing is above the facade
