"""Calls of the cloud, noted on their way: what was asked of a store or of the keys, and when it was answered."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class CloudCall:
    """One answered call; `at` is when (time.perf_counter, seconds), `again` makes the same one."""

    name: str
    at: float
    arguments: tuple[Any, ...] = field(repr=False)
    again: Callable[[], object] = field(repr=False)


class Noted:
    """Stands before a store, a bus or the calls of KMS, and notes in `calls` each one that was answered."""

    def __init__(self, inner: object, calls: list[CloudCall]) -> None:
        self._inner = inner
        self._calls = calls

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever stands behind
        call = getattr(self._inner, name)

        def noted(*arguments: Any) -> object:  # noqa: ANN401 - passed on
            kept = tuple(tuple(item) if hasattr(item, "__next__") else item for item in arguments)
            answer: object = call(*kept)
            self._calls.append(CloudCall(name, time.perf_counter(), kept, lambda: call(*kept)))
            return answer

        return noted
