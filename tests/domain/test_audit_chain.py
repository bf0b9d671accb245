from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from keyturn.domain.audit_chain import GENESIS, Head, Transition, chained, entry_hash, first_break
from keyturn.domain.encodings import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable

AT = datetime(2026, 1, 1, tzinfo=UTC)
Stored = list[tuple[dict[str, Any], str]]


def _transition(number: int) -> Transition:
    return Transition(f"act-{number}", "ada", {"client_id": "ext", "npub": ""}, {"n": number - 1}, {"n": number})


def _chain(length: int = 5) -> tuple[Stored, Head]:
    entries = chained(Head(), [_transition(number) for number in range(1, length + 1)], AT)
    return [(dict(entry.content), entry.hash) for entry in entries], entries[-1].head


def test_an_entry_holds_what_happened_and_its_place() -> None:
    transition = Transition("suspend", "ada", {"client_id": "ext", "npub": ""}, {"a": 1}, {"a": 2}, "leak")
    (entry,) = chained(Head(), [transition], AT)
    assert entry.content == {
        "seq": 1,
        "prev": GENESIS,
        "at": 1767225600000,
        "actor": "ada",
        "action": "suspend",
        "ids": {"client_id": "ext"},
        "before": {"a": 1},
        "after": {"a": 2},
        "reason": "leak",
    }
    assert entry.hash == hashlib.sha256(canonical_json(entry.content)).hexdigest()
    assert entry.head == Head(1, entry.hash)


def test_the_hash_is_over_sorted_json() -> None:
    content = {"seq": 1, "at": 2}
    assert entry_hash(content) == hashlib.sha256(b'{"at":2,"seq":1}').hexdigest()
    assert entry_hash(dict(reversed(content.items()))) == entry_hash(content)


def test_a_banner_stands_in_each_entry_and_is_hashed() -> None:
    plain = chained(Head(), [_transition(1)], AT)
    marked = chained(Head(), [_transition(1), _transition(2)], AT, banner="development")
    assert [entry.content["banner"] for entry in marked] == ["development"] * 2
    assert "banner" not in plain[0].content
    assert marked[0].hash != plain[0].hash


def test_a_chain_goes_on_where_it_stood() -> None:
    first = chained(Head(), [_transition(1), _transition(2)], AT)
    second = chained(first[-1].head, [_transition(3)], AT)
    assert second[0].content["seq"] == 3
    assert second[0].content["prev"] == first[-1].hash
    assert first_break([(entry.content, entry.hash) for entry in [*first, *second]], second[-1].head) is None


def test_nothing_happened_nothing_chained() -> None:
    assert chained(Head(), [], AT) == []
    assert first_break([], Head()) is None


def test_a_stored_chain_is_whole_after_json() -> None:
    stored, head = _chain()
    assert first_break(json.loads(json.dumps(stored)), head) is None


def _rehashed(stored: Stored, index: int) -> None:
    content = {**stored[index][0], "reason": "rewritten"}
    stored[index] = (content, entry_hash(content))


def _changed(stored: Stored, index: int) -> None:
    stored[index] = ({**stored[index][0], "reason": "rewritten"}, stored[index][1])


def _hash_changed(stored: Stored, index: int) -> None:
    stored[index] = (stored[index][0], GENESIS)


def _removed(stored: Stored, index: int) -> None:
    del stored[index]


def _reordered(stored: Stored, index: int) -> None:
    stored[index], stored[index + 1] = stored[index + 1], stored[index]


def _repeated(stored: Stored, index: int) -> None:
    stored.insert(index, stored[index])


def _truncated(stored: Stored, index: int) -> None:
    del stored[index:]


TAMPERED: dict[str, tuple[Callable[[Stored, int], None], int, int]] = {
    "first changed": (_changed, 0, 1),
    "third changed": (_changed, 2, 3),
    "last changed": (_changed, 4, 5),
    "first changed with its hash": (_rehashed, 0, 1),
    "third changed with its hash": (_rehashed, 2, 3),
    "last changed with its hash": (_rehashed, 4, 5),
    "third's hash changed": (_hash_changed, 2, 3),
    "first removed": (_removed, 0, 1),
    "third removed": (_removed, 2, 3),
    "last removed": (_removed, 4, 5),
    "second and third reordered": (_reordered, 1, 2),
    "second repeated": (_repeated, 1, 3),
    "truncated after two": (_truncated, 2, 3),
    "truncated to nothing": (_truncated, 0, 1),
}


@pytest.mark.parametrize(("tamper", "index", "named"), TAMPERED.values(), ids=TAMPERED)
def test_the_first_entry_tampered_with_is_named(tamper: Callable[[Stored, int], None], index: int, named: int) -> None:
    stored, head = _chain()
    tamper(stored, index)
    broken = first_break(stored, head)
    assert broken is not None
    assert broken.seq == named


def test_entries_beyond_the_head_are_named() -> None:
    stored, _head = _chain(5)
    broken = first_break(stored, Head(3, stored[2][1]))
    assert broken is not None
    assert broken.seq == 4


def test_another_head_names_the_last_entry() -> None:
    stored, head = _chain(5)
    broken = first_break(stored, Head(head.seq, GENESIS))
    assert broken is not None
    assert broken.seq == 5
