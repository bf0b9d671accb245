"""The output of the demo: progress while it runs and a readable summary, or one JSON object."""

from __future__ import annotations

import json
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from keyturn.local.demo.scenario import Scenario, acks_of
from keyturn.local.demo.suite_process import start_suite
from keyturn.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from keyturn.local.demo.scenario import DemoResults
    from keyturn.local.options import PathForm

TOTAL_SECONDS = 20.0
"""The width of the timeline: a little longer than the scenario takes."""


INTRODUCTION = """\
  Three admins rotate the secret of the API client acme-billing. A new secret becomes the current one only after two
  admins have acknowledged that they hold it. The old one then keeps working for a grace period.
"""
LEGEND = """\
      █ current   ▒ accepted during grace   · refused"""


class Screen:
    """The steps as they happen, and below them the growing timeline."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: list[tuple[str, float | None]] = []
        self.scenario: Scenario | None = None

    def observe(self, name: str, seconds: float | None) -> None:
        """Record that a step began (`seconds` is None) or ended."""
        if seconds is None:
            self._steps.append((name, None))
            return
        # The step is not always the last one, because another one may have begun within it.
        index = max(index for index, step in enumerate(self._steps) if step == (name, None))
        self._steps[index] = (name, seconds)
        if not self._console.is_terminal:
            self._console.print(_line(name, seconds), soft_wrap=True)

    def __rich__(self) -> Group:
        """Return the current content of the screen."""
        lines: list[Any] = [_line(name, seconds) for name, seconds in self._steps]
        timeline = self.scenario.results.timeline if self.scenario else None
        return Group(*lines, Text(), timeline.draw(TOTAL_SECONDS)) if timeline else Group(*lines)


def _line(name: str, seconds: float | None) -> Text:
    if seconds is None:
        return Text.assemble(("  … ", "cyan"), name)
    return Text.assemble(("  ✓ ", "green"), name, (f"  {seconds:.2f} s", "dim"))


def run(keep: Path | None, *, as_json: bool, on_emulators: PathForm | None = None) -> None:
    """Run the demo, perhaps on Google's emulators with paths of that form. `LocalError` if it fails.

    `keep` is a new or empty folder for its files.
    """
    console = Console(stderr=as_json, highlight=False)
    if not as_json:
        console.print(Text("\nkeyturn demo: rotate an API credential without downtime\n", style="bold"))
        console.print(Text(INTRODUCTION, style="dim"), soft_wrap=True)
    with _folder(keep) as folder, start_suite(Path(folder), on_emulators=on_emulators) as stage:
        screen = Screen(console)
        screen.scenario = Scenario(stage, screen.observe)
        with Live(screen, console=console, refresh_per_second=8) if _is_live(console, as_json) else nullcontext():
            results = screen.scenario.run()
    if as_json:
        print(json.dumps(summary(results)))  # noqa: T201 - the one object that --json promises
    else:
        _print_summary(console, results, keep)


def _is_live(console: Console, as_json: bool) -> bool:  # noqa: FBT001 - two properties of the output
    return console.is_terminal and not as_json


def _folder(keep: Path | None) -> AbstractContextManager[str]:
    if keep is None:
        return tempfile.TemporaryDirectory(prefix="keyturn-demo-")
    if keep.exists() and any(keep.iterdir()):
        raise LocalError("The folder for the demo's files is not empty.", "Choose a new one with --keep DIR.")
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    return nullcontext(str(keep))


def summary(results: DemoResults) -> Mapping[str, Any]:
    """Return the results as one JSON object."""
    return {
        "rotations": [
            {
                **{name: item[name] for name in ("rotation_id", "client_id", "phase", "outcome")},
                "version_id": item["new_version"],
                "acks": [{"user": ack["user"], "receipt": ack["receipt"]} for ack in acks_of(item)],
            }
            for item in results.rotations
        ],
        "steps": [{"step": name, "seconds": round(seconds, 3)} for name, seconds in results.steps],
        "proofs": list(results.proofs),
        "refused": dict(results.refusals),
        "moments_without_an_accepted_secret": results.timeline.gaps if results.timeline else None,
        "unanswered_requests": results.timeline.unanswered if results.timeline else None,
        "plaintext_at_rest": {"found": results.plaintext_found, "control_found": results.control_found},
        "doctor": results.doctor,
        "seconds": round(results.seconds, 3),
    }


def _print_summary(console: Console, results: DemoResults, keep: Path | None) -> None:
    if results.timeline and not console.is_terminal:
        console.print()
        console.print(results.timeline.draw(TOTAL_SECONDS), soft_wrap=True)
    console.print(Text(LEGEND, style="dim"), soft_wrap=True)
    table = Table("ROTATION", "OUTCOME", "ACKNOWLEDGED BY", "RECEIPT", box=None, pad_edge=False, header_style="bold")
    for rotation in results.rotations:
        for ack in acks_of(rotation):
            table.add_row(rotation["rotation_id"], rotation["outcome"], ack["user"], f"{ack['receipt'][:22]}…")
    console.print()
    console.print(table)
    console.print()
    for sentence in _findings(results):
        console.print(Text.assemble(("  ✓ ", "green"), sentence), soft_wrap=True)
    where = f"  The files are in {keep}." if keep else "  All files of the demo were deleted. --keep DIR keeps them."
    console.print(Text(f"\n{where}\n", style="dim"))


def _findings(results: DemoResults) -> list[str]:
    timeline = results.timeline
    checks = sum(len(samples) for samples in timeline.samples.values()) if timeline else 0
    unanswered = timeline.unanswered if timeline else 0
    factors = sorted({factor for proof in results.proofs for factor in proof["amr"]})
    return [
        f"An integrator checked secrets {checks} times ({unanswered} without an answer).",
        "At every moment at least one secret was accepted.",
        f"Admins proved themselves {len(results.proofs)} times, each time by {', '.join(factors)}.",
        f"The server refused {', '.join(results.refusals)}.",
        "The audit chain is intact and every invariant holds (`keyturn doctor`).",
        f"Secrets found in plaintext on disk: {results.plaintext_found}. The search did find a planted one.",
        f"From an empty folder to a retired secret in {results.seconds:.1f} s.",
    ]
