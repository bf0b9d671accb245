"""A use case in the table of unknown outcomes, and the deployment that it runs in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tests.lossy_store import Faults, LossyStore
from tests.world import World, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Call: TypeAlias = Callable[[], object]
Prepare: TypeAlias = Callable[[World], Call]
STORES = ("control", "auth", "usage")
Route = tuple[str, str, str]
"""A function, a method and a path, as the route tables have them."""


@dataclass(frozen=True)
class Row:
    """One use case. `prepare` returns the call, which can be made again after the stores were set back."""

    prepare: Prepare
    route: Route | None = None
    attested: bool = False
    founded: bool = True
    status: int = 200


@contextmanager
def prepared(row: Row, folder: Path, kind: str = "memory", **options: object) -> Iterator[tuple[World, Call, Faults]]:
    """Provide a world for a row, its call, and the faults of all three stores."""
    with opened(folder, kind, attested=row.attested, **options) as world:
        if row.founded:
            world.found(*(() if row.attested else ("alice", "bob")))
        call = row.prepare(world)
        yield world, call, lossy(world)


def lossy(world: World) -> Faults:
    """Put all stores of a world on a list of faults."""
    faults = Faults()
    for name in STORES:
        setattr(world, name, LossyStore(getattr(world, name), faults))
    world.serve()
    return faults
