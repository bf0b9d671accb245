"""Runs the rows, prints them as a table, and writes them as JSON: name → ratio, limit, holds, and what was measured."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.rows import Row


def main(rows: Sequence[Row], result: Path, console: Console | None = None) -> int:
    """Run all rows, show them, write `result`; return the exit status: 0 if all hold, 1 if one does not."""
    console = console or Console()
    found: dict[str, dict[str, float | bool]] = {}
    for row in rows:
        with console.status(row.name):
            found[row.name] = _run(row)
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    console.print(_table(found))
    return 0 if all(item["holds"] for item in found.values()) else 1


def _run(row: Row) -> dict[str, float | bool]:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="keyturn-bench-") as folder:
        measured = row.measure(Path(folder))
    return {
        "ratio": measured.ratio,
        "limit": row.limit,
        "holds": row.holds(measured.ratio),
        **measured.parts,
        "row_seconds": time.perf_counter() - began,
    }


def _table(found: Mapping[str, Mapping[str, float | bool]]) -> Table:
    table = Table("", "ratio", "limit", "holds", "measured", title="keyturn bench")
    for name, item in found.items():
        rest = {key: value for key, value in item.items() if key not in {"ratio", "limit", "holds"}}
        holds = "[green]yes[/]" if item["holds"] else "[red]no[/]"
        parts = "\n".join(f"{key} {value:,.4g}" if value % 1 else f"{key} {value:,.0f}" for key, value in rest.items())
        table.add_row(name, f"{item['ratio']:.3f}", f"{item['limit']:g}", holds, parts)
        table.add_section()
    return table
