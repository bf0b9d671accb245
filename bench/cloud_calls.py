"""Records each call to a cloud store or key service: its name, its arguments and the time of its answer."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class CloudCall:
    """One answered call. `at` is its time (time.perf_counter, seconds), `repeat` makes the same call again."""

    name: str
    at: float
    arguments: tuple[Any, ...] = field(repr=False)
    repeat: Callable[[], object] = field(repr=False)


class Noted:
    """Stands before a store, a bus or the calls of KMS, and notes in `calls` each one that was answered."""

    def __init__(self, inner: object, calls: list[CloudCall]) -> None:
        self._inner = inner
        self._calls = calls

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever stands behind
        call = getattr(self._inner, name)
        if not callable(call):
            return call

        def noted(*arguments: Any, **named: Any) -> object:  # noqa: ANN401 - passed on
            arguments_copy = tuple(tuple(item) if hasattr(item, "__next__") else item for item in arguments)
            repeat = partial(call, *arguments_copy, **named)
            answer: object = repeat()
            self._calls.append(CloudCall(name, time.perf_counter(), arguments_copy, repeat))
            return answer

        return noted
