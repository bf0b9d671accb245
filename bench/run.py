"""Runs the rows, prints them as a table, and writes them as JSON: name → ratio, limit, holds, measured parts.

A row that cannot run here is written with `not_run`, the reason, and neither `ratio` nor `holds`.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.table import Table

from bench.rows import NotRunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.rows import Row

Found: TypeAlias = "dict[str, float | bool | str]"
"""The outcome of one row, by name. `limit_is` is the kind of limit: `most`, `least` or `exact`."""
_SIGNS = {"most": "≤", "least": "≥", "exact": "="}
_COLUMNS = {"ratio", "limit", "limit_is", "holds"}


def main(rows: Sequence[Row], result: Path, console: Console | None = None) -> int:
    """Run all rows, print them, write `result`. Return the exit status: 1 if one that ran does not hold, else 0."""
    console = console or Console()
    outcomes: dict[str, Found] = {}
    for row in rows:
        with console.status(row.name):
            outcomes[row.name] = _run(row)
    result.parent.mkdir(parents=True, exist_ok=True)
    result.write_text(json.dumps(outcomes, indent=2) + "\n", encoding="utf-8")
    console.print(_table(outcomes))
    return 0 if all(item.get("holds", True) for item in outcomes.values()) else 1


def _run(row: Row) -> Found:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="keyturn-bench-") as folder:
        try:
            measured = row.measure(Path(folder))
        except NotRunError as reason:
            return {"limit": row.limit, "limit_is": row.limit_is, "not_run": str(reason)}
    return {
        "ratio": measured.ratio,
        "limit": row.limit,
        "limit_is": row.limit_is,
        "holds": row.holds(measured.ratio),
        **measured.parts,
        "row_seconds": time.perf_counter() - began,
    }


def _table(outcomes: Mapping[str, Found]) -> Table:
    table = Table("", "ratio", "limit", "holds", "measured", title="keyturn bench")
    for name, item in outcomes.items():
        table.add_row(name, *_cells(item))
        table.add_section()
    return table


def _cells(item: Found) -> tuple[str, str, str, str]:
    limit = f"{_SIGNS[str(item['limit_is'])]} {item['limit']:g}"
    if "not_run" in item:
        return "", limit, "[yellow]not run[/]", str(item["not_run"])
    rest = {key: float(value) for key, value in item.items() if key not in _COLUMNS}
    holds = "[green]yes[/]" if item["holds"] else "[red]no[/]"
    parts = "\n".join(f"{key} {value:,.4g}" if value % 1 else f"{key} {value:,.0f}" for key, value in rest.items())
    return f"{item['ratio']:.3f}", limit, holds, parts
