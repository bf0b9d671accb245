"""The story of a run, for people who know the protocol and nothing of the simulator."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.simulation.oracle import clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.simulation.oracle import Violation
    from tests.simulation.run import Result

_SUFFIX = re.compile(r"\b(version|rotation) ([0-9A-HJKMNP-TV-Z]{6})\b")
_ID = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{20}([0-9A-HJKMNP-TV-Z]{6})\b")
_VERDICT = re.compile(r"^verifier-\d (accepts|refuses)")


def tell(result: Result, violation: Violation, command: str) -> str:
    """Return the story of one violation: what was promised, what was seen, and everything that led to it."""
    names = _Names()
    lines = list(_relevant(result.story, violation))
    told = [f"  {clock(at)}  {names.shorten(line)}" for at, line in lines]
    return "\n".join(
        [
            f"Seed {result.seed} breaks the promise: {violation.rule}.",
            f"Seen at {clock(violation.at)}: {names.shorten(violation.sentence)}.",
            "What happened, in virtual time:",
            *told,
            f"Run it again: {command}",
        ]
    )


def _relevant(story: Sequence[tuple[float, str]], violation: Violation) -> Iterator[tuple[float, str]]:
    """Yield the lines up to the violation that concern its client, without verdicts that repeat the one before."""
    client = next((name for name in _clients(story) if re.search(rf"\b{name}\b", violation.sentence)), "")
    verdicts: dict[str, str] = {}
    is_concerned = not client
    for at, line in story:
        if at > violation.at:
            return
        if line.startswith("--- "):
            # A trial is about several clients, and its line names none.
            is_concerned = not client or line.startswith(f"--- {client}:") or ":" not in line
        if not is_concerned or line == "log":
            continue
        if _VERDICT.match(line):
            # Which of the verifiers says it makes no difference as long as all say the same.
            about, verdict = line.partition(" version ")[2], line.split()[1]
            if verdicts.get(about) == verdict:
                continue
            verdicts[about] = verdict
        yield at, line


def _clients(story: Sequence[tuple[float, str]]) -> set[str]:
    return {line[4:].partition(":")[0] for _, line in story if line.startswith("--- ")}


class _Names:
    """Short names for ids, in the order in which they appear."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def shorten(self, line: str) -> str:
        """Return a line with `version 1` in place of the end of an id."""
        line = _ID.sub(lambda found: self._name("id", found.group(1)), line)
        return _SUFFIX.sub(lambda found: self._name(found.group(1), found.group(2)), line)

    def _name(self, kind: str, suffix: str) -> str:
        return self._known.setdefault(suffix, f"{'version' if kind == 'version' else kind} {suffix[-3:]}")
