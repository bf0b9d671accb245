"""The doctor of one machine: opens a data folder, running or stopped, and reports every broken invariant.

It changes nothing. Besides the checks of every deployment, one machine can list all of its documents. A document that
no check has visited is an orphan, unless its kind may stand alone. In a running store an orphan may simply be newer
than the checks, so only a document that two complete runs missed is reported.

With `keyturn up --emulators` the data folder has the keys and the emulators' addresses. That store has no outbox.
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
from keyturn.local.errors import LocalError, unusable
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
    """The results of all checks of a data folder. `depth` is the outbox's, None if the store has no outbox."""

    breaches: tuple[Breach, ...]
    examination: CheckResult
    depth: Depth | None
    freeze_reason: str = ""
    """`copied` or `restored` while the store is frozen, otherwise empty."""
    stop: OperatorStop | None = None
    """The operator's stop of all rotations, while it is in force."""
    denials_agree: bool = True
    """Whether denylists and stop are the same in both databases that functions read them from."""


def open_folder(folder: Path) -> Suite:
    """Return the suite over an existing data folder. `LocalError` if there is none, or it cannot be used."""
    cloud = read_addresses(folder)
    if cloud is not None:
        return reach(Suite(Settings(Stage.LOCAL, policy=Policy(), cloud=cloud)))
    missing_files = [
        name for name in (*(f"{name}.db" for name in _NAMES), "keys.json") if not (folder / name).is_file()
    ]
    if missing_files:
        verb = "is" if len(missing_files) == 1 else "are"
        raise LocalError(
            f"Not a keyturn data folder: {', '.join(missing_files)} {verb} missing.",
            "Use --data with the folder that `keyturn up` prints.",
        )
    return reach(Suite(Settings(Stage.LOCAL, folder, policy=Policy())))


def reach(suite: Suite) -> Suite:
    """Return the suite after connecting to its store and keys. `LocalError` if that fails."""
    try:
        _ = suite.databases, suite.keys.enabled("mac")
    except (StoreUnavailable, KeyUnavailable) as error:
        raise unusable("The data folder", error) from None
    return suite


def outbox_of(suite: Suite) -> Outbox:
    """Return the outbox of a suite over a data folder. `LocalError` for a suite on emulators, which has none."""
    if suite.settings.cloud:
        raise LocalError(
            "A suite on emulators has its dead letters in Pub/Sub.", "Pull the subscription `distribute-dead`."
        )
    return Outbox(_file(suite, "control"))


def diagnose(suite: Suite) -> Diagnosis:
    """Check everything that a suite over a data folder holds. `LocalError` if it cannot be read."""
    try:
        examination = _checks(suite)()
        unvisited = _unvisited(suite, examination)
        if any(_is_orphan(path) for path, _ in unvisited):
            # The store may be running, so an orphan may be newer than the checks. Run them a second time.
            examination = _checks(suite)()
            unvisited &= _unvisited(suite, examination)
        breaches = [
            breach
            for path, database in sorted(unvisited)
            for breach in _check_unvisited(path, getattr(suite.databases, database))
        ]
        depth = None if suite.settings.cloud else outbox_of(suite).depth()
        frozen, stop, agree = (
            suite.freeze.freeze_reason(),
            suite.operator.denylist.current_stop(),
            suite.operator.denylist.databases_agree(),
        )
    except (StoreUnavailable, KeyUnavailable) as error:
        raise unusable("The data folder", error) from None
    return Diagnosis((*examination.breaches, *breaches), examination, depth, frozen, stop, agree)


def _checks(suite: Suite) -> RunChecks:
    return RunChecks(
        databases=suite.databases,
        policy=suite.settings.policy,
        groups=suite.groups,
        mac_key=suite.keys.mac,
        read_head=read_head,
        environment=suite.environment,
    )


def _file(suite: Suite, name: str) -> SqliteFile:
    return cast("SqliteStore", getattr(suite.databases, name)).file


def _unvisited(suite: Suite, examination: CheckResult) -> set[tuple[str, str]]:
    """Return path and database of the documents that no check visited.

    Documents of subjects that kept changing are left out, because their checks were not completed.
    """
    documents = [(path, name) for name in _NAMES for path in _paths(suite, name)]
    unstable = {subject.partition(" ")[2] for subject in examination.unstable}
    return {
        (path, name)
        for path, name in documents
        if path not in examination.checked_paths and not unstable & set(path.split("/"))
    }


def _paths(suite: Suite, name: str) -> set[str]:
    cloud = suite.settings.cloud
    if cloud is not None:
        return set(all_documents(cloud.firestore_emulator or "", cloud.project, database=getattr(cloud, name)))
    with _file(suite, name).reading() as connection:
        return {str(path) for (path,) in connection.execute(_PATHS)}


def _is_orphan(path: str) -> bool:
    kind = kind_of(path)
    return kind is None or not kind.standalone


def _check_unvisited(path: str, store: Store) -> Iterator[Breach]:
    document, kind = store.get([path])[path], kind_of(path)
    if document.data is None:
        return  # deleted meanwhile
    if kind is None:
        yield Breach("store", "a document has a path that no kind of document has", path)
        return
    if not kind.standalone:
        yield Breach("store", f"one of the {kind.noun} is unreferenced", path)
    yield from (Breach("store", f"a document {problem}", path) for problem in kind.shape.problems(document.data))
