"""Documents are read by type, and queries page by page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from keyturn.domain.errors import Broken
from keyturn.ports.store import Create, Delete, Document, Query, delete, mapping, mappings, pages, scan

from tests.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from keyturn.ports.store import Data

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DATA: Data = {
    "text": "a",
    "number": 3,
    "time": NOW,
    "map": {"inner": 1},
    "texts": ["a", "b"],
    "maps": [{"n": 1}],
    "none": None,
}
STORED = Document("clients/acme", DATA, "1")
ABSENT = Document("clients/acme", None, None)

READERS: dict[str, Callable[[Document, str], object]] = {
    "text": Document.text,
    "number": Document.integer,
    "time": Document.time,
    "map": Document.mapping,
    "texts": Document.texts,
    "maps": lambda document, name: mappings(document.fields, name),
}


@pytest.mark.parametrize("name", READERS)
def test_a_field_is_read_by_its_type(name: str) -> None:
    assert READERS[name](STORED, name) == DATA[name]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("other", [*READERS, "none", "unknown"])
def test_a_field_of_another_type_or_none_is_broken(name: str, other: str) -> None:
    if name == other:
        return
    with pytest.raises(Broken):
        READERS[name](STORED, other)


@pytest.mark.parametrize("name", READERS)
def test_a_missing_document_has_no_fields(name: str) -> None:
    with pytest.raises(Broken):
        READERS[name](ABSENT, name)


def test_no_error_quotes_a_stored_value() -> None:
    with pytest.raises(Broken) as broken:
        mapping({"secret": "a-stored-value"}, "secret")
    assert "a-stored-value" not in str(broken.value)


def test_id_of_a_document_is_the_end_of_its_path() -> None:
    assert Document("oauth2_clients/acme/audit/000000000001", None, None).id == "000000000001"


def test_delete_rests_on_the_version_that_was_read() -> None:
    assert delete(STORED) == Delete("clients/acme", "1")
    with pytest.raises(Broken):
        delete(ABSENT)


def invites(number: int) -> MemoryStore:
    store = MemoryStore(lambda: NOW)
    store.commit([Create(f"invites/{index}", {"expires_at": NOW}) for index in range(number)])
    return store


def names(documents: Sequence[Document]) -> list[str]:
    return [document.id for document in documents]


@pytest.mark.parametrize(("number", "sizes"), [(0, []), (1, [1]), (2, [2]), (3, [2, 1]), (4, [2, 2])])
def test_pages_end_with_the_last_document(number: int, sizes: list[int]) -> None:
    query = Query("invites", order_by="expires_at", limit=2)
    store = invites(number)
    assert [len(page) for page in pages(store, query)] == sizes
    assert names(tuple(scan(store, query))) == [str(index) for index in range(number)]


def test_a_page_may_be_deleted_before_the_next_one_is_read() -> None:
    store, query = invites(5), Query("invites", order_by="expires_at", limit=2)
    deleted = []
    for page in pages(store, query):
        store.commit([delete(document) for document in page])
        deleted += names(page)
    assert deleted == [str(index) for index in range(5)]
    assert list(scan(store, query)) == []
