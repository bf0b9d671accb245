"""A store that loses the answer to one commit: it was applied, or it was not, and the caller cannot know."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from keyturn.ports.store import LostRace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from types import FrameType

    from keyturn.ports.store import Snapshot, Store, Write


class Faults:
    """Numbers the commits of several stores. Number `at` raises `LostRace`, after it was `applied` or instead."""

    def __init__(self) -> None:
        self.at, self.applied, self.count, self.failures = -1, False, 0, 0
        self.callers: set[tuple[str, str]] | None = None
        """The functions of the package (module, name) that were on the stack of a commit, if they are collected."""

    def start(self, at: int, *, applied: bool, failures: int = 0) -> None:
        """Count from 0 again, and lose the answer to commit number `at`, none if it is negative.

        As many commits before it as `failures` are not applied.
        """
        self.at, self.applied, self.count, self.failures = at, applied, 0, failures


class LossyStore:
    """A store on a list of faults."""

    def __init__(self, inner: Store, faults: Faults) -> None:
        self._inner, self._faults = inner, faults

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the store has
        return getattr(self._inner, name)

    def commit(self, writes: Sequence[Write], *, basis: Snapshot | None = None) -> datetime:
        faults = self._faults
        number, faults.count = faults.count, faults.count + 1
        if faults.callers is not None:
            faults.callers.update(callers())
        fails = faults.at - faults.failures <= number < faults.at
        if fails or (number == faults.at and not faults.applied):
            raise LostRace("the answer was lost, and the commit before it")
        at = self._inner.commit(writes, basis=basis)
        if number == faults.at:
            raise LostRace("the answer was lost")
        return at


def callers() -> Iterator[tuple[str, str]]:
    """Yield module and name of each function of the package on the stack."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__"))
        if module.startswith("keyturn."):
            yield module, frame.f_code.co_qualname.replace(".<locals>", "")
        frame = frame.f_back
