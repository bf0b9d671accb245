"""The doctor: opens a data folder, running or stopped, and names every broken invariant; it mends nothing.

Beside what every deployment is examined for, the folder shows all documents that there are: one that belongs to
nothing that was examined is named, too. In a running store such a one may be younger than the look that missed it:
only what two whole examinations missed counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from local.errors import LocalError
from shared.adapters.message_heads_mls import read_head
from shared.adapters.outbox import Depth, Outbox
from shared.domain.policy import Policy
from shared.entry.settings import Settings, Stage
from shared.entry.wiring import Suite
from shared.ports.keys import KeyUnavailable
from shared.ports.store import StoreUnavailable
from shared.records.kinds import kind_of
from shared.use_cases.examine import Examination, Examine
from shared.use_cases.findings import Breach

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shared.adapters.sqlite_file import SqliteFile
    from shared.adapters.store_sqlite import SqliteStore

_NAMES = ("control", "auth", "usage")
_PATHS = "SELECT path FROM documents"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an examination of a data folder came to; `depth` is the outbox's."""

    breaches: tuple[Breach, ...]
    examination: Examination
    depth: Depth


def open_folder(folder: Path) -> Suite:
    """Return the suite over a data folder that is there; `LocalError` if it is none, or cannot be used."""
    missing = [name for name in (*(f"{name}.db" for name in _NAMES), "keys.json") if not (folder / name).is_file()]
    if missing:
        raise LocalError(
            f"This is no data folder of keyturn: {', '.join(missing)} is missing.",
            "Give the folder that `keyturn up` prints, with --data.",
        )
    suite = Suite(Settings(Stage.LOCAL, folder, policy=Policy()))
    try:
        _ = suite.databases, suite.keys.enabled("mac")
    except (StoreUnavailable, KeyUnavailable) as error:
        raise _unusable(error) from None
    return suite


def outbox_of(suite: Suite) -> Outbox:
    """Return the outbox of a suite over a data folder."""
    return Outbox(_files(suite)[0])


def diagnose(suite: Suite) -> Diagnosis:
    """Examine everything that a suite over a data folder holds; `LocalError` if it cannot be read."""
    try:
        examination = _examine(suite)()
        strangers = _strangers(suite, examination)
        if strangers:
            examination = _examine(suite)()
            strangers &= _strangers(suite, examination)
        depth = outbox_of(suite).depth()
    except (StoreUnavailable, KeyUnavailable) as error:
        raise _unusable(error) from None
    return Diagnosis((*examination.breaches, *map(_stray, sorted(strangers))), examination, depth)


def _examine(suite: Suite) -> Examine:
    return Examine(
        databases=suite.databases,
        policy=suite.settings.policy,
        groups=suite.groups,
        mac_key=suite.keys.mac,
        read_head=read_head,
        environment=suite.environment,
    )


def _unusable(error: Exception) -> LocalError:
    return LocalError(f"The data folder cannot be used: {error}.", "Restore it from a copy, or give another --data.")


def _files(suite: Suite) -> Sequence[SqliteFile]:
    stores = (getattr(suite.databases, name) for name in _NAMES)
    return [cast("SqliteStore", store).file for store in stores]


def _strangers(suite: Suite, examination: Examination) -> set[str]:
    """Return the paths that nothing examined leads to; what was not examined for lack of rest is left out."""
    found: set[str] = set()
    for file in _files(suite):
        with file.reading() as connection:
            found |= {str(path) for (path,) in connection.execute(_PATHS)} - examination.seen
    restless = {subject.partition(" ")[2] for subject in examination.restless}
    return {path for path in found if not restless & set(path.split("/"))}


def _stray(path: str) -> Breach:
    kind = kind_of(path)
    sentence = f"one of the {kind.noun} belongs to nothing" if kind else "a document stands where none may be"
    return Breach("store", sentence, path)
