"""The doctor: opens a data folder, running or stopped, and names every broken invariant; it mends nothing.

Beside what every deployment is examined for, one machine shows all documents that there are: one that nothing examined
leads to is held against its kind, and named if it does not stand alone. In a running store such a one may be younger
than the look that missed it: only what two whole examinations missed counts.

The folder of `keyturn up --emulators` has the keys and says where the emulators are; their store has no outbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from keyturn.adapters.mls.message_headers import read_head
from keyturn.adapters.sqlite.outbox import Depth, Outbox
from keyturn.domain.policy import Policy
from keyturn.entry.composition.suite import Suite
from keyturn.entry.config.settings import Settings, Stage
from keyturn.local.emulator_addresses import read_addresses
from keyturn.local.errors import LocalError
from keyturn.local.firestore_control import all_documents
from keyturn.ports.keys import KeyUnavailable
from keyturn.ports.store import StoreUnavailable
from keyturn.records.schema import kind_of
from keyturn.use_cases.doctor.findings import Breach
from keyturn.use_cases.doctor.run_checks import CheckResult, RunChecks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from keyturn.adapters.sqlite.file import SqliteFile
    from keyturn.adapters.sqlite.store import SqliteStore
    from keyturn.ports.store import Store
    from keyturn.use_cases.admins.edit_denylist import OperatorStop

_NAMES = ("control", "auth", "usage")
_PATHS = "SELECT path FROM documents"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an examination of a data folder came to; `depth` is the outbox's, None where the store has none."""

    breaches: tuple[Breach, ...]
    examination: CheckResult
    depth: Depth | None
    freeze_reason: str = ""
    """`copied` or `restored` while nothing may be sent, else nothing."""
    stop: OperatorStop | None = None
    """The operator's stop of everything, while it stands."""
    denials_agree: bool = True
    """Whether denylists and stop are the same in both databases that they are read in."""


def open_folder(folder: Path) -> Suite:
    """Return the suite over a data folder that is there; `LocalError` if it is none, or cannot be used."""
    cloud = read_addresses(folder)
    if cloud is not None:
        return reached(Suite(Settings(Stage.LOCAL, policy=Policy(), cloud=cloud)))
    missing = [name for name in (*(f"{name}.db" for name in _NAMES), "keys.json") if not (folder / name).is_file()]
    if missing:
        raise LocalError(
            f"This is no data folder of keyturn: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
            "Give the folder that `keyturn up` prints, with --data.",
        )
    return reached(Suite(Settings(Stage.LOCAL, folder, policy=Policy())))


def reached(suite: Suite) -> Suite:
    """Return a suite whose store and keys answer; `LocalError` if they do not."""
    try:
        _ = suite.databases, suite.keys.enabled("mac")
    except (StoreUnavailable, KeyUnavailable) as error:
        raise _unusable(error) from None
    return suite


def outbox_of(suite: Suite) -> Outbox:
    """Return the outbox of a suite over a data folder; `LocalError` if it is over emulators, which keep their own."""
    if suite.settings.cloud:
        raise LocalError(
            "A suite on emulators keeps no dead letters here.", "They are in Pub/Sub's subscription `distribute-dead`."
        )
    return Outbox(_file(suite, "control"))


def diagnose(suite: Suite) -> Diagnosis:
    """Examine everything that a suite over a data folder holds; `LocalError` if it cannot be read."""
    try:
        examination = _examine(suite)()
        strangers = _strangers(suite, examination)
        if any(_is_stray(path) for path, _ in strangers):
            examination = _examine(suite)()
            strangers &= _strangers(suite, examination)
        met = [breach for path, store in sorted(strangers) for breach in _met(path, getattr(suite.databases, store))]
        depth = None if suite.settings.cloud else outbox_of(suite).depth()
        frozen, stop, agree = (
            suite.freeze.freeze_reason(),
            suite.operator.denylist.current_stop(),
            suite.operator.denylist.databases_agree(),
        )
    except (StoreUnavailable, KeyUnavailable) as error:
        raise _unusable(error) from None
    return Diagnosis((*examination.breaches, *met), examination, depth, frozen, stop, agree)


def _examine(suite: Suite) -> RunChecks:
    return RunChecks(
        databases=suite.databases,
        policy=suite.settings.policy,
        groups=suite.groups,
        mac_key=suite.keys.mac,
        read_head=read_head,
        environment=suite.environment,
    )


def _unusable(error: Exception) -> LocalError:
    return LocalError(f"The data folder cannot be used: {error}.", "Restore it from a copy, or give another --data.")


def _file(suite: Suite, name: str) -> SqliteFile:
    return cast("SqliteStore", getattr(suite.databases, name)).file


def _strangers(suite: Suite, examination: CheckResult) -> set[tuple[str, str]]:
    """Return path and database of what nothing examined leads to, but for what was not examined for lack of rest."""
    found: set[tuple[str, str]] = set()
    for name in _NAMES:
        found |= {(path, name) for path in _paths(suite, name)}
    unstable = {subject.partition(" ")[2] for subject in examination.unstable}
    return {
        (path, name)
        for path, name in found
        if path not in examination.checked_paths and not unstable & set(path.split("/"))
    }


def _paths(suite: Suite, name: str) -> set[str]:
    cloud = suite.settings.cloud
    if cloud is not None:
        return set(all_documents(cloud.firestore_emulator or "", cloud.project, database=getattr(cloud, name)))
    with _file(suite, name).reading() as connection:
        return {str(path) for (path,) in connection.execute(_PATHS)}


def _is_stray(path: str) -> bool:
    kind = kind_of(path)
    return kind is None or not kind.standalone


def _met(path: str, store: Store) -> Iterator[Breach]:
    document, kind = store.get([path])[path], kind_of(path)
    if document.data is None:
        return  # gone meanwhile
    if kind is None:
        yield Breach("store", "a document stands where none may be", path)
        return
    if not kind.standalone:
        yield Breach("store", f"one of the {kind.noun} belongs to nothing", path)
    yield from (Breach("store", f"a document {problem}", path) for problem in kind.shape.problems(document.data))
