"""The codec keeps what it cannot read: fields and values of a newer release, and damage (docs/upgrade.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import pytest
from keyturn.domain.errors import Broken
from keyturn.domain.model import Client, ClientKind, Person, Phase, Rotation
from keyturn.domain.record import Record, is_recognised
from keyturn.records.codec import UNREAD, from_data, known_data, salvage, to_data
from keyturn.records.schema import KINDS
from keyturn.use_cases.admins.edit_denylist import OperatorStop
from keyturn.use_cases.groups.relay_outbox import RelayPost

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CLIENT = to_data(Client("acme", ClientKind.X_API_KEY, ("ops",), NOW, policy={"quorum": 2}))


def all_records(base: type[Record] = Record) -> Iterator[type[Record]]:
    for kind in base.__subclasses__():
        # A class with slots is made twice, and only the second one counts.
        if kind.__module__.startswith("keyturn.") and hasattr(kind, "__dataclass_fields__"):
            yield kind
        yield from all_records(kind)


RECORDS = sorted({kind.__qualname__: kind for kind in all_records()}.values(), key=lambda kind: kind.__qualname__)


def sample(hint: Any, more: dict[str, Any]) -> Any:  # noqa: ANN401 - an annotation, and a value of its type
    """Return a stored value of an annotated type, with `more` in every object of it."""
    options = [option for option in get_args(hint) if option is not type(None)]
    if get_origin(hint) is tuple:
        return [sample(options[0], more)]
    if get_origin(hint) is not None and get_origin(hint).__name__ == "Mapping":
        return {"quorum": 2}
    if options:
        return sample(options[0], more)
    if issubclass(hint, Record):
        return {name: sample(kind, more) for name, kind in get_type_hints(hint).items() if name != UNREAD} | more
    if hasattr(hint, "__members__"):
        return next(iter(hint)).value
    return {str: "text", int: 7, bool: True, bytes: b"bytes", datetime: NOW}[hint]


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_fields_of_a_newer_release_survive_reading_changing_and_writing(kind: type[Record]) -> None:
    data = sample(kind, {"newer": {"deep": [1, 2]}})
    entity = from_data(kind, data)
    assert to_data(entity) == data
    assert to_data(replace(entity)) == data
    assert entity.damaged == frozenset()
    assert "newer" not in str(known_data(entity))
    assert "deep" not in repr(entity)


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_each_damaged_field_is_broken_and_salvage_keeps_it_as_it_was(kind: type[Record]) -> None:
    data = sample(kind, {})
    for name in data:
        for broken in ({**data, name: 1.5}, {key: value for key, value in data.items() if key != name}):
            try:
                from_data(kind, broken)
            except Broken as error:
                assert "text" not in str(error)  # noqa: PT017 - a field that older documents lack is not broken
                assert salvage(kind, broken).damaged == {name}
            assert to_data(salvage(kind, broken)).items() >= broken.items()


def test_every_kind_of_document_was_imported_with_its_record() -> None:
    assert KINDS
    assert {Client, Rotation, RelayPost, OperatorStop} <= set(RECORDS)


def test_an_unknown_word_is_no_known_member_and_keeps_its_text() -> None:
    client = from_data(Client, {**CLIENT, "kind": "x_mutual_tls"})
    assert client.kind not in set(ClientKind)
    assert not is_recognised(client.kind)
    assert is_recognised(ClientKind.X_API_KEY)
    assert to_data(client)["kind"] == "x_mutual_tls"
    with pytest.raises(ValueError, match="x_mutual_tls"):
        ClientKind("x_mutual_tls")  # input is still validated


def test_a_damaged_field_that_gets_a_value_is_no_longer_damaged() -> None:
    client = salvage(Client, {**CLIENT, "policy": 17, "active_rotation": 18})
    assert to_data(client)["policy"] == 17
    assert to_data(replace(client, policy={"quorum": 3})) == {**CLIENT, "policy": {"quorum": 3}, "active_rotation": 18}


def test_an_unread_field_changes_neither_equality_nor_the_hash() -> None:
    person = from_data(Person, {"user": "alice", "npub": "a", "device": "phone"})
    assert person == Person("alice", "a")
    assert {person} == {Person("alice", "a")}


def test_nothing_is_so_damaged_that_salvage_fails() -> None:
    rotation = salvage(Rotation, {})
    assert not is_recognised(rotation.phase)
    assert rotation.phase is not Phase.REQUESTED
    assert to_data(rotation) == {}
