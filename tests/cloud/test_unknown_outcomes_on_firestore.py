"""Unknown outcomes on Firestore: a sample of the rows that run on the other stores (tests/scenarios)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import pytest
from keyturn.local.firestore_control import all_documents
from keyturn.records.schema import kind_of

from tests.emulators import FIRESTORE
from tests.scenarios.outcome_rows import ROWS
from tests.scenarios.outcome_world import prepared

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cloud.world_on_firestore import FirestoreWorld

pytestmark = FIRESTORE
SAMPLE = ("client add", "distribute")


def outcome(name: str, folder: Path, host: str, at: int, *, applied: bool) -> tuple[object, ...]:
    """Return the status, how many documents of each kind there are, and what was audited."""
    options = {"host": host, "project": f"{name.replace(' ', '-')}-{at + 1}-{applied}".lower()}
    with prepared(ROWS[name], folder, "firestore", **options) as (world, call, faults):
        faults.start(at, applied=applied)
        answer = cast("Any", call())
        status = getattr(answer, "status_code", answer)
        return (status, *contents(cast("FirestoreWorld", world)))


def contents(world: FirestoreWorld) -> tuple[Counter[str], Counter[str]]:
    kinds: Counter[str] = Counter()
    actions: Counter[str] = Counter()
    for database in ("control", "auth"):
        for path, fields in all_documents(world.host, world.project, database=database).items():
            kind = kind_of(path)
            kinds[kind.noun if kind else path] += 1
            if "/audit/" in path:
                actions[fields["action"]["stringValue"]] += 1
    return kinds, actions


@pytest.mark.parametrize("name", SAMPLE)
def test_lost_answer_of_the_first_commit_changes_nothing(name: str, firestore_host: str, tmp_path: Path) -> None:
    outcomes = [
        outcome(name, tmp_path / f"{at}-{applied}", firestore_host, at, applied=applied)
        for at, applied in ((-1, False), (0, True), (0, False))
    ]
    assert outcomes[1:] == outcomes[:1] * 2
