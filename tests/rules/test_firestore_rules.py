"""firestore.rules on the emulator: no end user does anything to any kind of document, in any of the databases."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.adapters.firestore.store import FirestoreStore
from keyturn.local.errors import LocalError
from keyturn.ports.store import Create
from keyturn.records.schema import KINDS

from tests.emulators import FIRESTORE
from tests.firestore_admin import release_rules, rule_coverage
from tests.rules.client import Rest, unsigned_token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from keyturn.adapters.firestore.store import FirestoreChannel

pytestmark = FIRESTORE

RULES = (Path(__file__).parents[2] / "firestore.rules").read_text()
DATABASES = ("(default)", "control", "auth", "usage")
OPERATIONS = ("get", "batch_get", "list", "query", "query_group", "create", "update", "delete", "commit")
PATHS = (*(re.sub(r"{\w+}", "one", kind.pattern) for kind in KINDS), "of_no_kind/one", "of_no_kind/one/below/one")
FORBIDDEN = 403


def tokens(project: str) -> dict[str, str | None]:
    """Return what a client may come with: nothing, a user's token, one whose claims boast."""
    return {
        "nobody": None,
        "user": unsigned_token(project, "somebody"),
        "boaster": unsigned_token(project, "somebody", admin=True, role="owner", groups=["operations-team"]),
    }


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(firestore_channel: FirestoreChannel, project: str, database: str) -> FirestoreStore:
    """Return a store that holds a document of every kind."""
    store = FirestoreStore(firestore_channel, project=project, database=database)
    store.commit([Create(path, {"kept": True}) for path in PATHS])
    return store


@pytest.fixture
def clients(firestore_host: str, project: str, database: str) -> Iterator[dict[str, Rest]]:
    clients = {name: Rest(firestore_host, project, database, token) for name, token in tokens(project).items()}
    yield clients
    for client in clients.values():
        client.close()


def answers(clients: dict[str, Rest]) -> dict[tuple[str, str, str], int]:
    """Try every operation on every kind of document with every token; the statuses."""
    return {
        (name, operation, path): getattr(client, operation)(path)
        for name, client in clients.items()
        for operation in OPERATIONS
        for path in PATHS
    }


def test_no_end_user_does_anything(
    firestore_host: str, project: str, database: str, store: FirestoreStore, clients: dict[str, Rest]
) -> None:
    release_rules(firestore_host, project, RULES, database=database)
    before = store.get(PATHS).documents
    allowed = {tried: status for tried, status in answers(clients).items() if status != FORBIDDEN}
    assert allowed == {}
    assert store.get(PATHS).documents == before


def test_the_same_operations_work_where_rules_allow_them(
    firestore_host: str, project: str, database: str, store: FirestoreStore, clients: dict[str, Rest]
) -> None:
    assert store.get([PATHS[0]])[PATHS[0]].exists
    release_rules(firestore_host, project, RULES.replace("if false", "if true"), database=database)
    assert FORBIDDEN not in {getattr(clients["user"], operation)(PATHS[0]) for operation in OPERATIONS}


def test_every_rule_is_reached_by_every_method(
    firestore_host: str,
    project: str,
    database: str,
    clients: dict[str, Rest],
    store: FirestoreStore,
    record_property: Callable[[str, object], None],
) -> None:
    # The emulator's coverage knows expressions, and a literal is none: in its place stands one that is always false.
    assert store.get(PATHS).documents
    never = "request.method == 'never'"
    release_rules(firestore_host, project, RULES.replace("if false", f"if {never}"), database=database)
    tried = answers({"user": clients["user"]})
    report = rule_coverage(firestore_host, project, database=database)["report"]
    record_property("rule coverage", json.dumps([counts(rule) for rule in report]))
    assert set(tried.values()) == {FORBIDDEN}
    assert len(report) == RULES.count("allow ")
    for rule in report:
        assert counts(rule).keys() == {"False"}
        assert counts(rule["children"][0]).keys() == {"get", "list", "create", "update", "delete"}
        assert sum(counts(rule).values()) >= len(tried)


def counts(expression: dict[str, Any]) -> dict[str, int]:
    """Return what an expression was evaluated to, and how often."""
    return {str(value): each["count"] for each in expression["values"] for value in each["value"].values()}


def test_rules_that_do_not_compile_are_not_released(firestore_host: str, project: str) -> None:
    with pytest.raises(LocalError):
        release_rules(firestore_host, project, RULES.replace("}", ""))
