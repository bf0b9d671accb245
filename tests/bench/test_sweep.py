from __future__ import annotations

from typing import TYPE_CHECKING

from bench.sweep import Swept

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sweep_settles_what_is_due_and_can_be_repeated(tmp_path: Path) -> None:
    swept = Swept.of(tmp_path, 40, 10)
    assert len(swept.due) == 10
    swept.sweep()  # the first one wires what it needs
    assert swept.sweep() > 0
    first = swept.store.counted()
    assert first["commit"] == 10
    swept.sweep()
    assert swept.store.counted() == first


def test_reads_are_the_same_among_more_clients(tmp_path: Path) -> None:
    counts = []
    for clients in (40, 160):
        folder = tmp_path / str(clients)
        folder.mkdir()
        swept = Swept.of(folder, clients, 10)
        # The same clients in both: which shard they are in decides nothing then.
        swept = Swept(swept.suite, swept.store, tuple(f"client-{number:06d}" for number in range(10)))
        swept.sweep()
        counts.append(swept.store.counted())
    assert counts[0] == counts[1]
