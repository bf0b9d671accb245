"""Ports that a process can die at: every call is numbered, and one of them can be the last, or go wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keyturn.adapters.mls.groups import MlsSession

if TYPE_CHECKING:
    from collections.abc import Callable


class Died(BaseException):  # what no `except Exception` survives
    """The process was killed."""


@dataclass
class Wire:
    """Counts the calls of all its ports; call number `at` raises `error`, before it does anything or `after` it did."""

    at: int = -1
    after: bool = False
    error: type[BaseException] = Died
    calls: list[str] = field(default_factory=list)

    def around(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - what the port returns
        number = len(self.calls)
        self.calls.append(name)
        if number == self.at and not self.after:
            raise self.error
        result = call()
        if number == self.at:
            raise self.error
        return Port(result, self) if isinstance(result, MlsSession) else result

    def port(self, target: object) -> Any:  # noqa: ANN401 - it has the target's type, as far as a caller sees
        return Port(target, self)


class Port:
    """A port, or a session that one opened, on a wire."""

    def __init__(self, target: object, wire: Wire) -> None:
        self._target = target
        self._wire = wire

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the target has
        found = getattr(self._target, name)
        if not callable(found):
            return found

        def call(*args: object, **named: object) -> Any:  # noqa: ANN401 - what the target returns
            return self._wire.around(f"{type(self._target).__name__}.{name}", lambda: found(*args, **named))

        return call
