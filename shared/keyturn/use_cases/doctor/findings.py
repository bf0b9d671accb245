"""Findings: what an examination names. Sentences and places are ours; nothing that a document holds is quoted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keyturn.ports.store import Document, Value


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule of what is examined; `where` is the path of the document that shows it, if one does."""

    sentence: str
    where: str = ""


@dataclass(frozen=True, slots=True)
class Breach:
    """A finding about a subject: `client acme`, `group ops`, `chain _system` and so on."""

    subject: str
    sentence: str
    where: str = ""


def thawed(value: Value) -> object:
    """Return a stored value as plain dicts and lists, which compare by content."""
    if isinstance(value, Mapping):
        return {name: thawed(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [thawed(item) for item in value]
    return value


def last_segment(document: Document) -> str:
    """Return a document's id."""
    return document.path.rpartition("/")[2]
