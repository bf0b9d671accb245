"""Findings: the broken rules that checks report. A finding never quotes a stored value, which may be a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyturn.ports.store import Value


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One broken rule. `where` is the path of the document that shows it, if there is one."""

    sentence: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Breach:
    """A finding and its subject: `client acme`, `group ops`, `chain _system` and so on."""

    subject: str
    sentence: str
    where: str = ""


def plain_value(value: Value) -> object:
    """Return a stored value as plain dicts and lists, which compare by content."""
    if isinstance(value, Mapping):
        return {name: plain_value(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [plain_value(item) for item in value]
    return value
