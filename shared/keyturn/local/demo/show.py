"""How the demo looks: progress while it runs, and a summary that a person enjoys; or one JSON object."""

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

from keyturn.local.demo.stage import raised
from keyturn.local.demo.story import Story, acks_of
from keyturn.local.errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from keyturn.local.demo.story import Told

TOTAL_SECONDS = 20.0
"""What the timeline is drawn for: a little longer than the story takes."""


class Screen:
    """Steps as they happen, and below them the timeline, alive."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._done: list[tuple[str, float | None]] = []
        self.story: Story | None = None

    def observe(self, name: str, seconds: float | None) -> None:
        """Take in that a step began (no seconds yet) or is done."""
        if seconds is None:
            self._done.append((name, None))
            return
        began = max(place for place, (kept, took) in enumerate(self._done) if kept == name and took is None)
        self._done[began] = (name, seconds)  # a step may have begun within another one
        if not self._console.is_terminal:
            self._console.print(_line(name, seconds), soft_wrap=True)

    def __rich__(self) -> Group:
        """Return what stands on the screen now."""
        parts: list[Any] = [_line(name, seconds) for name, seconds in self._done]
        timeline = self.story.told.timeline if self.story else None
        return Group(*parts, Text(), timeline.drawn(TOTAL_SECONDS)) if timeline else Group(*parts)


def _line(name: str, seconds: float | None) -> Text:
    if seconds is None:
        return Text.assemble(("  … ", "cyan"), name)
    return Text.assemble(("  ✓ ", "green"), name, (f"  {seconds:.2f} s", "dim"))


def run(keep: Path | None, *, as_json: bool, emulators: bool = False) -> None:
    """Run the demo; `keep` is a new or empty folder that stays. `LocalError` if it does not come out well."""
    console = Console(stderr=as_json, highlight=False)
    if not as_json:
        console.print(Text("\nkeyturn demo: an API credential turned over without downtime\n", style="bold"))
    with _folder(keep) as folder, raised(Path(folder), emulators=emulators) as stage:
        screen = Screen(console)
        screen.story = Story(stage, screen.observe)
        with Live(screen, console=console, refresh_per_second=8) if _lively(console, as_json) else nullcontext():
            told = screen.story.run()
    if as_json:
        print(json.dumps(summary(told)))  # noqa: T201 - the one object that --json promises
    else:
        _summarise(console, told, keep)


def _lively(console: Console, as_json: bool) -> bool:  # noqa: FBT001 - two facts about the output
    return console.is_terminal and not as_json


def _folder(keep: Path | None) -> AbstractContextManager[str]:
    if keep is None:
        return tempfile.TemporaryDirectory(prefix="keyturn-demo-")
    if keep.exists() and any(keep.iterdir()):
        raise LocalError("The folder to keep the demo in is not empty.", "Name a new one: --keep DIR.")
    keep.mkdir(mode=0o700, parents=True, exist_ok=True)
    return nullcontext(str(keep))


def summary(told: Told) -> Mapping[str, Any]:
    """Return what the demo found out, as one JSON object."""
    return {
        "rotations": [
            {
                **{name: item[name] for name in ("rotation_id", "client_id", "phase", "outcome")},
                "version_id": item["new_version"],
                "acks": [{"user": ack["user"], "receipt": ack["receipt"]} for ack in acks_of(item)],
            }
            for item in told.rotations
        ],
        "steps": [{"step": name, "seconds": round(seconds, 3)} for name, seconds in told.steps],
        "proofs": list(told.proofs),
        "refused": dict(told.refused),
        "moments_without_an_accepted_secret": told.timeline.gaps if told.timeline else None,
        "unanswered_requests": told.timeline.unanswered if told.timeline else None,
        "plaintext_at_rest": {"found": told.plaintext_found, "control_found": told.control_found},
        "doctor": told.doctor,
        "seconds": round(told.seconds, 3),
    }


def _summarise(console: Console, told: Told, keep: Path | None) -> None:
    if told.timeline and not console.is_terminal:
        console.print()
        console.print(told.timeline.drawn(TOTAL_SECONDS), soft_wrap=True)
    table = Table("ROTATION", "OUTCOME", "ACKNOWLEDGED BY", "RECEIPT", box=None, pad_edge=False, header_style="bold")
    for rotation in told.rotations:
        for ack in acks_of(rotation):
            table.add_row(rotation["rotation_id"], rotation["outcome"], ack["user"], f"{ack['receipt'][:22]}…")
    console.print()
    console.print(table)
    console.print()
    for sentence in _findings(told):
        console.print(Text.assemble(("  ✓ ", "green"), sentence), soft_wrap=True)
    where = f"  kept in {keep}" if keep else "  nothing of it is left; --keep DIR keeps the folder"
    console.print(Text(f"\n{where}\n", style="dim"))


def _findings(told: Told) -> list[str]:
    asked = sum(len(samples) for samples in told.timeline.samples.values()) if told.timeline else 0
    unanswered = told.timeline.unanswered if told.timeline else 0
    factors = sorted({factor for proof in told.proofs for factor in proof["amr"]})
    return [
        f"{len(told.proofs)} proofs by {', '.join(factors)}; refused: {', '.join(told.refused)}",
        f"{asked} requests of an integrator meanwhile, {unanswered} unanswered, no moment without an accepted secret",
        "audit chain verified, every invariant holds",
        f"plaintext at rest: {told.plaintext_found} bytes found, control found",
        f"from nothing to retired in {told.seconds:.1f} s",
    ]
