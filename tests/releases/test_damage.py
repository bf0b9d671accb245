"""One damaged document stops no other client: each still rotates, settles and verifies (docs/upgrade.md).

Every kind of document is damaged in every field, each time in a copy of one deployment.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.model import Phase
from keyturn.records.schema import KINDS
from keyturn.use_cases.distribution.batch_leader import PATIENCE_SECONDS

from tests.releases.damage import damages
from tests.releases.marks import MARKS
from tests.releases.stores import OTHER_GROUP, STUCK, VICTIM, built

if TYPE_CHECKING:
    from collections.abc import Iterator

    from keyturn.ports.store import Data
    from keyturn.records.schema import DocumentKind

    from tests.releases.stores import Built

OF_A_GROUP = {"mls_groups/{group}", "mls_groups/{group}/roster/members"}
"""Without them nothing can be sent to this group. All clients of other groups rotate."""
NO_COMMANDS = {"service/denied"}
"""Without it no command is taken, because it might be of a denied person. What is under way goes on."""
NOTHING_SENT = {"service/identity"}
"""Without it the service cannot sign: no message is sent to any group."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    with built(tmp_path_factory.mktemp("deployment")) as deployment:
        yield deployment


def assert_others_live(deployment: Built, kind: DocumentKind, database: str) -> None:
    """Assert that clients which a damaged document does not belong to do all that they can without it."""
    world = deployment.world
    world.sweep()
    assert world.document("oauth2_clients/due")["active_rotation"] is None
    if kind.pattern not in NO_COMMANDS | OF_A_GROUP:
        for name in ("ack", "request"):
            answer = world.send(deployment.events[name])
            assert answer.status_code == 200, answer.text
    # A distribution reads the database `control` only.
    if database == "control" and kind.pattern not in OF_A_GROUP | NOTHING_SENT:
        assert world.suite.distribution.distribute("waiting", deployment.rotations["waiting"])
    if kind.pattern in OF_A_GROUP:
        assert world.suite.distribution.distribute("elsewhere", deployment.rotations["elsewhere"])
    accepted = {"due", "due's next", "waiting", "acked", "asked", "elsewhere"}
    if kind.pattern not in NO_COMMANDS | OF_A_GROUP:
        accepted |= {"acked's next"}
    verdicts = {name: world.check(deployment.secrets[name], name.partition("'")[0])["accepted"] for name in accepted}
    assert verdicts == dict.fromkeys(accepted, True)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.pattern not in MARKS], ids=lambda kind: kind.pattern)
def test_one_damaged_document_stops_no_other_client(deployment: Built, kind: DocumentKind) -> None:
    database, document = deployment.find(kind)
    cases = list(damages(document.fields, kind.shape))
    assert {damage.field.partition(".")[0] for damage in cases} == document.fields.keys()
    for damage in cases:
        deployment.restore({(database, document.path): damage.data})
        try:
            assert_others_live(deployment, kind, database)
        except Exception as error:
            error.add_note(f"{damage.field} is {damage.what}")
            raise


@pytest.mark.parametrize(
    "pattern", ["oauth2_clients/{client}", "oauth2_rotations/{rotation}", "oauth2_clients/{client}/secrets/{version}"]
)
def test_a_damaged_rotation_that_waits_makes_no_other_wait(deployment: Built, pattern: str) -> None:
    kind = next(kind for kind in KINDS if kind.pattern == pattern)
    database, document = deployment.find(kind, STUCK)
    for damage in damages(document.fields, kind.shape):
        if damage.what == "of another type" and "last" not in damage.field:
            deployment.restore({(database, document.path): damage.data})
            deployment.slept.clear()
            assert deployment.try_to_distribute("waiting"), damage.field
            # It waits until its patience ends only for an older rotation that can be sent, which it then takes along.
            stuck = deployment.world.document(f"oauth2_rotations/{deployment.rotations[STUCK]}")
            is_taken_along = stuck.get("phase") == Phase.DISTRIBUTED
            assert is_taken_along or sum(deployment.slept) < PATIENCE_SECONDS, damage.field


@pytest.mark.parametrize("path", MARKS)
def test_a_mark_stops_commands_whatever_it_contains_and_no_check(deployment: Built, path: str) -> None:
    data: Data
    for data in (MARKS[path], {}, {"since": 17}):
        deployment.restore()
        deployment.create("control", path, data)
        deployment.world.sweep()
        assert deployment.world.send(deployment.events["request"]).status_code in {200, 503}
        assert not deployment.try_to_distribute("elsewhere")
        assert deployment.world.check(deployment.secrets["due's next"], "due")["accepted"]


def test_a_damaged_client_is_named_in_the_log_and_nothing_of_its_content(
    deployment: Built, caplog: pytest.LogCaptureFixture
) -> None:
    kind = next(kind for kind in KINDS if kind.pattern == "oauth2_clients/{client}")
    database, document = deployment.find(kind)
    deployment.restore({(database, document.path): {**document.fields, "revision": "a secret text"}})
    with caplog.at_level(logging.INFO):
        deployment.world.sweep()
    mentions = [record.getMessage() for record in caplog.records if VICTIM in record.getMessage()]
    assert len(mentions) == 1
    assert "a secret text" not in caplog.text
    assert OTHER_GROUP not in mentions[0]
