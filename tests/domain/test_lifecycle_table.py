"""The table and the drawing of the lifecycle agree with each other, and with the commands and guards."""

from __future__ import annotations

import inspect
import re

import pytest
from keyturn.domain import commands, effects, guards, lifecycle
from keyturn.domain.lifecycle import TABLE
from keyturn.domain.model import ClientStatus, Outcome, Phase, VersionState

DRAWING = (lifecycle.__doc__ or "").split("Rules:")[0]
WORDS = set(re.findall(r"[a-z_]+", DRAWING))
CONCRETE = {
    kind
    for kind in vars(commands).values()
    if inspect.isclass(kind) and kind.__module__ == commands.__name__ and kind is not commands.AdminCommand
}


def _public(module: object, returns: str) -> set[str]:
    functions = inspect.getmembers(module, inspect.isfunction)
    return {
        name
        for name, function in functions
        if function.__module__ == getattr(module, "__name__", "")
        and not name.startswith("_")
        and str(function.__annotations__["return"]) == returns
    }


def _verb(kind: type) -> str:
    return str(re.findall(r"[A-Z][a-z]+", kind.__name__)[0]).lower()


def test_the_table_covers_exactly_the_commands() -> None:
    assert set(TABLE) == CONCRETE
    assert set(re.findall(r"[A-Z]\w+", str(vars(commands)["Command"]))) == {kind.__name__ for kind in CONCRETE}


@pytest.mark.parametrize("kind", [*Phase, *Outcome, *VersionState, *ClientStatus])
def test_the_drawing_names_every_state(kind: str) -> None:
    assert kind in WORDS


@pytest.mark.parametrize("verb", sorted({_verb(kind) for kind in TABLE}))
def test_the_drawing_names_every_verb(verb: str) -> None:
    assert verb in WORDS


def test_the_drawing_names_nothing_else() -> None:
    states = {str(kind) for kind in (*Phase, *Outcome, *VersionState, *ClientStatus)}
    verbs = {_verb(kind) for kind in TABLE} | {"promote", "expire", "superseded"}
    prose = set(re.findall(r"[a-z_]+", DRAWING.splitlines()[0]))
    labels = {"rotation", "version", "client", "until", "quorum", "final"}
    assert WORDS - prose <= states | verbs | labels


def test_every_guard_is_used_by_a_row() -> None:
    used = {guard.__name__ for row in TABLE.values() for guard in row.guards}
    assert used == _public(guards, "None")


def test_every_effect_is_used_by_a_row() -> None:
    used = {row.effect.__name__ for row in TABLE.values()}
    assert used == _public(effects, "Sequence[Step]")


def test_a_guard_stands_once_in_a_row() -> None:
    for row in TABLE.values():
        assert len(row.guards) == len(set(row.guards))


def test_only_an_admins_command_needs_a_second_person() -> None:
    never = lifecycle.Row.__dataclass_fields__["second_person"].default
    kinds = {kind for kind, row in TABLE.items() if row.second_person is not never}
    assert kinds == {commands.Retire, commands.RevokeVersion, commands.RevokeClient}


def test_every_admins_command_first_requires_authorisation() -> None:
    for kind, row in TABLE.items():
        if issubclass(kind, commands.AdminCommand):
            assert row.guards[0] is guards.authorised
